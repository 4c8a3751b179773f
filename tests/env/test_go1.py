"""Unitree's Go1 of MuJoCo Playground, compiled once for all tests of it.

Its meshes must be there: ``.ci/robots`` lays them, and ``RSL_JAX_REQUIRE_ROBOTS`` turns a missing one into a failure.
"""

import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import make_env
from rsl_jax.env.mirrors import joint_mirror, mirror_for, mirror_of_names, mirror_state_for, robot_symmetry
from rsl_jax.env.randomization import RandomizedSingleEnv

NAME = "playground/Go1JoystickFlatTerrain"
N = 8
"""Robots; the second half is the first one in the mirror, where that is asked for."""

pytest.importorskip("mujoco_playground")


def with_inertia(model, keys):
    """Playground's own randomizer, with the bodies' frames of inertia and the sensors' places among what may differ."""
    from mujoco_playground import registry

    drawn, in_axes = registry.get_domain_randomizer(NAME.partition("/")[2])(model, keys)
    more = {name: getattr(model, name) for name in ("body_iquat", "site_pos")}
    more = {name: jnp.broadcast_to(x[None], (len(keys), *x.shape)) for name, x in more.items()}
    return drawn.tree_replace(more), in_axes.tree_replace(dict.fromkeys(more, 0))


@pytest.fixture(scope="module")
def go1():
    """Go1 without noise: environment, compiled reset, compiled step."""
    options = {"config_overrides": {"noise_config.level": 0.0}, "randomize": with_inertia}
    try:
        env = make_env(NAME, num_envs=N, **options)
    except FileNotFoundError as error:
        if "RSL_JAX_REQUIRE_ROBOTS" in os.environ:
            raise
        pytest.skip(str(error))
    # To a program that is run but a few times, in half the time.
    reset, step = (jax.jit(f, compiler_options={"xla_backend_optimization_level": 0}) for f in (env.reset, env.step))
    return env, reset, step


@pytest.fixture(scope="module")
def standing(go1):
    """State and observations at the start of the first episodes."""
    _, reset, _ = go1
    return reset(jax.random.key(0))


def even_model(env):
    """Leaves of a Go1 that is the same on both sides.

    Unitree's is not quite: masses have their centres aside, and the inertial sensor sits 7 cm to the right.
    """
    model = env.single_env.env.mj_model
    names = [model.body(index).name for index in range(model.nbody)]
    partner = mirror_of_names(names).permutation
    right = [here < there for here, there in enumerate(partner)]
    middle = [here == there for here, there in enumerate(partner)]
    centres, frames, sites = np.array(model.body_ipos), np.array(model.body_iquat), np.array(model.site_pos)
    centres[right] = (centres[list(partner)] * [1, -1, 1])[right]
    frames[right] = (frames[list(partner)] * [1, -1, 1, -1])[right]
    centres[middle, 1], frames[middle], sites[model.site("imu").id, 1] = 0, [1, 0, 0, 0], 0
    return {"body_ipos": centres, "body_iquat": frames, "site_pos": sites}


def rows(x, like):
    return jnp.broadcast_to(jnp.asarray(x, like.dtype), like.shape)


def test_each_robot_is_playgrounds_and_has_a_body_of_its_own(go1, standing):
    env, _, step = go1
    assert (env.num_actions, env.step_dt, env.max_episode_length) == (12, 0.02, 1000)
    state, observations = standing
    assert {name: x.shape for name, x in observations.items()} == {"state": (N, 48), "privileged_state": (N, 123)}
    drawn = state.env.model
    assert set(drawn) == {
        *("geom_friction", "body_ipos", "body_mass", "qpos0", "dof_frictionloss", "dof_armature"),
        *("body_iquat", "site_pos"),
    }
    torso = np.asarray(drawn["body_mass"][:, 1])
    assert len(np.unique(torso)) == N
    assert np.ptp(drawn["geom_friction"][:, 0, 0]) > 0.1

    # The same robot, the same action, and for half of them a trunk that is twice as heavy.
    same = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), state.env)
    mass = same.model["body_mass"].at[N // 2 :, 1].multiply(2.0)
    same = same._replace(model={**same.model, "body_mass": mass})
    following, timestep = step(state.replace(env=same), jnp.zeros((N, 12)))
    heights = np.asarray(following.env.env.data.qpos[:, 2])
    assert np.ptp(heights[: N // 2]) == np.ptp(heights[N // 2 :]) == 0
    forces = np.asarray(timestep.observations["privileged_state"])
    assert np.abs(forces[0] - forces[-1]).max() > 0.01
    np.testing.assert_array_equal(following.env.model["body_mass"], mass)  # stays with the robot
    assert jnp.isfinite(timestep.rewards).all()


def test_the_mirror_is_a_symmetry_of_a_robot_that_is_even(go1, standing):
    """What ``check_symmetry`` does, by the program that is compiled already."""
    env, _, step = go1
    state, _ = standing
    half = N // 2
    model = env.single_env.env.mj_model
    drawn = state.env.model
    even = {name: getattr(model, name) for name in drawn} | even_model(env)
    robots = state.env._replace(model={name: rows(even[name], x) for name, x in drawn.items()})
    actions = jax.random.uniform(jax.random.key(1), (3, half, 12), minval=-1, maxval=1)
    for action in actions:  # so that they are somewhere and do something
        robots = step(state.replace(env=robots), jnp.concatenate([action, action]))[0].env
    robots = jax.vmap(lambda robot: robot._replace(env=at(env, robot.env)))(robots)
    mirrored = jax.vmap(mirror_state_for(env))(robots)
    robots = jax.tree.map(lambda x, y: jnp.concatenate([x[:half], y[:half]]), robots, mirrored)
    for action in actions[:2]:
        _, both = robot_symmetry(env, None, action)
        following, timestep = step(state.replace(env=robots), both)
        robots = following.env
        seen = timestep.observations
        images, _ = robot_symmetry(env, {name: x[:half] for name, x in seen.items()}, None)
        for group, image in images.items():
            expected, found = np.asarray(image[half:]), np.asarray(seen[group][half:])
            scale = np.abs(expected).max(axis=0) + 1e-3
            np.testing.assert_allclose(found / scale, expected / scale, atol=2e-3, err_msg=group)
        # Term by term: their sum is cut off at zero, which is all that random actions earn.
        for name, term in following.env.env.metrics.items():
            np.testing.assert_allclose(term[half:], term[:half], rtol=2e-3, atol=1e-4, err_msg=name)
        np.testing.assert_array_equal(timestep.dones[half:], timestep.dones[:half])


def at(env, state):
    return env.single_env.inner.at(state, env.single_env.inner.coordinates(state))


def test_it_can_be_pushed_and_its_sensors_show_it(go1, standing):
    env, _, _ = go1
    robot = env.single_env.inner
    state = jax.tree.map(lambda x: x[0], standing[0].env.env)
    pushed = robot.push(state, jnp.array([1.0, -0.5]))
    np.testing.assert_allclose(pushed.data.qvel - state.data.qvel, [1.0, -0.5] + [0] * 16)
    options = {"randomize": True, "sensors": {"push_interval": [1, 2], "history": {"state": 3}, "action_delay": [0, 1]}}
    full = make_env(NAME, num_envs=2, **options)
    assert isinstance(full.single_env, RandomizedSingleEnv)
    shapes = jax.eval_shape(full.reset, jax.random.key(0))
    assert {name: x.shape for name, x in shapes[1].items()} == {"state": (2, 144), "privileged_state": (2, 123)}
    assert set(shapes[0].env.model) == set(standing[0].env.model) - {"body_iquat", "site_pos"}  # Playground's own
    assert mirror_for(full).observations["state"].size == 144
    quiet = full.for_evaluation(1).single_env
    assert not isinstance(quiet, RandomizedSingleEnv)
    assert quiet.cfg["noise_config"]["level"] == quiet.env._config.noise_config.level == 0
    assert full.single_env.env._config.noise_config.level == 1, "training keeps its noise"
    with pytest.raises(ValueError, match="without sensors"):
        jax.eval_shape(jax.vmap(mirror_state_for(full)), shapes[0].env)
    with pytest.raises(ValueError, match=r"cannot be pushed: .* free joint"):
        make_env("playground/CartpoleBalance", num_envs=2, sensors={"push_interval": [1, 2]})
    with pytest.raises(ValueError, match="playground/CartpoleBalance has no domain randomizer"):
        make_env("playground/CartpoleBalance", num_envs=2, randomize=True)


def test_the_mirror_by_name(go1):
    env, _, _ = go1
    legs = joint_mirror(env.single_env.env.mj_model)
    assert legs.swap == ((0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11))
    assert legs.flip == (0, 3, 6, 9)
    mirror = mirror_for(env)
    assert mirror.actions == legs
    assert {group: m.size for group, m in mirror.observations.items()} == {"state": 48, "privileged_state": 123}
    with pytest.raises(ValueError, match="mirror of the group 'camera'"):
        robot_symmetry(env, {"camera": jnp.zeros((2, 3))}, None)


def test_g1_by_name():
    try:
        env = make_env("playground/G1JoystickFlatTerrain", num_envs=2)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    mirror = mirror_for(env)
    assert {group: m.size for group, m in mirror.observations.items()} == {"state": 103, "privileged_state": 216}
    assert mirror.actions.size == 29
    model = env.single_env.env.mj_model
    names = [model.joint(model.actuator_trnid[a, 0]).name for a in range(model.nu)]
    flipped = {
        names[index].split("_joint")[0].removeprefix("left_").removeprefix("right_") for index in mirror.actions.flip
    }
    assert {name.rpartition("_")[2] for name in flipped} == {"roll", "yaw"}
    assert mirror_state_for(env)


@pytest.mark.parametrize(
    "error",
    [ValueError("Error: Error opening file 'trunk.stl'"), subprocess.CalledProcessError(128, ["git", "clone"])],
    ids=["no mesh", "no download"],
)
def test_robots_that_are_not_there(monkeypatch, error):
    from mujoco_playground import registry

    def load(name, config):
        raise error

    monkeypatch.setattr(registry, "load", load)
    with pytest.raises(FileNotFoundError, match=r"(?s)needs the folder .*git clone .*docs/robots\.md") as raised:
        make_env(NAME, num_envs=2)
    assert raised.value.__cause__ is error
