"""The controller of the Go1 gives the policy the same observations as training, and reports its results."""

import contextlib
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import RunnerConfig
from rsl_jax.env.brax import BraxSingleEnv
from rsl_jax.env.deployment import TERMS, deployment_of, layout_of
from rsl_jax.env.extras import simulators_promotion, without_notices
from rsl_jax.env.menagerie import missing_folders
from rsl_jax.export import export_onnx
from rsl_jax.models import build_policy
from rsl_jax.types import Spec
from tests.examples.test_examples import run
from tests.export.models import variables_of

pytest.importorskip("mujoco_playground")

NAME = "Go1JoystickFlatTerrain"
SPEC = Spec({"state": (48,), "privileged_state": (123,)}, num_envs=1, num_actions=12, step_dt=0.02)
MODELS = {
    "MLP": {"class_name": "MLPModel", "hidden_dims": [16], "obs_normalization": True},
    "GRU": {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 8, "hidden_dims": [16]},
}


@contextlib.contextmanager
def as_a_simulator():
    with without_notices(), simulators_promotion():
        yield


def load(name):
    """An environment of Playground's, not compiled; without the noise of its sensors."""
    if missing_folders(name):
        pytest.skip(f"the meshes of {name} are not here")
    from mujoco_playground import registry

    config = registry.get_default_config(name)
    config.impl, config.noise_config.level = "jax", 0.0
    with as_a_simulator():
        return registry.load(name, config=config)


@pytest.fixture(scope="module")
def go1():
    return BraxSingleEnv(load(NAME), cfg={"name": f"playground/{NAME}"})


@pytest.fixture(scope="module")
def example():
    return run("deploy_go1.py", {})


@pytest.fixture(scope="module", params=MODELS)
def exported(request, go1, tmp_path_factory):
    """A policy that knows nothing, with large weights, so that it does something."""
    distribution = {"class_name": "GaussianDistribution"}
    cfg = RunnerConfig.from_dict({"actor": {**MODELS[request.param], "distribution_cfg": distribution}})
    model = build_policy(cfg.actor, SPEC, obs_set="actor", obs_groups={"actor": ("state",)})
    path = tmp_path_factory.mktemp("go1") / "policy.onnx"
    return export_onnx(model, variables_of(model), path, metadata=deployment_of(go1, SPEC))


def test_observations_are_those_of_the_training(go1, example):
    """The same state of MuJoCo, seen by Playground's ``_get_obs`` and by the controller."""
    from mujoco import mjx

    facts = deployment_of(go1, SPEC)
    robot, random = example["Go1"](facts), np.random.default_rng(0)
    robot.reset()
    robot.data.qpos[2:] += random.uniform(-0.2, 0.2, 17)
    robot.data.qvel[:] = random.uniform(-1, 1, 18)
    robot.command, robot.last_action = random.uniform(-1, 1, 3), random.uniform(-1, 1, 12)
    example["mujoco"].mj_forward(robot.model, robot.data)
    ours = robot.observe(facts[TERMS]["state"])

    env = go1.env
    data = example["mujoco"].MjData(env.mj_model)
    data.qpos[:], data.qvel[:] = robot.data.qpos, robot.data.qvel
    example["mujoco"].mj_forward(env.mj_model, data)
    info = {
        "rng": jax.random.PRNGKey(0),
        "last_act": jnp.asarray(robot.last_action),
        "command": jnp.asarray(robot.command),
        "last_contact": jnp.zeros(4, bool),
        "feet_air_time": jnp.zeros(4),
        "steps_since_last_pert": 0,
        "steps_until_next_pert": 1,
    }
    with as_a_simulator():
        theirs = env._get_obs(mjx.put_data(env.mj_model, data, impl="jax"), info)
    np.testing.assert_allclose(ours, theirs["state"], rtol=0, atol=1e-5)
    assert {name: group.shape for name, group in theirs.items()} == dict(SPEC.observations)
    assert {name: (sum(terms.values()),) for name, terms in facts[TERMS].items()} == dict(SPEC.observations)
    hidden = Spec({"state": (96,)}, num_envs=1, num_actions=12)  # a wrapper has stacked what was seen
    assert deployment_of(go1, hidden)[TERMS] == {}


def test_the_controller_has_the_gains_and_the_order_of_the_training(go1, example):
    facts, mine = deployment_of(go1, SPEC), go1.env.mj_model
    robot = example["Go1"](facts).model
    assert facts["joint_names"] == [mine.joint(i).name for i in range(1, 13)]
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "dof_damping", "body_mass"):
        np.testing.assert_array_equal(getattr(robot, field), getattr(mine, field), err_msg=field)
    np.testing.assert_allclose(facts["default_joint_pos"], go1.env._default_pose, atol=1e-7)
    assert (facts["control_dt"], facts["simulation_dt"]) == (0.02, 0.004)
    assert (facts["action_scale"], facts["action_clip"]) == (0.5, 1.0)
    assert facts["joint_effort_limit"][:3] == [23.7, 23.7, 35.55]


def test_a_policy_that_knows_nothing_falls_and_is_reported(exported, example, capsys):
    report = example["main"]([str(exported), "--episodes", "2", "--seconds", "3", "--push", "2"])
    assert report["falls"] == 2
    assert "2 episodes, 2 falls" in capsys.readouterr().out
    # A controller that keeps the default pose stands, and is off by what is commanded.
    keep = SimpleNamespace(layout=[], reset=lambda: None)
    robot = example["Go1"](example["Policy"](exported).facts)
    options = SimpleNamespace(friction=(0.6, 0.6), speed=0.5, seconds=2.0, push=0.0)

    class Keep(SimpleNamespace):
        def __call__(self, obs):
            return np.zeros(12)

    robot.observe = lambda layout: None
    fell, errors = example["episode"](robot, Keep(**vars(keep)), np.random.default_rng(0), options, None, [])
    assert not fell
    np.testing.assert_allclose(np.mean(errors, axis=0)[0], np.hypot(*robot.command[:2]), atol=0.05)


def test_hidden_states_are_kept_within_an_episode(exported, example):
    policy, obs = example["Policy"](exported), np.linspace(-1, 1, 48)
    policy.reset()
    first, second = policy(obs), policy(obs)
    policy.reset()
    np.testing.assert_array_equal(policy(obs), first)
    assert bool(policy.memory) == (not np.array_equal(first, second))


def test_the_layout_of_the_g1_adds_up_to_what_is_observed():
    env = load("G1JoystickFlatTerrain")
    with as_a_simulator():
        sizes = {group: shape[0] for group, shape in env.observation_size.items()}
    layout = layout_of("G1JoystickFlatTerrain", env.action_size)
    assert {group: sum(terms.values()) for group, terms in layout.items()} == sizes
    assert len(deployment_of(BraxSingleEnv(env, cfg={"name": "playground/G1Joystick"}))["joint_effort_limit"]) == 29


def test_what_actions_mean_is_left_out_where_they_are_added_to_something_else():
    model = SimpleNamespace(sim_dt=0.004, action_size=12)
    facts = BraxSingleEnv.deployment(
        SimpleNamespace(env=model, cfg={"name": "playground/Go1Getup"}, step_dt=0.02, _clip_actions=1.0)
    )
    assert facts == {
        "environment": "playground/Go1Getup",
        "control_dt": 0.02,
        "simulation_dt": 0.004,
        "action_clip": 1.0,
    }
