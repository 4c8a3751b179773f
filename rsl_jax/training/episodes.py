"""Statistics of finished episodes, kept on the device.

Where environments are spread over devices, each device tracks the episodes of its own, and all devices record every
episode that ends anywhere: the last 100 are those of the whole run, whatever the number of devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.ops import gather_over_devices
from rsl_jax.types import Array, Metrics, default_dtype

WINDOW = 100
"""Number of last finished episodes that means are computed over."""

LENGTH = "Train/mean_episode_length"


@struct.dataclass
class EpisodeStatistics:
    """Running sums of the episodes under way and the last finished ones.

    Attributes:
        running: sums of the episodes under way, by tag, each ``[N]``.
        finished: sums of the last finished episodes, by tag, each ``[100]``; a ring.
        count: how many episodes have finished, int32 ``[]``.
    """

    running: Mapping[str, Array]
    finished: Mapping[str, Array]
    count: Array


def init_episodes(num_envs: int, tags: tuple[str, ...]) -> EpisodeStatistics:
    """Return empty statistics; ``tags`` are those of the rewards to sum."""
    names = (*tags, LENGTH)
    return EpisodeStatistics(
        running={name: jnp.zeros(num_envs, default_dtype()) for name in names},
        finished={name: jnp.zeros(WINDOW, default_dtype()) for name in names},
        count=jnp.zeros((), jnp.int32),
    )


def record_episodes(
    episodes: EpisodeStatistics, rewards: Mapping[str, Array], dones: Array, *, axis_name: str | None = None
) -> tuple[EpisodeStatistics, Array]:
    """Update the statistics with a rollout.

    Args:
        episodes: statistics before the rollout.
        rewards: by tag, each ``[T, N]``.
        dones: whether the episode ended with the step, ``[T, N]``.
        axis_name: mesh axis over which the environments are spread, or None.

    Returns:
        statistics after the rollout, and the length ``[T, N]`` that each episode had reached with each step.
    """
    steps = {**rewards, LENGTH: jnp.ones_like(next(iter(rewards.values())))}

    def add(running: Mapping[str, Array], step: tuple[Mapping[str, Array], Array]) -> tuple[Any, ...]:
        values, done = step
        sums = {name: running[name] + values[name] for name in running}
        return {name: jnp.where(done, 0, total) for name, total in sums.items()}, sums

    sums: dict[str, Array]
    running, sums = jax.lax.scan(add, dict(episodes.running), (steps, dones))

    # Episode number k goes to place k % 100; of more than 100 in one rollout only the last are written.
    def everywhere(x: Array) -> Array:
        return jnp.ravel(gather_over_devices(x, axis_name, axis=1))

    ended = everywhere(dones)
    order = jnp.cumsum(ended, dtype=jnp.int32)
    total = order[-1]
    written = ended & (order > total - WINDOW)
    places = jnp.where(written, (episodes.count + order - 1) % WINDOW, WINDOW)
    finished = {
        name: ring.at[places].set(everywhere(sums[name]), mode="drop") for name, ring in episodes.finished.items()
    }
    return EpisodeStatistics(running, finished, episodes.count + total), sums[LENGTH]


def episode_metrics(episodes: EpisodeStatistics) -> Metrics:
    """Compute means over the last finished episodes, by tag; NaN while there are none.

    Episodes whose sum is NaN or infinite are left out: one such reward would hide those of a hundred episodes.
    """

    def mean(ring: Array) -> Array:
        known = (jnp.arange(WINDOW) < episodes.count) & jnp.isfinite(ring)
        return jnp.sum(jnp.where(known, ring, 0)) / jnp.sum(known, dtype=default_dtype())

    return {name: mean(ring) for name, ring in episodes.finished.items()}
