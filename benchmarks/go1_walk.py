"""Draw how the Go1 learned to walk (docs/robots.md), ``python benchmarks/go1_walk.py TEACHER [STUDENT]``.

The curves of the log folders are kept in ``results/go1_walk.json``; without a log folder the picture is drawn from it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from reporting import RESULTS, write_json

from rsl_jax.logging import read_scalars

CURVES = RESULTS / "go1_walk.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "go1_learning.png"
TAGS = (
    "Eval/mean_reward",
    "Eval/mean_episode_length",
    "Eval/reward/tracking_lin_vel",
    "Eval/reward/tracking_ang_vel",
    "Policy/mean_std",
    "Train/mean_reward",
    "Train/mean_episode_length",
    "reward/tracking_lin_vel",
    "reward/tracking_ang_vel",
    "Perf/total_fps",
)
STANDING = 0.21  # what a standing robot earns for the commanded velocity: commands are small now and then
STAGE, STEPS = 400, 1024 * 24  # iterations before the penalties, and steps of an iteration


def curves_of(log_dir: str, every: int = 5) -> dict[str, Any]:
    """Read the curves of a run: ``{tag: {"iterations": [...], "values": [...]}}``, means of ``every`` iterations."""
    found = {}
    for tag, curve in read_scalars(log_dir).items():
        if tag in TAGS:
            width = 1 if tag.startswith("Eval/") else every
            count = len(curve.steps) // width * width
            means = (np.reshape(x[:count], (-1, width)).mean(axis=1) for x in (curve.steps, curve.values))
            iterations, values = ([round(float(x), 4) for x in mean] for mean in means)
            found[tag] = {"iterations": iterations, "values": values}
    return found


def draw(curves: dict[str, Any]) -> None:
    """Draw what is earned for the velocity, the return of evaluations, and the length of episodes."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (tracking, returns, lengths) = plt.subplots(1, 3, figsize=(12.5, 3.4))
    for axis, tag, label, color in (
        (tracking, "reward/tracking_lin_vel", "in training (noise, randomized physics)", "#9ab7c4"),
        (tracking, "Eval/reward/tracking_lin_vel", "evaluated", "#0b6e99"),
        (returns, "Eval/mean_reward", "evaluated", "#0b6e99"),
        (lengths, "Train/mean_episode_length", "in training", "#9ab7c4"),
        (lengths, "Eval/mean_episode_length", "evaluated", "#0b6e99"),
    ):
        steps = np.array(curves[tag]["iterations"]) * STEPS / 1e6
        axis.plot(steps, curves[tag]["values"], color=color, label=label, linewidth=1.8)
    tracking.axhline(STANDING, color="#888888", linestyle=":", linewidth=1.2)
    tracking.annotate("a standing robot", (17, STANDING + 0.01), va="bottom", fontsize=8, color="#666666")
    tracking.set_title("reward for the commanded velocity (1: exact)", fontsize=10)
    returns.set_title("return (another reward before the dashed line)", fontsize=10)
    lengths.set_title("length of an episode (1000: no fall in 20 s)", fontsize=10)
    for axis in (tracking, returns, lengths):
        axis.axvline(STAGE * STEPS / 1e6, color="#d9730d", linestyle="--", linewidth=1)
        axis.set_xlabel("environment steps (millions)")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(0)
        axis.set_ylim(0)
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=130)


def main() -> None:
    """Read the log folders, if there are any, and draw."""
    if sys.argv[1:]:
        teacher, *student = (curves_of(log_dir) for log_dir in sys.argv[1:3])
        runs = {"teacher": teacher, "student": student[0] if student else None}
        write_json("go1_walk", {"steps_per_iteration": STEPS, **runs})
    draw(json.loads(CURVES.read_text())["teacher"])


if __name__ == "__main__":
    main()
