"""What watching a run costs: ``make_train`` with and without progress, and a sweep's stretches against one program.

Run ``python benchmarks/progress_overhead.py`` on a machine that does nothing else. All contestants train the same seeds
of gymnax's Pendulum, are compiled before the first turn, and take turns, so that whatever slows the machine down for a
while slows all of them; what counts are the ratios of medians. ``--smoke`` is a tiny size that only shows that it runs.
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import tyro
from compiled_sweep import compiled_sweep
from reporting import rotating, show_table, summary, write_json
from rich.console import Console

import rsl_jax
from rsl_jax.logging import LiveProgress

ENV = "gymnax/Pendulum-v1"
MODEL = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "tanh"}
CONFIG = {
    "num_steps_per_env": 32,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution"}},
    "critic": MODEL,
    "algorithm": {"class_name": "PPO", "schedule": "fixed", "num_learning_epochs": 4, "num_mini_batches": 4},
}
AIM = 1.02


@dataclass(frozen=True)
class Size:
    """What every contestant does in a turn.

    Attributes:
        num_envs: environments of a run.
        iterations: of a run; one in a hundred is reported.
        seeds: runs in one program.
        rounds: turns of each contestant.
    """

    num_envs: int = 32
    iterations: int = 200
    seeds: int = 8
    rounds: int = 9


def contestants(size: Size) -> dict[str, Callable[[], Any]]:
    """Functions that train once, each compiled before it is given."""
    env = rsl_jax.make_env(ENV, num_envs=size.num_envs)
    keys = jax.random.split(jax.random.key(0), size.seeds)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)  # draws, as on a screen

    def compiled(**options: Any) -> Callable[[], Any]:
        train = jax.jit(jax.vmap(rsl_jax.make_train(env, CONFIG, size.iterations, **options))).lower(keys).compile()
        return lambda: jax.block_until_ready(train(keys))

    found = {
        "one program": compiled(),
        "with a callback": compiled(progress=lambda report: None),
        "with a live table": compiled(progress=LiveProgress("Overhead", console=terminal)),
        "stretches of a sweep": compiled_sweep(
            env, CONFIG, iterations=size.iterations, seeds=size.seeds, devices=jax.devices()[:1]
        ),
    }
    for train in found.values():
        train()
    return found


def main(size: Size, *, smoke: bool = False) -> None:
    """Take turns and report."""
    if smoke:
        size = Size(num_envs=4, iterations=6, seeds=2, rounds=2)
    trained = contestants(size)
    seconds: dict[str, list[float]] = {name: [] for name in trained}
    for name in rotating(list(trained), size.rounds):
        start = time.perf_counter()
        trained[name]()
        seconds[name].append(time.perf_counter() - start)
    summarized = summary(seconds)
    medians = summarized["median_seconds"]
    ratios = {name: median / medians["one program"] for name, median in medians.items()}
    rows = [(name, f"{medians[name]:.3f}", f"{ratios[name]:.3f}") for name in trained]
    title = f"{size.seeds} seeds of {ENV}, {size.iterations} iterations (aim: at most {AIM})"
    show_table(title + (", DISTURBED" if summarized["disturbed"] else ""), ["", "median s", "ratio"], rows)
    result = {
        "env": ENV,
        "size": dataclasses.asdict(size),
        "config": CONFIG,
        "seconds": seconds,
        **summarized,
        "ratio_to_one_program": ratios,
        "aim": AIM,
    }
    if not smoke:
        print(f"written: {write_json('progress_overhead', result)}")


if __name__ == "__main__":
    tyro.cli(main)
