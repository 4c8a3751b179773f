"""Discrete actions: distribution, learning, errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO
from rsl_jax.config import RunnerConfig
from rsl_jax.distributions import categorical
from rsl_jax.env import JaxVecEnv, make_env, vectorize
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import build_algorithm, make_train
from rsl_jax.training.iteration import spec_of
from tests.environments import PointMass
from tests.helpers import AS_USERS, small_config

SEEDS = 3
CARTPOLE = {
    "num_steps_per_env": 32,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "algorithm": {"class_name": "PPO", "entropy_coef": 0.0, "desired_kl": 0.005, "num_mini_batches": 8},
    "actor": {"class_name": "MLPModel", "hidden_dims": [32, 32], "activation": "tanh"},
    "critic": {"class_name": "MLPModel", "hidden_dims": [32, 32], "activation": "tanh"},
}
SMALL = {
    "num_steps_per_env": 4,
    "algorithm": {"class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 1},
    "actor": {"class_name": "MLPModel", "hidden_dims": [8]},
    "critic": {"class_name": "MLPModel", "hidden_dims": [8]},
}


def test_categorical_by_hand():
    distribution = categorical(3)
    params = distribution.params(jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])) + 7.0, ())
    np.testing.assert_allclose(distribution.log_prob(params, jnp.array([1, 2])), np.log([0.25, 0.6]), rtol=1e-5)
    np.testing.assert_array_equal(distribution.mode(params), [0, 2])
    np.testing.assert_allclose(distribution.entropy(params)[0], 1.5 * np.log(2), rtol=1e-5)
    other = distribution.params(jnp.zeros((2, 3)), ())
    np.testing.assert_allclose(distribution.kl(params, other), np.log(3) - distribution.entropy(params), rtol=1e-4)
    samples = jax.vmap(lambda key: distribution.sample(params, key))(jax.random.split(jax.random.key(0), 4000))
    assert samples.dtype == jnp.int32
    np.testing.assert_allclose(np.mean(np.asarray(samples) == 2, axis=0), [0.25, 0.6], atol=0.03)


def test_three_seeds_balance_gymnaxs_cartpole_for_500_steps():
    train = make_train(make_env("gymnax/CartPole-v1", num_envs=128), CARTPOLE, 240)
    states, metrics = jax.jit(jax.vmap(train), compiler_options=AS_USERS)(jax.random.split(jax.random.key(0), SEEDS))
    assert "Policy/mean_std" not in metrics
    assert np.all(metrics["Train/mean_reward"][:, -1] > 475), "what is called solved, for the policy that explores"

    env = make_env("gymnax/CartPole-v1", num_envs=50)
    policy = build_algorithm(RunnerConfig.from_dict(CARTPOLE), spec_of(env)).policy

    def survivors(state, key):
        """How many are still upright after each of 500 steps of the policy that does not explore."""

        def step(now, _):
            env_state, observations, upright = now
            env_state, answer = env.step(env_state, policy(state, (), observations)[0])
            return (env_state, answer.observations, upright & (~answer.dones | answer.time_outs)), jnp.sum(upright)

        return jax.lax.scan(step, (*env.reset(key), jnp.ones(50, bool)), None, 500)[1]

    upright = jax.jit(jax.vmap(survivors), compiler_options=AS_USERS)(
        states, jax.random.split(jax.random.key(1), SEEDS)
    )
    np.testing.assert_array_equal(upright[:, -1], 50)


@pytest.mark.parametrize("name", ["gymnax/CartPole-v1", "gymnasium/CartPole-v1"])
def test_choices_go_through_both_loops_and_come_out_of_the_policy(name):
    env = make_env(name, num_envs=16)
    runner = OnPolicyRunner(env, SMALL, console=False)
    runner.learn(1)
    assert np.isfinite(runner.metrics["Loss/entropy"])
    env = env if name.startswith("gymnasium") else JaxVecEnv(env)
    actions = runner.get_inference_policy()(env.get_observations())
    assert actions.shape == (16,)
    assert actions.dtype == np.int32
    env.step(actions)


def with_distribution(name):
    cfg = small_config().to_dict()
    return {**cfg, "actor": {**cfg["actor"], "distribution_cfg": {"class_name": name}}}


def test_a_distribution_of_vectors_is_refused_where_actions_are_choices():
    env = make_env("gymnax/CartPole-v1", num_envs=16)
    with pytest.raises(ValueError, match=r"one of 2 discrete.* actor\.distribution_cfg .*'CategoricalDistribution'"):
        OnPolicyRunner(env, with_distribution("GaussianDistribution"), console=False)


def test_choices_are_refused_where_actions_are_vectors():
    env = vectorize(PointMass(), 16)
    with pytest.raises(ValueError, match=r"a vector of 1 numbers.* actor\.distribution_cfg .*'GaussianDistribution'"):
        OnPolicyRunner(env, with_distribution("CategoricalDistribution"), console=False)


def test_a_policy_without_distribution_takes_the_one_of_its_environment():
    cfg = RunnerConfig.from_dict({"actor": {"class_name": "MLPModel"}})
    for env in (vectorize(PointMass(), 16), make_env("gymnax/CartPole-v1", num_envs=16)):
        actor = PPO.build(cfg, spec_of(env)).actor
        assert actor.distribution.discrete == env.discrete
