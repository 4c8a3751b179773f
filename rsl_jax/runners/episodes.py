"""Playing of whole episodes in environments with RSL-RL's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from rsl_jax.env.arrays import to_jax, to_numpy
from rsl_jax.env.base import VecEnv
from rsl_jax.env.contract import CheckedEnv
from rsl_jax.training.host_loop import mean_of_logs
from rsl_jax.types import Key


@dataclass
class Episodes:
    """Finished episodes.

    Attributes:
        returns: sum of rewards of each episode.
        lengths: number of steps of each episode.
        time_outs: number of episodes that ended by the time limit.
        unfinished: number of environments that did not finish all their episodes.
        log: means of the environment's log.
    """

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    time_outs: int = 0
    unfinished: int = 0
    log: Mapping[str, float] = field(default_factory=dict)


def play_episodes(
    env: VecEnv,
    policy: Callable[[Any], Any],
    *,
    per_env: int,
    max_steps: int,
    seed: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> Episodes:
    """Play the same number of episodes in every environment.

    Counting the episodes that end first would favour short ones. Episodes that have already begun do not count.

    Args:
        env: environments.
        policy: function from observations to actions.
        per_env: number of episodes that count in each environment.
        max_steps: maximum number of steps; unfinished episodes are not counted.
        seed: seed of the initial states of later episodes; may be that of the environment.
        on_step: called after every step.
    """
    played, checked, logs = Episodes(), CheckedEnv(env), []
    left, counts = np.full(env.num_envs, per_env), _at_their_start(env)
    returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, int)
    observations = checked.get_observations()
    # A derived seed: with the key of the same seed, the environment has drawn the initial states of the first episodes.
    key = jax.random.key(np.random.SeedSequence(seed).spawn(1)[0].generate_state(1)[0])
    if per_env > 1:
        key = _renew_starts(env, key)
    for _ in range(max_steps):
        answer = checked.step(policy(observations))
        observations = answer.observations
        rewards, dones = np.asarray(to_jax(answer.rewards), float), np.asarray(to_jax(answer.dones), bool)
        returns, lengths = returns + rewards, lengths + 1
        logs.append(answer.log)
        on_step()
        if dones.any():
            counted = dones & counts & (left > 0)
            played.returns += returns[counted].tolist()
            played.lengths += lengths[counted].tolist()
            if answer.time_outs is not None:
                played.time_outs += int(np.sum(counted & np.asarray(to_jax(answer.time_outs), bool)))
            left, counts = left - counted, counts | dones
            returns, lengths = np.where(dones, 0, returns), np.where(dones, 0, lengths)
            if not left.any():
                break
            key = _renew_starts(env, key)
    played.unfinished, played.log = int(np.count_nonzero(left)), mean_of_logs(logs)
    return played


def _at_their_start(env: VecEnv) -> np.ndarray:
    """Return which environments are at the start of an episode, ``[N]``; all where they do not count steps."""
    steps = getattr(env, "episode_length_buf", None)
    return np.ones(env.num_envs, bool) if steps is None else to_numpy(steps) == 0


def _renew_starts(env: VecEnv, key: Key) -> Key:
    """Redraw the pool of initial states, if the environment has one; returns the next key."""
    key, pool_key = jax.random.split(key)
    if hasattr(env, "begin_iteration"):
        env.begin_iteration(pool_key)
    return key
