"""Playing whole episodes, and what they earned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rsl_jax.cli.output import number
from rsl_jax.env.arrays import to_jax
from rsl_jax.env.base import VecEnv
from rsl_jax.types import Key


@dataclass
class Episodes:
    """Finished episodes.

    Attributes:
        returns: sum of rewards of each.
        lengths: steps of each.
        time_outs: how many of them ended because time was up.
        unfinished: how many were still under way at the end.
    """

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    time_outs: int = 0
    unfinished: int = 0


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

    Taking whatever ends first would count short episodes more often than long ones.

    Args:
        env: environments that have just been reset.
        policy: from observations to actions.
        per_env: episodes of each environment that count.
        max_steps: when to stop, whatever is still under way.
        seed: of the initial states of later episodes; may be that of the environment.
        on_step: called after every step.
    """
    played = Episodes()
    left = np.full(env.num_envs, per_env)
    returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, int)
    observations = env.get_observations()
    # Another seed out of this one: from the key of the same seed the environment has drawn the first episodes' states.
    key = jax.random.key(np.random.SeedSequence(seed).spawn(1)[0].generate_state(1)[0])
    if per_env > 1:
        key = _renew_starts(env, key)
    for _ in range(max_steps):
        observations, rewards, dones, extras = env.step(policy(observations))
        rewards, dones = np.asarray(to_jax(rewards), float), np.asarray(to_jax(dones), bool)
        returns, lengths = returns + rewards, lengths + 1
        on_step()
        if dones.any():
            counted = dones & (left > 0)
            played.returns += returns[counted].tolist()
            played.lengths += lengths[counted].tolist()
            played.time_outs += int(np.sum(counted & np.asarray(to_jax(extras.get("time_outs", ~dones)), bool)))
            left = left - counted
            returns, lengths = np.where(dones, 0, returns), np.where(dones, 0, lengths)
            if not left.any():
                break
            key = _renew_starts(env, key)
    played.unfinished = int(np.count_nonzero(left))
    return played


def _renew_starts(env: VecEnv, key: Key) -> Key:
    """Draw the states anew that episodes can start from, where there is a pool of them; gives the next key."""
    key, pool_key = jax.random.split(key)
    if hasattr(env, "begin_iteration"):
        env.begin_iteration(pool_key)
    return key


def summary(episodes: Episodes) -> RenderableType:
    """A table of returns and lengths."""
    table = Table()
    table.add_column(f"{len(episodes.returns)} episodes", style="cyan")
    for name in ("mean", "std", "min", "max"):
        table.add_column(name, justify="right", style="bold green" if name == "mean" else "")
    for name, values, decimals in (("return", episodes.returns, 2), ("length", episodes.lengths, 1)):
        statistics = (np.mean(values), np.std(values), np.min(values), np.max(values))
        table.add_row(name, *(number(float(value), decimals=decimals) for value in statistics))
    early = len(episodes.returns) - episodes.time_outs
    endings = f"{episodes.time_outs} ran until the time limit, {early} ended before."
    if episodes.unfinished:
        endings += f" {episodes.unfinished} environments had not finished theirs."
    return Group(table, Text(endings, style="dim"))
