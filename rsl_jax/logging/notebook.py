"""Live tables in notebooks, redrawn in place; without widgets and without escape codes."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType

# Box-drawing characters only meet where lines are as high as they are.
_HTML = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\"><code>{code}</code></pre>"
)


class NotebookTable:
    """Display of one rich renderable at a time below a cell.

    It uses IPython's display protocol, so it works wherever notebooks do (Jupyter, VS Code, Colab, ``nbconvert``).
    """

    def __init__(self, *, width: int) -> None:
        """Set up; nothing is shown yet.

        Args:
            width: columns of the table.
        """
        self._display: Callable[..., Any] = importlib.import_module("IPython.display").display
        self._width = width
        self._handle: Any = None

    def show(self, renderable: RenderableType, *, plain: str) -> None:
        """Draw ``renderable`` in place of the last one; ``plain`` is used where HTML cannot be shown."""
        bundle = {"text/html": html_of(renderable, width=self._width), "text/plain": plain}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def html_of(renderable: RenderableType, *, width: int) -> str:
    """Render a rich renderable as HTML with inline styles."""
    console = Console(file=io.StringIO(), record=True, width=width, force_jupyter=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format=_HTML)
