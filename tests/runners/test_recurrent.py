"""Recurrent policies: all ways of training, checkpoints, and inference that resets at the end of an episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.ops import reset_carry
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.runners.episodes import play_episodes
from rsl_jax.training import make_train
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

ITERATIONS = 4


def recurrent_config(**algorithm) -> RunnerConfig:
    """An LSTM acts, a GRU judges; one mini-batch and epoch, because nothing here depends on more."""
    cfg = small_config(num_learning_epochs=1, **algorithm).to_dict()
    sizes = {"class_name": "RNNModel", "rnn_hidden_dim": 5, "hidden_dims": [6]}
    cfg["actor"] |= {**sizes, "rnn_type": "lstm"}
    cfg["critic"] |= {**sizes, "rnn_type": "gru"}
    return RunnerConfig.from_dict({**cfg, "num_steps_per_env": 6})


@pytest.fixture(scope="module")
def env():
    """Episodes of 7 steps in rollouts of 6."""
    return vectorize(PointMass(), 8, max_episode_length=7, auto_reset="cached")


@pytest.fixture(scope="module")
def trained(env, tmp_path_factory):
    """With checkpoints after the iterations 0, 2 and 3, the hidden states then in the middle of an episode."""
    runner = OnPolicyRunner(env, recurrent_config(), tmp_path_factory.mktemp("run"), seed=3, console=False)
    runner.learn(ITERATIONS)
    return runner


@pytest.fixture(scope="module")
def host(env):
    """The same on the environment worn as a VecEnv."""
    reset_key = jax.random.split(jax.random.key(3), 3)[1]
    runner = OnPolicyRunner(JaxVecEnv(env, key=reset_key), recurrent_config(), seed=3, console=False)
    runner.learn(ITERATIONS)
    return runner


def assert_close(a, b, **tolerances):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerances), a, b)


def test_compiled_runs_over_seeds_give_the_runner_s_parameters(env, trained):
    train = make_train(env, recurrent_config(), ITERATIONS)
    states, metrics = jax.jit(jax.vmap(train))(jnp.stack([jax.random.key(3), jax.random.key(4)]))
    assert_close(jax.tree.map(lambda x: x[0], states), trained.state, rtol=1e-4, atol=1e-5)
    assert metrics["Loss/value"].shape == (2, ITERATIONS)
    assert not np.allclose(metrics["Loss/value"][0], metrics["Loss/value"][1])


def test_host_loop_gives_the_same_parameters_and_hidden_states(trained, host):
    assert_close(host.state, trained.state, rtol=2e-4, atol=2e-5)
    assert_close(host.loop_state.carry, trained.loop_state.carry, rtol=2e-4, atol=2e-5)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(host.loop_state.carry))


def test_resumes_bit_for_bit_with_hidden_states(env, trained):
    runner = OnPolicyRunner(env, recurrent_config(), seed=99, console=False)
    runner.load(trained.logger.log_dir / "model_2")
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(runner.loop_state.carry))
    runner.learn(1)
    assert_trees_equal(runner.state, trained.state)
    assert_trees_equal(runner.loop_state, trained.loop_state)


def test_nothing_compiles_after_the_first_iteration(env, host, compilations):
    runner = OnPolicyRunner(env, recurrent_config(), console=False)
    runner.learn(1)
    with compilations() as names:
        runner.learn(2)
        host.learn(1)
    assert names == []


def test_environments_that_cannot_be_shared_out_are_refused(env):
    with pytest.raises(ValueError, match=r"num_envs \(8\) must be divisible by num_mini_batches \(3\)"):
        make_train(env, recurrent_config(num_mini_batches=3), 1)


# --- inference --------------------------------------------------------------------------------------------------------


def test_inference_forgets_where_the_environment_began_anew(env, trained):
    worn, policy = JaxVecEnv(env, seed=1), trained.get_inference_policy()
    policy = type(policy)(trained.algorithm, trained.state, worn)
    observations, carry = worn.get_observations(), trained.algorithm.initial_carry(env.num_envs)
    for _ in range(12):  # across the end of the first episode
        expected, carry = trained.algorithm.policy(trained.state, carry, observations)
        actions = policy(observations)
        np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)
        observations, _, dones, _ = worn.step(actions)
        carry = reset_carry(carry, dones)


def test_every_episode_from_the_same_state_is_played_the_same(env, trained):
    """Each environment starts all its episodes in one state, so only memory could make them different."""
    worn = JaxVecEnv(env, seed=1)
    policy = OnPolicyRunner(worn, recurrent_config(), console=False).get_inference_policy()
    played = play_episodes(worn, policy, per_env=3, max_steps=100)
    returns = np.reshape(played.returns, (3, env.num_envs))
    np.testing.assert_allclose(returns[1:], returns[:1].repeat(2, axis=0), rtol=1e-5)
    assert len(np.unique(returns[0])) == env.num_envs


def test_inference_can_be_told_to_forget(trained):
    policy = trained.get_inference_policy()
    observations = {"policy": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)}
    first, second = policy(observations), policy(observations)
    assert not np.allclose(first, second)
    policy.reset(np.array([True, False, True]))
    third = policy(observations)
    np.testing.assert_allclose(third[[0, 2]], first[[0, 2]], rtol=1e-5)
    assert not np.allclose(third[1], first[1])
    policy.reset()
    np.testing.assert_allclose(policy(observations), first, rtol=1e-5)


def test_another_number_of_robots_must_be_told(trained):
    policy = trained.get_inference_policy()
    policy({"policy": np.zeros((3, 2), np.float32)})
    with pytest.raises(ValueError, match=r"hidden states of 3 environments; got observations of 2.*reset\(\)"):
        policy({"policy": np.zeros((2, 2), np.float32)})
    policy.reset()
    policy({"policy": np.zeros((2, 2), np.float32)})
