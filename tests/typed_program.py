"""A user's program: ``mypy --strict`` must know its types without errors."""

from __future__ import annotations

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np

import rsl_jax.env
from rsl_jax.config import RunnerConfig
from rsl_jax.env import Transition, VectorizedEnv, vectorize
from rsl_jax.runners import InferencePolicy, OnPolicyRunner
from rsl_jax.sweeps import SweepResult
from rsl_jax.training import make_train
from rsl_jax.types import Metrics, TrainState


class Cart:
    """A cart without inertia."""

    num_actions = 1
    max_episode_length = 100

    def reset(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Place the cart; gives its state and what it observes."""
        state = jax.random.uniform(key, (1,))
        return state, state

    def step(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, Transition]:
        """Move the cart."""
        state = state + 0.1 * action
        return state, Transition(state, -jnp.abs(state[0]), terminated=jnp.abs(state[0]) > 2)


def main() -> None:
    """Train in all ways."""
    env = vectorize(Cart(), num_envs=8)
    assert isinstance(env, VectorizedEnv)
    cfg = RunnerConfig.from_dict({"num_steps_per_env": 4, "algorithm": {"class_name": "PPO", "gamma": 0.9}})
    steps: int = cfg.num_steps_per_env
    state, metrics = make_train(env, cfg, num_iterations=steps)(jax.random.key(0))
    assert_type(state, TrainState)
    assert_type(metrics, Metrics)

    result = rsl_jax.sweep(env, cfg, iterations=2, seeds=2, learning_rate=[1e-4, 1e-3])
    assert_type(result, SweepResult)
    assert_type(result.scores(), np.ndarray)
    assert_type(result.best().runner(env), OnPolicyRunner)

    runner = OnPolicyRunner(env, cfg, log_dir=None)
    runner.learn(num_learning_iterations=1, init_at_random_ep_len=True)
    policy = runner.get_inference_policy()
    assert_type(policy, InferencePolicy)
    vec_env = rsl_jax.env.make_vec_env("gymnax/Pendulum-v1", num_envs=2, seed=0)
    observations = vec_env.get_observations()
    observations, _rewards, _dones, _extras = vec_env.step(policy(observations))


if __name__ == "__main__":
    main()
