"""Playground's and Brax's environments."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from rsl_jax.env import make_env, vectorize
from rsl_jax.env.brax import BraxSingleEnv
from rsl_jax.env.mujoco_camera import MujocoCamera

N = 3


@struct.dataclass
class FakeState:
    """Has the fields of a state of either library."""

    x: jax.Array
    obs: jax.Array
    reward: jax.Array
    done: jax.Array
    metrics: dict
    info: dict


class Fake:
    """Walks as Brax would have it walk: falls at 10, and from 20 on calls that a truncation."""

    action_size = 1
    dt = 0.25

    def reset(self, rng):
        x = jax.random.uniform(rng, ())
        return FakeState(x, x[None], 0.0, 0.0, {"speed": jnp.zeros(())}, {"time_out": jnp.zeros(()), "rng": rng})

    def step(self, state, action):
        x = state.x + action[0]
        state.metrics.update(speed=action[0])
        info = {**state.info, "time_out": jnp.where(x >= 20, 1.0, 0.0)}
        return state.replace(x=x, obs=x[None], reward=x, done=jnp.where(x >= 10, 1.0, 0.0), info=info)


def start(env, x):
    """The state of an environment that stands at ``x``."""
    state, _ = env.reset(jax.random.key(0))
    return state.replace(env=state.env.replace(x=jnp.array(x)))


def test_truncations_that_info_tells_of_are_terminations_unless_it_is_to_be_believed():
    for key, cut_short in (("time_out", True), (None, False)):
        env = vectorize(BraxSingleEnv(Fake(), truncation_key=key), N)
        _, timestep = env.step(start(env, [0.0, 9.0, 19.0]), jnp.ones((N, 1)))
        assert timestep.dones.tolist() == [False, True, True]
        assert timestep.time_outs.tolist() == [False, False, cut_short]
    assert timestep.final_observations["policy"].tolist() == [[1], [10], [20]]
    assert timestep.log["speed"] == 1


def test_actions_are_clipped():
    for clip, expected in ((1.0, 1.0), (0.5, 0.5), (None, 5.0)):
        env = vectorize(BraxSingleEnv(Fake(), clip_actions=clip), N)
        _, timestep = env.step(start(env, [0.0] * N), jnp.full((N, 1), 5.0))
        np.testing.assert_allclose(timestep.rewards, expected)


def test_an_action_is_repeated_until_the_episode_ends():
    single = BraxSingleEnv(Fake(), episode_length=10, action_repeat=3)
    env = vectorize(single, N)
    assert (env.step_dt, env.max_episode_length) == (0.75, 4)
    _, timestep = env.step(start(env, [0.0, 8.0, 9.5]), jnp.ones((N, 1)))
    assert timestep.dones.tolist() == [False, True, True]
    # 1 + 2 + 3; 9 + 10 and over; 10.5 and over
    assert timestep.rewards.tolist() == [6, 19, 10.5]
    assert timestep.final_observations["policy"].tolist() == [[3], [10], [10.5]]
    with pytest.raises(ValueError, match="action_repeat is 0"):
        BraxSingleEnv(Fake(), action_repeat=0)


def quickly(function):
    """Compile a simulator in half the time, to a program that is run but a few times."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def pendulum():
    """Playground's pendulum: environment, compiled reset, compiled step."""
    pytest.importorskip("mujoco_playground")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_env("playground/PendulumSwingup", num_envs=N, max_episode_length=4)
    return env, quickly(env.reset), quickly(env.step)


def test_playground(pendulum):
    env, reset, step = pendulum
    assert (env.num_actions, env.step_dt, env.max_episode_length) == (1, 0.02, 4)
    assert env.cfg["name"] == "playground/PendulumSwingup"
    assert env.cfg["impl"] == "jax"
    state, observations = reset(jax.random.key(0))
    assert observations["policy"].shape == (N, 3)
    # One is as late as can be; one has broken down, which is how this task terminates.
    state = state.replace(episode_length=jnp.array([0, 3, 3]))
    data = state.env.data
    broken = state.replace(env=state.env.replace(data=data.replace(qvel=data.qvel.at[2].set(jnp.nan))))
    following, timestep = step(broken, jnp.ones((N, 1)))
    assert timestep.dones.tolist() == [False, True, True]
    assert timestep.time_outs.tolist() == [False, True, False]
    assert jnp.isnan(timestep.final_observations["policy"][2]).any()
    for leaf in jax.tree.leaves((following.env.data, timestep.observations)):
        assert jnp.isfinite(leaf).all()  # nothing of the broken state is left
    np.testing.assert_array_equal(following.env.obs, timestep.observations["policy"])
    np.testing.assert_array_equal(timestep.observations["policy"][0], timestep.final_observations["policy"][0])
    step(following, jnp.ones((N, 1)))
    assert step._cache_size() == 1


def test_playground_goes_on_from_other_coordinates(pendulum):
    env, reset, step = pendulum
    state, _ = reset(jax.random.key(0))
    state, _ = step(state, jnp.ones((N, 1)))  # so that it moves
    angles, speeds = env.single_env.coordinates(state.env)
    mirrored = state.replace(env=jax.vmap(env.single_env.at)(state.env, (-angles, -speeds)))
    _, timestep = step(state, jnp.ones((N, 1)))
    _, in_the_mirror = step(mirrored, -jnp.ones((N, 1)))
    signs = jnp.array([[-1.0, 1.0, -1.0]])  # sine, cosine, speed
    np.testing.assert_allclose(in_the_mirror.observations["policy"], signs * timestep.observations["policy"], atol=1e-6)


def test_playground_draws_itself(pendulum, monkeypatch):
    env, reset, _ = pendulum
    state, _ = reset(jax.random.key(0))
    try:
        picture = env.render(state)
    except RuntimeError as error:
        pytest.skip(str(error))
    assert picture.shape == (360, 480, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 1
    moved = state.replace(env=state.env.replace(data=state.env.data.replace(qpos=state.env.data.qpos.at[0].add(0.5))))
    assert (env.render(moved) != picture).any()
    # gymnasium says EGL when it draws, long after MuJoCo was imported without it.
    monkeypatch.setenv("MUJOCO_GL", "egl")
    another = MujocoCamera(env.single_env.env.mj_model)
    np.testing.assert_array_equal(another.draw(qpos=state.env.data.qpos[0], qvel=state.env.data.qvel[0]), picture)


def test_playground_options():
    pytest.importorskip("mujoco_playground")
    with pytest.raises(ValueError, match=r"Unknown config key .*'ctrl_d'.* Did you mean 'ctrl_dt'"):
        make_env("playground/CartpoleBalance", num_envs=2, config_overrides={"ctrl_d": 1})
    env = make_env(
        "playground/CartpoleBalance",
        num_envs=2,
        config_overrides={"episode_length": 50, "action_repeat": 2, "vision_config.use_shadows": True},
    )
    assert (env.max_episode_length, env.step_dt) == (25, 0.02)
    assert env.cfg["vision_config"]["use_shadows"] is True
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    _, timestep = jax.eval_shape(env.step, state, jnp.zeros((2, 1)))
    assert set(timestep.log) >= {"reward/upright", "reward/centered"}


def test_brax():
    pytest.importorskip("brax")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_env("brax/inverted_pendulum", num_envs=N, auto_reset="cached")
        assert env.max_episode_length == 1000
        assert env.cfg["backend"] == "spring"
        state, first = quickly(env.reset)(jax.random.key(0))
        # The pole of the second has fallen over, the third is out of time.
        positions, speeds = env.single_env.coordinates(state.env)
        fallen = quickly(jax.vmap(env.single_env.at))(state.env, (positions.at[1, 1].set(0.5), speeds))
        state = state.replace(env=fallen, episode_length=jnp.array([0, 0, 999]))
        _, timestep = quickly(env.step)(state, jnp.zeros((N, 1)))
    assert timestep.dones.tolist() == [False, True, True]
    assert timestep.time_outs.tolist() == [False, False, True]
    np.testing.assert_array_equal(timestep.observations["policy"][1:], first["policy"][1:])
    assert abs(timestep.final_observations["policy"][1, 1]) > 0.2


def test_brax_without_springs():
    pytest.importorskip("brax")
    env = make_env("brax/swimmer", num_envs=1, action_repeat=2)  # whose drag needs a hand under today's JAX
    assert env.cfg["backend"] == "generalized"
    assert env.max_episode_length == 500
