"""``rsl_jax.sweep`` as it trains, with a program that is compiled once: for benchmarks that train more than once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from rsl_jax.config import RunnerConfig
from rsl_jax.sweeps.program import Program
from rsl_jax.sweeps.running import LONGEST_STRETCH, Run
from rsl_jax.sweeps.settings import Member


def compiled_sweep(
    env: Any, train_cfg: Mapping[str, Any], *, iterations: int, seeds: int, devices: Sequence[jax.Device]
) -> Callable[[], Any]:
    """Return a function that trains all seeds, in blocks after each of which the metrics of all members are fetched."""
    cfg = RunnerConfig.from_dict(train_cfg)
    members = [Member(seed, {}, seed) for seed in range(seeds)]
    program = Program(env, cfg, [], stretch=min(iterations, LONGEST_STRETCH), devices=devices)
    reports: list[Any] = []

    def train() -> Any:
        run = Run(env, cfg, [*members], iterations, reports.append, members_at_once=seeds)
        return run.train([(program, members)], None)

    return train
