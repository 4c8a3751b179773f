"""Plots of population-based training: the members' curves, who descends from whom, and how numbers moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST = "#D55E00"
COLOURS = "viridis"


class Copy(NamedTuple):
    """Member that goes on as a copy of another.

    Attributes:
        iteration: number of iterations that both had finished.
        member: index of the copy.
        parent: index of the original.
        failed: whether NaN or infinity was the reason.
    """

    iteration: int
    member: int
    parent: int
    failed: bool


class NumberPanel(NamedTuple):
    """Explored number.

    Attributes:
        name: its name.
        values: ``[members, iterations]``.
        scale: ``"linear"``, ``"log"``, or ``"discount"`` for a logarithmic distance from 1.
    """

    name: str
    values: np.ndarray
    scale: str


def draw_population(
    curves: np.ndarray,
    best: np.ndarray | None,
    *,
    steps_per_iteration: int,
    y_label: str,
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw curves of all members, their median, and that of the best.

    Args:
        curves: ``[members, iterations]``.
        best: the curve of the best policy, those that it descends from included, ``[iterations]``; None for none.
        steps_per_iteration: environment steps of an iteration.
        y_label: what is drawn.
        title: title of the plot.
        axes: axes to draw into; None for a new figure.
    """
    from matplotlib.ticker import EngFormatter

    from rsl_jax.logging.figures import figure_and_axes

    steps = (np.arange(curves.shape[1]) + 1) * steps_per_iteration
    figure, axes = figure_and_axes(axes)
    axes.plot(
        steps, curves.T, color="0.75", linewidth=0.7, label=[f"each of {len(curves)}", *["_"] * (len(curves) - 1)]
    )
    there = ~np.isnan(curves).all(0)
    if there.any():
        axes.plot(steps[there], np.nanmedian(curves[:, there], axis=0), color="#0072B2", linewidth=1.8, label="median")
    if best is not None:
        axes.plot(steps, best, color=BEST, linewidth=1.8, label="the best, and what it descends from")
    axes.set(xlabel="environment steps", ylabel=y_label)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _tidy(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


def draw_lineage(
    scores: np.ndarray,
    copies: Sequence[Copy],
    numbers: Sequence[NumberPanel],
    best: Sequence[tuple[int, int, int]],
    *,
    interval: int,
    score: str,
    title: str = "",
) -> Figure:
    """Draw who descends from whom, and a panel for each number; coloured by score.

    Args:
        scores: ``[members, iterations]``.
        copies: all copies.
        numbers: the explored numbers.
        best: what the best descends from, ``(member, first iteration, end)``, itself last.
        interval: iterations between two exchanges.
        score: name of the score.
        title: title of the plot.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    from rsl_jax.logging.figures import new_figure

    members, iterations = scores.shape
    ranges = np.nanquantile(scores, [0.1, 1.0]) if not np.isnan(scores).all() else [0.0, 1.0]
    colours = ScalarMappable(Normalize(*ranges), COLOURS)
    heights = [0.6 + 0.13 * members, *[1.7] * len(numbers)]
    figure = new_figure(7.8, 0.8 + sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    places = np.repeat(np.arange(members)[:, None], iterations, 1)
    for axes, values in zip(panels, [places, *(number.values for number in numbers)], strict=True):
        _draw_spans(axes, values, scores, colours, interval)
        for copy in copies:
            ends = values[copy.parent, copy.iteration - 1], values[copy.member, copy.iteration]
            axes.plot([copy.iteration] * 2, ends, color="0.55", linewidth=0.6, zorder=1)
        _draw_ancestry(axes, values, best)
        _tidy(axes)
    tree, *below = panels
    lost = [copy for copy in copies if copy.failed]
    tree.plot([c.iteration for c in lost], [c.member for c in lost], "x", color="red", markersize=5, label="NaN")
    tree.set(ylabel="member", ylim=(-0.7, members - 0.3))
    tree.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    tree.set_title(title, loc="left", fontsize=11, fontweight="bold")
    handles, labels = tree.get_legend_handles_labels()
    shown = [(h, name) for h, name in zip(handles, labels, strict=True) if name != "NaN" or lost]
    if shown:
        tree.legend(*zip(*shown, strict=True), frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.35, 1.0))
    for axes, number in zip(below, numbers, strict=True):
        _set_scale(axes, number)
    panels[-1].set_xlabel("iteration")
    figure.align_ylabels(panels)
    figure.colorbar(colours, ax=list(panels), label=score, aspect=40, extend="min")
    return figure


def _draw_spans(axes: Axes, values: np.ndarray, scores: np.ndarray, colours: Any, interval: int) -> None:
    """Draw a horizontal line for each member between two exchanges, in the colour of the score at its end."""
    from matplotlib.collections import LineCollection

    lines, shades = [], []
    for member, row in enumerate(values):
        for start in range(0, len(row), interval):
            end = min(start + interval, len(row))
            known = scores[member, start:end][~np.isnan(scores[member, start:end])]
            lines.append([(start, row[end - 1]), (end, row[end - 1])])
            shades.append(colours.to_rgba(known[-1]) if len(known) else (0.85, 0.85, 0.85, 1.0))
    axes.add_collection(LineCollection(lines, colors=shades, linewidths=1.6, zorder=2))
    axes.set_xlim(0, values.shape[1])
    axes.autoscale_view(scalex=False)


def _draw_ancestry(axes: Axes, values: np.ndarray, best: Sequence[tuple[int, int, int]]) -> None:
    """Draw a step at each exchange: the ancestor's value up to it, the copy's from there on."""
    x = [position for _, start, end in best for position in (start, end)]
    y = [values[member, start] for member, start, _ in best for _ in range(2)]
    axes.plot(x, y, color=BEST, linewidth=1.2, linestyle=(0, (4, 1.5)), zorder=3, label="what the best descends from")


def _set_scale(axes: Axes, number: NumberPanel) -> None:
    axes.set_ylabel(number.name)
    if number.scale == "log":
        axes.set_yscale("log")
    elif number.scale == "discount":
        gaps = 1 - np.array([np.min(number.values), np.max(number.values)])
        axes.set_yscale("function", functions=(lambda x: -np.log(np.maximum(1 - x, 1e-12)), lambda x: 1 - np.exp(-x)))
        axes.set_ylim(1 - gaps[0] * 1.1, 1 - gaps[1] / 1.1)
        axes.set_yticks(sorted({1 - float(f"{gap:.1g}") for gap in np.geomspace(gaps[0], gaps[1], 4)}))
        axes.yaxis.set_major_formatter("{x:.4g}")


def _tidy(axes: Axes) -> None:
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
