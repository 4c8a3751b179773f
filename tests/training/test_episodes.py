"""Episode statistics against a deque, as in RSL-RL."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.training.episodes import LENGTH, WINDOW, episode_metrics, init_episodes, record_episodes


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.9])
def test_equals_a_deque_of_the_last_hundred(rate):
    rng = np.random.default_rng(0)
    episodes = init_episodes(24, ("Train/mean_reward",))
    record = jax.jit(record_episodes)
    returns, lengths = deque(maxlen=WINDOW), deque(maxlen=WINDOW)
    total, length = np.zeros(24), np.zeros(24)
    for _ in range(4):
        rewards = rng.normal(size=(9, 24)).astype(np.float32)
        dones = rng.random((9, 24)) < rate
        episodes, reached = record(episodes, {"Train/mean_reward": jnp.asarray(rewards)}, jnp.asarray(dones))
        for t in range(9):
            total, length = total + rewards[t], length + 1
            np.testing.assert_array_equal(reached[t], length)
            returns.extend(total[dones[t]])
            lengths.extend(length[dones[t]])
            total, length = np.where(dones[t], 0, total), np.where(dones[t], 0, length)
    metrics = episode_metrics(episodes)
    if rate == 0.0:
        assert all(np.isnan(value) for value in metrics.values())
    else:
        np.testing.assert_allclose(metrics["Train/mean_reward"], np.mean(returns), rtol=1e-4)
        np.testing.assert_allclose(metrics[LENGTH], np.mean(lengths), rtol=1e-6)
