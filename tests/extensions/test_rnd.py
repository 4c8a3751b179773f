"""Curiosity: its rewards, weights and state, in every kind of run; tests/parity compares its numbers with RSL-RL's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO
from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, WithCamera, vectorize
from rsl_jax.extensions import build_extensions
from rsl_jax.extensions.rnd import EXTRINSIC, INTRINSIC
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import make_train
from rsl_jax.types import Rollout, Spec
from tests.environments import PointMass
from tests.helpers import assert_same_on_all_devices, assert_trees_equal, halves_of, small_config

T, N, STEP_DT = 5, 6, 0.5
OFF = {"weight": 2.0, "num_outputs": 4, "predictor_hidden_dims": [8], "target_hidden_dims": [8]}
ON = {**OFF, "state_normalization": True, "reward_normalization": True}


def make_env(num_envs=16, **options):
    return vectorize(PointMass(), num_envs, max_episode_length=20, **{"step_dt": STEP_DT, **options})


def curious_config(**changes):
    return small_config(rnd_cfg={**ON, **changes})


def extension(cfg=OFF, axis_name=None, num_envs=N, **spec):
    spec = Spec(
        **{"observations": {"policy": (3,)}, "num_actions": 1, "num_envs": num_envs, "step_dt": STEP_DT, **spec}
    )
    groups = {"rnd_state": ("policy",)}
    return build_extensions(small_config(rnd_cfg=cfg), spec, obs_groups=groups, axis_name=axis_name)


def made_up_rollout(seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    observations = jax.random.normal(keys[0], (T + 1, N, 3))
    return Rollout(
        observations={"policy": observations[:-1]},
        actions=jnp.zeros((T, N, 1)),
        log_probs=jnp.zeros((T, N)),
        distribution_params=(),
        rewards=jax.random.normal(keys[1], (T, N)),
        dones=jax.random.bernoulli(keys[2], 0.3, (T, N)),
        time_outs=jnp.zeros((T, N), bool),
        carry=(),
        last_observations={"policy": observations[-1]},
    )


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """Four iterations with checkpoints after the iterations 0, 2 and 3."""
    schedule = {"mode": "linear", "initial_step": 8, "final_step": 24, "final_value": 0.0}
    cfg = curious_config(weight_schedule=schedule)
    runner = OnPolicyRunner(make_env(), cfg, tmp_path_factory.mktemp("run"), seed=3, console=False)
    runner.learn(4)
    return runner


# --- rewards ----------------------------------------------------------------------------------------------------------


def test_rewards_are_those_of_what_was_seen_after_each_step():
    curious, rollout = extension(), made_up_rollout()
    state = curious.init(jax.random.key(0))
    _, _, prepared, rewards = curious.prepare(state, curious.init_memory(), rollout)
    # A shift by one step moves the rewards by one step, and the first observation has no influence on them.
    shifted = dataclasses.replace(
        rollout,
        observations=jax.tree.map(lambda x: x.at[0].set(100.0), rollout.observations),
        last_observations=jax.tree.map(lambda x: x * 0, rollout.last_observations),
    )
    _, _, _, others = curious.prepare(state, curious.init_memory(), shifted)
    np.testing.assert_array_equal(others[INTRINSIC][:-1], rewards[INTRINSIC][:-1])
    assert np.all(np.asarray(others[INTRINSIC][-1] != rewards[INTRINSIC][-1]))
    assert np.all(np.asarray(rewards[INTRINSIC]) > 0)
    np.testing.assert_array_equal(rewards[EXTRINSIC], rollout.rewards)
    np.testing.assert_array_equal(prepared.rewards, rollout.rewards + rewards[INTRINSIC])


def test_the_weight_is_one_a_second():
    rollout = made_up_rollout()
    rewards = {}
    for step_dt in (0.1, 0.2):
        curious = extension(step_dt=step_dt)
        state = curious.init(jax.random.key(0))
        rewards[step_dt] = curious.prepare(state, curious.init_memory(), rollout)[3][INTRINSIC]
        np.testing.assert_allclose(curious.metrics(state)["Rnd/weight"], 2.0 * step_dt)
    np.testing.assert_allclose(rewards[0.2], 2 * rewards[0.1], rtol=1e-6)


def test_what_is_learned_is_no_longer_rewarded_and_the_target_stays():
    curious, rollout = extension(), made_up_rollout()
    start = state = curious.init(jax.random.key(0))
    learn = jax.jit(curious.optimize)
    losses = []
    for _ in range(300):
        state, logs = learn(state, rollout.observations)
        losses.append(float(logs["rnd"]))
    assert losses[-1] < 0.2 * losses[0]
    before, after = (curious.prepare(s, curious.init_memory(), rollout)[3][INTRINSIC] for s in (start, state))
    assert np.mean(after[:-1]) < 0.5 * np.mean(before[:-1])
    assert_trees_equal(state["rnd"].target, start["rnd"].target)


def test_parts_of_the_environments_on_two_devices_give_the_same():
    rollout = made_up_rollout()
    whole, part = extension(ON), extension(ON, axis_name="devices", num_envs=N // 2)
    state = whole.init(jax.random.key(0))

    def one(curious, memory, rollout):
        learned, memory, _, rewards = curious.prepare(state, memory, rollout)
        learned, logs = curious.optimize(learned, rollout.observations)
        return curious.update_statistics(learned, rollout.observations), memory, rewards[INTRINSIC], logs

    learned, memory, rewards, logs = jax.jit(lambda: one(whole, whole.init_memory(), rollout))()
    halves = jax.jit(jax.vmap(lambda memory, rollout: one(part, memory, rollout), axis_name="devices"))(
        jax.tree.map(lambda x: jnp.stack([x, x]), part.init_memory()), halves_of(rollout)
    )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # noqa: E731
    for half in (0, 1):
        jax.tree.map(lambda a, b, half=half: close(a[half], b), (halves[0], halves[3]), (learned, logs))
    close(jnp.concatenate(list(halves[2]), axis=1), rewards)
    close(jnp.ravel(halves[1]["rnd"]), memory["rnd"])


# --- runs -------------------------------------------------------------------------------------------------------------


def test_logs_what_rsl_rl_logs(runner):
    assert {EXTRINSIC, INTRINSIC, "Rnd/weight", "Loss/rnd"} <= set(runner.metrics)
    total = runner.metrics[EXTRINSIC] + runner.metrics[INTRINSIC]
    assert runner.metrics["Train/mean_reward"] == pytest.approx(total, rel=1e-5)
    assert runner.metrics["Rnd/weight"] == 0.0  # 32 steps, the line ends at 24
    assert runner.algorithm.score_tag == EXTRINSIC


def test_goes_on_bit_for_bit_from_a_checkpoint(runner):
    other = OnPolicyRunner(make_env(), runner.cfg, seed=99, console=False)
    other.load(runner.logger.log_dir / "model_2")
    assert int(other.state.extensions["rnd"].steps) == 24
    other.learn(1)
    assert_trees_equal(other.state, runner.state)


def test_curiosity_alone_can_be_loaded(runner):
    other = OnPolicyRunner(make_env(), runner.cfg, seed=99, console=False)
    params = other.state.params
    other.load(runner.logger.log_dir / "model_3", load_cfg={"rnd": True})
    assert_trees_equal(other.state.extensions, runner.state.extensions)
    assert_trees_equal(other.state.params, params)


@pytest.mark.filterwarnings("ignore:The environments restart")
def test_another_number_of_environments_forgets_only_their_sums(runner):
    other = OnPolicyRunner(make_env(8), runner.cfg, seed=99, console=False)
    other.load(runner.logger.log_dir / "model_3")
    assert_trees_equal(other.state.extensions, runner.state.extensions)
    np.testing.assert_array_equal(other.state.memory["rnd"], np.zeros(8))


def test_host_environments_give_the_same(runner):
    reset_key = jax.random.split(jax.random.key(3), 3)[1]
    host = OnPolicyRunner(JaxVecEnv(make_env(), key=reset_key), runner.cfg, seed=3, console=False)
    pure = OnPolicyRunner(make_env(), runner.cfg, seed=3, console=False)
    host.learn(2)
    pure.learn(2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), host.state, pure.state)


def test_seeds_can_be_vectorised():
    train = make_train(make_env(), curious_config(), 1)
    states, metrics = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 2))
    assert metrics["Loss/rnd"].shape == (2, 1)
    kernels = states.extensions["rnd"].target["layer_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])


def test_recurrent_policies_are_curious_too():
    plain = curious_config().to_dict()
    rnn = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 4, "hidden_dims": [4]}
    cfg = RunnerConfig.from_dict({**plain, "actor": {**plain["actor"], **rnn}, "critic": {**plain["critic"], **rnn}})
    _, metrics = jax.jit(make_train(make_env(), cfg, 3))(jax.random.key(0))
    assert np.all(np.isfinite(metrics["Loss/rnd"]))
    assert metrics[INTRINSIC][-1] > 0


def test_policies_that_see_images_are_curious_on_two_devices():
    filmed = WithCamera(PointMass(), lambda state: jnp.tile(state[:1], (1, 3, 3)), frames=1)
    env = vectorize(filmed, 8, max_episode_length=10, step_dt=STEP_DT)
    cnn = {
        "class_name": "CNNModel",
        "hidden_dims": [4],
        "cnn_cfg": {"output_channels": [2], "kernel_size": 3},
        "distribution_cfg": {"class_name": "GaussianDistribution"},
    }
    groups = {"actor": ["camera"], "critic": ["policy"], "rnd_state": ["policy"]}
    cfg = RunnerConfig.from_dict({**curious_config().to_dict(), "actor": cnn, "obs_groups": groups})
    runner = OnPolicyRunner(env, cfg, console=False, devices=jax.devices("cpu")[:2])
    start = jax.tree.map(np.asarray, runner.state.extensions["rnd"])
    runner.learn(2)
    assert runner.metrics[INTRINSIC] > 0
    state = runner.state.extensions["rnd"]
    assert_trees_equal(jax.tree.map(np.asarray, state.target), start.target)
    assert not np.allclose(state.predictor["layer_0"]["kernel"], start.predictor["layer_0"]["kernel"])
    assert_same_on_all_devices(state)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_images_are_refused_and_go_with_vectors():
    cnn = {"class_name": "CNNModel", "hidden_dims": [4], "cnn_cfg": {"output_channels": [2], "kernel_size": 3}}
    cnn["obs_normalization"] = False
    plain = curious_config().to_dict()
    sections = {"actor": {**plain["actor"], **cnn}, "critic": {**plain["critic"], **cnn}}
    spec = Spec({"camera": (1, 5, 5), "state": (3,)}, num_actions=1, num_envs=4, step_dt=0.1)
    groups = {"actor": ["camera"], "critic": ["camera"], "rnd_state": ["state"]}
    ppo = PPO.build(RunnerConfig.from_dict({**plain, **sections, "obs_groups": groups}), spec)
    assert ppo.extension.init(jax.random.key(0))["rnd"].target["layer_0"]["kernel"].shape == (3, 8)
    groups = {**groups, "rnd_state": ["state", "camera"]}
    with pytest.raises(ValueError, match=r"'camera' of obs_groups\['rnd_state'\] has shape \(1, 5, 5\)"):
        PPO.build(RunnerConfig.from_dict({**plain, **sections, "obs_groups": groups}), spec)


def test_an_environment_without_step_dt_is_refused():
    with pytest.raises(ValueError, match=r"does not say how many seconds a step takes.*step_dt=1"):
        make_train(make_env(step_dt=None), curious_config(), 1)


def test_unknown_activations_are_refused():
    with pytest.raises(
        ValueError, match=r"algorithm\.rnd_cfg\.activation must be one of .*got 'elo'\. Did you mean 'elu'"
    ):
        extension({**OFF, "activation": "elo"})
