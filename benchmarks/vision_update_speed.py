"""How long an update from images takes, ours and RSL-RL's: 48 x 64 pixels, three convolutions.

Run ``python benchmarks/vision_update_speed.py`` with rsl-rl-lib==5.5.1 installed, on a machine that does nothing else.
The two take turns; what counts is the ratio of medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import tyro
from reference_rsl_rl import reference_update
from reporting import comparison, show_table, speedup_text, write_json
from update_speed import Size, in_turns, limit_threads, made_up_rollout, our_update


@dataclass(frozen=True)
class ImageSize(Size):
    """A size of problem with an image as its only observation.

    Attributes:
        channels: of each convolution.
        kernel_size: of all of them.
        stride: of all of them.
        shared: whether the critic uses the actor's encoder.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    kernel_size: int = 3
    stride: int = 2
    shared: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.num_envs} x {self.num_steps}, {'shared encoder' if self.shared else 'an encoder each'}"

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of an environment."""
        return (1, 48, 64)

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's configuration."""
        cfg = super().train_cfg()
        encoder = {"output_channels": list(self.channels), "kernel_size": self.kernel_size, "stride": self.stride}
        cnn = {"class_name": "CNNModel", "cnn_cfg": {**encoder, "padding": "zeros"}}
        cfg["algorithm"]["share_cnn_encoders"] = self.shared
        return {**cfg, "actor": {**cfg["actor"], **cnn}, "critic": {**cfg["critic"], **cnn}}


SIZES = (
    ImageSize(64, 24, (256, 128), speedup=1.0),
    ImageSize(64, 24, (256, 128), speedup=1.0, shared=True),
)

COLUMNS = ("envs x steps", "RSL-RL", "rsl_jax", "speed-up", "compile")


def measure(size: ImageSize, rounds: int, pause: float, clock: Callable[[], float]) -> dict[str, Any]:
    """Medians and their ratio for a size."""
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
