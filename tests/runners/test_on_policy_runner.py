"""The runner: both loops, saving, resuming, guards."""

import json
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.checkpoint import latest_checkpoint, read_checkpoint
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import NonFiniteError, OnPolicyRunner
from rsl_jax.training import make_train
from tests.environments import NaNAfter, PointMass
from tests.helpers import assert_trees_equal, small_config


def make_env(num_envs=16):
    return vectorize(PointMass(), num_envs, max_episode_length=20)


@pytest.fixture(scope="module")
def env():
    return make_env()


@pytest.fixture(scope="module")
def trained(env, tmp_path_factory):
    """Six iterations in one go, with checkpoints after the iterations 0, 2, 4 and 5."""
    log_dir = tmp_path_factory.mktemp("run")
    runner = OnPolicyRunner(env, small_config(), log_dir, seed=3, console=False)
    runner.learn(6)
    return runner


def test_equals_the_compiled_run(env, trained):
    state, _ = jax.jit(make_train(env, small_config(), 6))(jax.random.key(3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), state, trained.state)


def test_host_loop_gives_the_same_parameters(env, trained):
    reset_key = jax.random.split(jax.random.key(3), 3)[1]
    runner = OnPolicyRunner(JaxVecEnv(env, key=reset_key), small_config(), seed=3, console=False)
    runner.learn(3)
    pure = OnPolicyRunner(env, small_config(), seed=3, console=False)
    pure.learn(3)
    # The same arithmetic, compiled in other pieces: what differs is rounding.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), runner.state, pure.state)


def test_resumes_bit_for_bit(env, trained):
    log_dir = trained.logger.log_dir
    runner = OnPolicyRunner(env, small_config(), seed=99, console=False)
    runner.load(log_dir / "model_2")
    assert runner.current_learning_iteration == 2
    runner.learn(3)
    assert_trees_equal(runner.state, trained.state)
    assert_trees_equal(runner.loop_state, trained.loop_state)


def test_writes_what_was_promised(trained):
    log_dir = trained.logger.log_dir
    names = {path.name for path in log_dir.iterdir()}
    assert {"model_0", "model_2", "model_4", "model_5", "model_best"} <= names
    assert json.loads((log_dir / ".lock.json").read_text())["pid"] == os.getpid()  # while it trained
    assert latest_checkpoint(log_dir).name == "model_5"
    checkpoint = read_checkpoint(log_dir / "model_5")
    assert checkpoint.metadata["iteration"] == 5
    assert checkpoint.metadata["config"] == small_config().to_dict()
    best = read_checkpoint(log_dir / "model_best")
    assert best.metadata["iteration"] == int(best.state["iteration"]) - 1


def test_infos_come_back_and_must_be_json(trained, tmp_path):
    trained.save(tmp_path / "x", infos={"note": [1, 2]})
    assert trained.load(tmp_path / "x") == {"note": [1, 2]}
    with pytest.raises(TypeError, match=r"infos"):
        trained.save(tmp_path / "y", infos={"note": object()})
    assert not (tmp_path / "y").exists()


def test_a_save_cut_short_does_not_hide_the_last_good_one(trained, tmp_path):
    trained.save(tmp_path / "model_7")
    (tmp_path / "model_9").mkdir()  # what a save leaves that never got to its end
    (tmp_path / "model_8.orbax-checkpoint-tmp").mkdir()
    assert latest_checkpoint(tmp_path).name == "model_7"
    with pytest.raises(FileNotFoundError, match=r"model_7"):
        trained.load(tmp_path / "model_9")


def test_load_cfg_picks_parts(env, trained):
    path = trained.logger.log_dir / "model_5"
    runner = OnPolicyRunner(env, small_config(), seed=8, console=False)
    before = runner.state
    runner.load(path, load_cfg={"actor": True})
    assert_trees_equal(runner.state.params["actor"], trained.state.params["actor"])
    assert_trees_equal(runner.state.statistics["actor"], trained.state.statistics["actor"])
    assert_trees_equal(runner.state.params["critic"], before.params["critic"])
    assert int(runner.state.iteration) == 0
    runner.load(path, load_cfg={"optimizer": True, "iteration": True})
    assert runner.state.learning_rate == trained.state.learning_rate
    assert runner.current_learning_iteration == 5
    with pytest.raises(ValueError, match=r"'actr'.*Allowed: actor, critic"):
        runner.load(path, load_cfg={"actr": True})


def test_another_network_is_refused_or_left_alone(env, trained):
    path = trained.logger.log_dir / "model_5"
    cfg = small_config().to_dict()
    cfg["actor"]["hidden_dims"] = [8]
    runner = OnPolicyRunner(env, cfg, console=False)
    with pytest.raises(ValueError, match=r"actor.*shape \(2, 16\) in the checkpoint, \(2, 8\) here"):
        runner.load(path)
    with pytest.warns(UserWarning, match=r"left as they were"):
        runner.load(path, strict=False)
    assert_trees_equal(runner.state.params["critic"], trained.state.params["critic"])


def test_another_number_of_environments_starts_them_afresh(trained):
    runner = OnPolicyRunner(make_env(4), small_config(), console=False)
    with pytest.warns(UserWarning, match="The environments restart"):
        runner.load(trained.logger.log_dir / "model_5")
    assert_trees_equal(runner.state, trained.state)
    assert runner.loop_state.observations["policy"].shape == (4, 2)


def test_inference_policy_is_a_snapshot_and_speaks_numpy(env):
    runner = OnPolicyRunner(env, small_config(), console=False)
    policy = runner.get_inference_policy()
    observations = {"policy": np.ones((3, 2), np.float32)}
    before = policy(observations)
    assert isinstance(before, np.ndarray)
    assert before.shape == (3, 1)
    runner.learn(1)
    np.testing.assert_array_equal(policy(observations), before)
    assert not np.array_equal(runner.get_inference_policy()(observations), before)


def test_random_episode_lengths(env):
    runner = OnPolicyRunner(env, small_config(), console=False)
    runner.learn(1, init_at_random_ep_len=True)
    assert int(runner.loop_state.episodes.count) > 0  # 8 of 20 steps end an episode only where it began midway


def test_nothing_compiles_after_the_first_iteration(env, compilations):
    runner = OnPolicyRunner(env, small_config(), console=False)
    runner.learn(1)
    with compilations() as names:
        runner.learn(2)
    assert names == []


def test_host_loop_compiles_nothing_after_the_first_iteration(env, compilations):
    runner = OnPolicyRunner(JaxVecEnv(env), small_config(), console=False)
    runner.learn(1)
    with compilations() as names:
        runner.learn(2)
    assert names == []


def test_one_fetch_an_iteration(env, monkeypatch):
    runner = OnPolicyRunner(env, small_config(), console=False)
    runner.learn(1)
    fetches = []
    device_get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetches.append(1) or device_get(tree))
    loop, state, loop_state = runner._loop, runner.state, runner.loop_state
    with jax.transfer_guard("disallow"):
        loop.iterate(state, loop_state)
    assert len(fetches) == 1


@pytest.mark.parametrize(("in_reward", "name"), [(True, "rewards"), (False, "observations.policy")])
def test_nan_from_the_environment_stops_and_leaves_the_last_good_state(in_reward, name, tmp_path):
    env = vectorize(NaNAfter(20, in_reward=in_reward), 4, max_episode_length=50)
    runner = OnPolicyRunner(env, small_config(), tmp_path, console=False)
    runner.learn(2)
    good = jax.tree.map(jnp.copy, runner.state)
    with pytest.raises(NonFiniteError, match=rf"iteration 2.*{name}.*saved as .*model_1") as error:
        runner.learn(3)
    assert error.value.names[0] == name
    again = OnPolicyRunner(env, small_config(), console=False)
    again.load(tmp_path / "model_1")
    assert_trees_equal(again.state.params, good.params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(again.state.params))


def test_infinite_loss_names_what_diverged():
    env = vectorize(PointMass(), 4, max_episode_length=20)
    runner = OnPolicyRunner(env, small_config(value_loss_coef=1e38), console=False)
    with pytest.raises(NonFiniteError, match=r"gradient.critic"):
        runner.learn(5)


class ForgetsTimeOuts(JaxVecEnv):
    """Ends episodes by time, and tells nobody."""

    def step(self, actions):
        observations, rewards, dones, _ = super().step(actions)
        return observations, rewards, dones, {}


def test_time_limits_without_time_outs_warn_once(env):
    runner = OnPolicyRunner(ForgetsTimeOuts(env), small_config(), console=False)
    with pytest.warns(UserWarning, match=r"max_episode_length=20.*time_outs"):
        runner.learn(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.learn(3)


def test_unknown_device_falls_back_with_a_warning(env):
    with pytest.warns(UserWarning, match=r"no device 'tpu:7'"):
        runner = OnPolicyRunner(env, small_config(), device="tpu:7", console=False)
    assert runner.device == jax.devices()[0]


def test_unknown_observation_group_is_refused(env):
    cfg = {**small_config().to_dict(), "obs_groups": {"actor": ["polcy"]}}
    with pytest.raises(ValueError, match=r"'polcy'.*Did you mean 'policy'"):
        OnPolicyRunner(env, cfg)


def test_more_mini_batches_than_samples_are_refused(env):
    with pytest.raises(ValueError, match=r"16 environments x 8 steps are fewer samples than num_mini_batches \(200\)"):
        OnPolicyRunner(env, small_config(num_mini_batches=200))
