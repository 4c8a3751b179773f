"""Figures, which notebooks show."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure, which a notebook also shows as the value of a cell if pyplot is not used.

    Args:
        width: in inches.
        height: in inches.
    """
    from matplotlib.figure import Figure  # half a second, so not before it is needed

    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    figure._repr_png_ = functools.partial(_as_png, figure)  # type: ignore[attr-defined]
    return figure


def figure_and_axes(axes: Axes | None) -> tuple[Figure, Axes]:
    """Return the axes to plot into, with their figure: a new one of the usual size if there are none."""
    if axes is None:
        figure = new_figure(7.2, 4.2)
        return figure, figure.add_subplot()
    return cast("Figure", axes.get_figure()), axes


def _as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
