"""Plots of learning curves from log folders: one line per run or group of runs, with the spread of the group."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rsl_jax.logging.events import Curve, iteration_times, read_scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

XAxis = Literal["iteration", "steps", "time"]

X_LABELS: dict[str, str] = {"iteration": "iteration", "steps": "environment steps", "time": "seconds of training"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#A6761D")
"""Colours that are also distinguishable for colour-blind people (Okabe and Ito)."""
_CONFIDENCE_FROM_RUNS = 3


class Band(NamedTuple):
    """Curves of a group, interpolated to the same x values.

    Attributes:
        x: ``[K]``.
        mean: over runs, ``[K]``.
        low: lower edge of the spread ``[K]``, or None for a single run.
        high: upper edge ``[K]``, or None.
        what: description of line and band, for the legend.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    what: str


def plot(
    log_dirs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] = "learning_curves.png",
    *,
    tag: str = "Train/mean_reward",
    x: XAxis = "iteration",
    title: str = "",
) -> Path:
    """Plot learning curves to a file.

    Each argument is one line: a run, or a folder of runs drawn as their mean with a band (95 % confidence of the mean
    by Student's t; smallest to largest where there are only two). Runs deeper down are grouped by the folder they lie
    in. ``label=DIR`` names a line, and directories of the same label are one group. Runs of RSL-RL can be read as well.

    Args:
        log_dirs: folders with TensorBoard event files in or below them, each optionally as ``label=DIR``.
        out: the image file; the ending selects the format (``.png``, ``.svg``, ``.pdf``).
        tag: the scalar to plot.
        x: ``"iteration"``, environment ``"steps"``, or seconds of training ``"time"`` (collecting and learning).
        title: title of the plot.

    Returns:
        path of the image.

    Raises:
        FileNotFoundError: if a folder holds no event files.
        ValueError: if a run lacks the tag (lists the available ones) or the tags that ``x`` needs, or ``x`` is unknown.
    """
    if x not in X_LABELS:
        raise ValueError(f"Unknown x axis '{x}'. Allowed: {', '.join(X_LABELS)}.")
    bands = {
        label: summarize([load_curve(run, tag=tag, x=x) for run in runs])
        for label, runs in find_groups(log_dirs).items()
    }
    figure = draw(bands, x_label=X_LABELS[x], y_label=label_of_tag(tag), title=title)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return Path(out)


def label_of_tag(tag: str) -> str:
    """Return the label of an axis that shows a scalar."""
    section, _, name = tag.partition("/")
    words = (name if section in ("Train", "Eval") else tag).replace("_", " ")
    return f"{words} of evaluations" if section == "Eval" else words


def find_groups(log_dirs: Sequence[str | os.PathLike[str]]) -> dict[str, list[Path]]:
    """Find runs by the label of their line, in the given order.

    Raises:
        FileNotFoundError: if a folder does not exist or holds no runs.
    """
    groups: dict[tuple[str, Path | None], list[Path]] = {}
    for argument in log_dirs:
        label, folder = _split_label(argument)
        is_run = any(folder.glob("*tfevents*"))
        runs = [folder] if is_run else sorted({path.parent for path in folder.rglob("*tfevents*")})
        if not runs:
            raise FileNotFoundError(
                f"No TensorBoard event files (*tfevents*) in or below '{folder}'. Give the folder of a run, or one "
                "that holds runs."
            )
        for run in runs:
            parent = folder if is_run else run.parent
            key = (label, None) if label else (parent.resolve().name, parent)
            groups.setdefault(key, []).append(run)
    names = [name for name, _ in groups]
    return {name if names.count(name) == 1 else f"{name} ({parent})": runs for (name, parent), runs in groups.items()}


def _split_label(argument: str | os.PathLike[str]) -> tuple[str, Path]:
    text = os.fspath(argument)
    label, separator, folder = text.partition("=")
    return ("", Path(text)) if not separator or Path(text).exists() else (label, Path(folder))


def load_curve(run: Path, *, tag: str, x: XAxis) -> tuple[np.ndarray, np.ndarray]:
    """Read one curve of one run: x values ``[K]`` and values ``[K]``.

    Raises:
        ValueError: if the run lacks the tag, or what ``x`` is computed from.
    """
    scalars = read_scalars(run)
    if tag not in scalars:
        there = ", ".join(sorted(scalars)) or "none at all"
        raise ValueError(f"The run '{run}' has no values for the tag '{tag}'. Its tags: {there}.")
    curve = scalars[tag]
    return (curve.steps if x == "iteration" else _x_values(curve, scalars, x=x, run=run)), curve.values


def _x_values(curve: Curve, scalars: Mapping[str, Curve], *, x: XAxis, run: Path) -> np.ndarray:
    """Compute environment steps or seconds of training at each point of a curve."""
    times, fps = iteration_times(dict(scalars)), scalars.get("Perf/total_fps")
    if times is None or fps is None:
        raise ValueError(
            f"x='{x}' needs the tags Perf/total_fps and Perf/iteration_time (or Perf/collection_time and "
            f"Perf/learning_time), which the run '{run}' lacks. Use x='iteration'."
        )
    if x == "time":
        return np.interp(curve.steps, times.steps, np.cumsum(times.values))
    _, at_times, at_fps = np.intersect1d(times.steps, fps.steps, return_indices=True)
    steps_per_iteration = np.round(np.median(times.values[at_times] * fps.values[at_fps]))
    return (curve.steps + 1) * steps_per_iteration


def summarize(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band:
    """Compute mean and spread of a group of curves, over the range of x that all of them cover.

    Args:
        curves: x values and values of each run; runs may have different x values, values between are interpolated.

    Raises:
        ValueError: if there is no x that all runs cover.
    """
    from scipy.special import stdtrit

    count = len(curves)
    if count == 1:
        return Band(curves[0][0], curves[0][1], None, None, "1 run")
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    x = np.unique(np.concatenate([x for x, _ in curves]))
    x = x[(x >= start) & (x <= end)]
    if x.size == 0:
        raise ValueError(
            f"The {count} runs of one group have no common range: the last one starts at {start:g}, the first one ends "
            f"at {end:g}. Draw them as separate lines: label1=DIR label2=DIR."
        )
    values = np.stack([np.interp(x, *curve) for curve in curves])
    mean = values.mean(axis=0)
    if count < _CONFIDENCE_FROM_RUNS:
        return Band(x, mean, values.min(axis=0), values.max(axis=0), f"mean of {count} runs, min to max")
    half = stdtrit(count - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return Band(x, mean, mean - half, mean + half, f"mean of {count} runs, 95 % band")


def draw(bands: Mapping[str, Band], *, x_label: str, y_label: str, title: str = "", axes: Axes | None = None) -> Figure:
    """Draw one line per group, into ``axes`` or into a new figure."""
    from matplotlib.ticker import EngFormatter, StrMethodFormatter

    from rsl_jax.logging.figures import figure_and_axes

    figure, axes = figure_and_axes(axes)
    for index, (label, band) in enumerate(bands.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        dashes = "-" if index < len(_COLOURS) else "--"
        axes.plot(band.x, band.mean, dashes, color=colour, linewidth=1.8, label=f"{label}  ({band.what})")
        if band.low is not None and band.high is not None:
            axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.set_major_formatter(
        EngFormatter(sep="") if x_label == X_LABELS["steps"] else StrMethodFormatter("{x:,g}")
    )
    axes.legend(frameon=False, fontsize=9)
    return figure
