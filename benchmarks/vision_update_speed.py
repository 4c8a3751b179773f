"""Duration of an update from images, ours and RSL-RL's: 48 x 64 pixels, three convolutions.

Run ``python benchmarks/vision_update_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine.
The two alternate; the result is the ratio of medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import tyro
from reference_rsl_rl import reference_update
from reporting import comparison, show_table, speedup_text, write_json
from update_speed import limit_threads
from updates import ImageSize, in_turns, made_up_rollout, our_update

SIZES = (
    ImageSize(64, 24, (256, 128), speedup=1.0),
    ImageSize(64, 24, (256, 128), speedup=1.0, shared=True),
)

COLUMNS = ("envs x steps", "RSL-RL", "rsl_jax", "speed-up", "compile")


def measure(size: ImageSize, rounds: int, pause: float, clock: Callable[[], float]) -> dict[str, Any]:
    """Measure the medians and their ratio for a size."""
    made_up = made_up_rollout(size)
    theirs, acted = reference_update(size.train_cfg(), made_up)
    ours, compile_seconds = our_update(size, made_up, acted)
    seconds = in_turns({"rsl_rl": theirs, "rsl_jax": ours}, rounds, pause, clock)
    return {"size": asdict(size), **comparison(seconds), "compile_seconds": compile_seconds}


def main(
    rounds: int = 7, threads: int = 2, pause: float = 0.1, processor_time: bool = False, write: bool = True
) -> None:
    """Measure all sizes.

    Args:
        rounds: turns of each.
        threads: processor cores to use.
        pause: seconds of rest before each update.
        processor_time: count the processor's time, for a machine that does other work as well; take one thread then.
        write: whether to write ``results/vision_update_speed.json``.
    """
    limit_threads(threads)
    clock = time.process_time if processor_time else time.perf_counter
    results = [measure(size, rounds, pause, clock) for size in SIZES]
    rows = [
        (
            size.name,
            *(f"{1000 * result['median_seconds'][name]:,.0f} ms" for name in ("rsl_rl", "rsl_jax")),
            speedup_text(result, size.speedup),
            f"{result['compile_seconds']:.1f} s",
        )
        for size, result in zip(SIZES, results, strict=True)
    ]
    show_table("One PPO update from images, medians", COLUMNS, rows)
    if write:
        write_json("vision_update_speed", {"threads": threads, "processor_time": processor_time, "results": results})


if __name__ == "__main__":
    tyro.cli(main)
