"""A whole run as one function: compiled, over seeds, over settings, over devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.training import make_train
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config


@pytest.fixture(scope="module")
def train(env, cfg):
    return make_train(env, cfg, 6)


@pytest.fixture(scope="module")
def one(train):
    return jax.jit(train)(jax.random.key(0))


def test_metrics_have_the_tags_of_the_log_and_a_row_an_iteration(one):
    _, metrics = one
    expected = {
        "Train/mean_reward",
        "Train/mean_episode_length",
        "Loss/value",
        "Loss/surrogate",
        "Loss/entropy",
        "Loss/learning_rate",
        "Policy/mean_std",
        "Episode/position",
    }
    assert expected <= set(metrics)
    assert {metrics[name].shape for name in expected} == {(6,)}
    # 8 steps an iteration, episodes of 20: the first ones end in the third iteration.
    np.testing.assert_array_equal(np.isnan(metrics["Train/mean_reward"]), [True, True, False, False, False, False])
    assert metrics["Train/mean_episode_length"][-1] == 20


def test_seeds_can_be_vectorised(train, one):
    keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
    states, metrics = jax.jit(jax.vmap(train))(keys)
    assert metrics["Loss/value"].shape == (2, 6)
    # The same numbers as alone, up to the rounding of a batched program over six chaotic iterations.
    np.testing.assert_allclose(metrics["Loss/value"][0, :3], one[1]["Loss/value"][:3], rtol=1e-3)
    kernels = states.params["actor"]["mlp"]["layer_0"]["kernel"]
    assert not np.allclose(kernels[0], kernels[1])


def test_settings_can_be_vectorised(env):
    train = make_train(env, small_config(schedule="fixed"), 2)
    rates, coefs = jnp.array([0.0, 1e-3, 1e-3]), jnp.array([0.0, 0.0, 5.0])
    sweep = jax.vmap(lambda rate, coef: train(jax.random.key(0), learning_rate=rate, entropy_coef=coef))
    states, metrics = jax.jit(sweep)(rates, coefs)
    np.testing.assert_allclose(metrics["Loss/learning_rate"][:, -1], rates)
    stds = states.params["actor"]["distribution"]["std"]
    assert stds[0] == 1.0  # a rate of zero learns nothing
    assert stds[2] > max(1.0, stds[1])  # what is paid for entropy spreads out


def test_unknown_and_structural_overrides_are_refused(train):
    with pytest.raises(ValueError, match=r"'learning_rat'.*Did you mean 'learning_rate'"):
        train(jax.random.key(0), learning_rat=1e-3)
    with pytest.raises(ValueError, match=r"'num_mini_batches': it shapes the program"):
        train(jax.random.key(0), num_mini_batches=4)


def test_host_environments_are_refused(env, cfg):
    with pytest.raises(TypeError, match=r"OnPolicyRunner"):
        make_train(JaxVecEnv(env), cfg, 1)


def test_episodes_can_begin_midway(env, cfg):
    _, metrics = jax.jit(make_train(env, cfg, 1, init_at_random_ep_len=True))(jax.random.key(0))
    # 8 of 20 steps end an episode only where it began midway.
    assert np.isfinite(metrics["Train/mean_reward"]).all()


def test_episodes_without_an_end_cannot_begin_midway(cfg):
    with pytest.raises(ValueError, match=r"init_at_random_ep_len needs an environment with a max_episode_length"):
        make_train(vectorize(PointMass(), 16, max_episode_length=None), cfg, 1, init_at_random_ep_len=True)


def test_learns_the_point_mass():
    env = vectorize(PointMass(), 64, max_episode_length=50)
    cfg = dataclasses.replace(small_config(num_learning_epochs=5), num_steps_per_env=16)
    _, metrics = jax.jit(jax.vmap(make_train(env, cfg, 60)))(jax.random.split(jax.random.key(1), 4))
    rewards = np.median(metrics["Train/mean_reward"], axis=0)
    assert rewards[3] < 30.0, rewards  # of 50, by pushing at random
    assert rewards[-1] > 38.0, rewards


def test_runs_are_reproducible(train, one):
    assert_trees_equal(jax.jit(train)(jax.random.key(0))[0], one[0])
