"""Figures, which notebooks show."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def _as_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
