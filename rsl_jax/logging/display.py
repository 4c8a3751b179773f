"""One renderable that stays in place on a terminal and in a notebook, lines anywhere else."""

from __future__ import annotations

import math
import time

from rich.console import Console, RenderableType
from rich.live import Live

from rsl_jax.logging.notebook import NotebookTable

NOTEBOOK_COLUMNS = 90
"""Columns that fit below a notebook's cell, and on a page that shows one."""


class Display:
    """Live display without widgets: what it shows is given as a renderable and, for files and pipes, as a line."""

    def __init__(self, console: Console | None = None, *, interval: float = 1.0) -> None:
        """Set up; nothing is shown yet.

        Args:
            console: where to show it; standard output if None.
            interval: minimum seconds between two lines, or two tables of a notebook.
        """
        self._console = console or Console()
        self._interval = interval
        self._shown_at = -math.inf
        self._pending: tuple[RenderableType, str] | None = None
        self._live: Live | None = None
        self._table: NotebookTable | None = None

    def start(self, renderable: RenderableType, line: str) -> None:
        """Show the first state."""
        if self._console.is_jupyter:
            self._table = NotebookTable(width=min(self._console.width, NOTEBOOK_COLUMNS))
            self._table.show(renderable, plain=line)
        elif self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(renderable, console=self._console, refresh_per_second=2)
            self._live.start(refresh=True)
        else:
            self._print(line)

    def update(self, renderable: RenderableType, line: str) -> None:
        """Show another state, at most one in an interval."""
        if self._live is not None:
            self._live.update(renderable)
            return
        self._pending = (renderable, line)
        if time.monotonic() - self._shown_at >= self._interval:
            self._shown_at = time.monotonic()
            self._flush()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._live is not None:
            self._live.console.print(text)
        else:
            self._print(text)

    def stop(self) -> None:
        """Show the last state and leave the terminal as it was; a second call does nothing."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._pending is not None:
            self._flush()

    def _flush(self) -> None:
        if self._pending is None:
            return
        (renderable, line), self._pending = self._pending, None
        if self._table is not None:
            self._table.show(renderable, plain=line)
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=self._console.file, flush=True)
