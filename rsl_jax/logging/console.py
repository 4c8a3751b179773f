"""Progress display of a training run: a live table on a terminal and in a notebook, aligned lines anywhere else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from rsl_jax.logging.notebook import NotebookTable
from rsl_jax.logging.status import Status, plain_line, status_panel

SPARKLINE_POINTS = 64
NOTEBOOK_COLUMNS = 90
"""Columns that fit below a notebook's cell, and on a page that shows one."""


class TrainingConsole:
    """Display of the :class:`Status` of a run; a context manager.

    On a terminal it is one table that stays in place; prints and warnings of the program scroll by above it. In a
    notebook it is one table below the cell, redrawn at most once a second. Elsewhere (files, pipes) it is one line an
    iteration, at most one a second, always the first and the last.

    Attributes:
        status: the displayed status.
    """

    def __init__(
        self,
        status: Status,
        *,
        rich_console: Console | None = None,
        max_entries: int = 12,
        line_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up; nothing is shown yet.

        Args:
            status: status before the first iteration.
            rich_console: where to show it; standard output if None.
            max_entries: maximum number of entries of the environment's log in the table.
            line_interval: minimum seconds between two lines, or two tables of a notebook.
            clock: function that returns seconds, for tests.
        """
        self._console = rich_console or Console()
        self.status = status
        self._max_entries = max_entries
        self._line_interval = line_interval
        self._clock = clock
        self._updated_at = clock()
        self._printed_at: float | None = None
        self._printed: Status | None = None
        self._rewards = _Thinned(SPARKLINE_POINTS)
        self._running = False
        self._live: Live | None = None
        self._table: NotebookTable | None = None
        self._redirected: list[tuple[logging.StreamHandler[Any], TextIO]] = []

    def start(self) -> TrainingConsole:
        """Show the table, or the line that names the run."""
        self._running = True
        self._updated_at = self._clock()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=4,
                redirect_stderr=sys.stderr.isatty(),  # errors that go to a file must still get there
            )
            before = (sys.stdout, sys.stderr)
            self._live.start(refresh=True)
            self._redirected = _redirect_handlers(dict(zip(before, (sys.stdout, sys.stderr), strict=True)))
        elif self._console.is_jupyter:
            self._table = NotebookTable(width=self._console.width)
            self._table.show(self._render(), plain=plain_line(self.status))
        else:
            status = self.status
            self._print(
                f"{status.title}: iterations {status.iteration} to {status.total_iterations}, the first one compiles"
            )
        return self

    def update(self, status: Status) -> None:
        """Update the status; cheap, since drawing happens only a few times a second."""
        self._rewards.add(status.metrics.get("Train/mean_reward", float("nan")))
        evaluated = {tag: value for tag, value in self.status.metrics.items() if tag.startswith("Eval/")}
        self.status = replace(status, rewards=self._rewards.points, metrics={**evaluated, **status.metrics})
        self._updated_at = self._clock()
        if self._live is None and self._running and self._line_is_due():
            self._print_line()

    def stop(self) -> None:
        """Show the last state and leave the terminal as it was; a second call does nothing."""
        if not self._running:
            return
        self._running = False
        if self._live is not None:
            for handler, stream in self._redirected:
                handler.setStream(stream)
            self._live.stop()
            self._live = None
        elif self.status.metrics and self._printed is not self.status:
            self._print_line()

    def __enter__(self) -> TrainingConsole:
        """Start the display."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, whatever happened."""
        self.stop()

    def _render(self) -> RenderableType:
        status = self.status
        if self._running:  # the clock continues between two iterations
            waited = self._clock() - self._updated_at
            left = None if status.time_left is None else max(0.0, status.time_left - waited)
            status = replace(status, elapsed=status.elapsed + waited, time_left=left)
        return status_panel(status, width=self._columns(), height=self._console.height, max_entries=self._max_entries)

    def _columns(self) -> int:
        return self._console.width if self._table is None else min(self._console.width, NOTEBOOK_COLUMNS)

    def _line_is_due(self) -> bool:
        waited_enough = self._printed_at is None or self._clock() - self._printed_at >= self._line_interval
        return waited_enough or self.status.iteration >= self.status.total_iterations

    def _print_line(self) -> None:
        self._printed, self._printed_at = self.status, self._clock()
        if self._table is None:
            self._print(plain_line(self.status))
        else:
            self._table.show(self._render(), plain=plain_line(self.status))

    def _print(self, line: str) -> None:
        print(line, file=self._console.file, flush=True)


def _redirect_handlers(streams: dict[TextIO, TextIO]) -> list[tuple[logging.StreamHandler[Any], TextIO]]:
    """Redirect log handlers that hold one of ``streams`` to its replacement; returns handlers and their old streams.

    Python's handlers keep the stream of their construction, so without this their messages would be written
    into the table.
    """
    redirected = [(handler, handler.stream) for handler in _stream_handlers() if handler.stream in streams]
    for handler, stream in redirected:
        handler.setStream(streams[stream])
    return redirected


def _stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
    for handler in handlers:
        inner = getattr(handler, "python_handler", handler)  # absl wraps the one that writes
        if isinstance(inner, logging.StreamHandler):
            yield inner


class _Thinned:
    """Values of a whole run in bounded memory: neighbours are averaged when they are too many."""

    def __init__(self, most: int) -> None:
        self.points: tuple[float, ...] = ()
        self._most = most
        self._stride = 1
        self._pending: list[float] = []

    def add(self, value: float) -> None:
        """Add a value; NaN is skipped."""
        if value != value:
            return
        self._pending.append(value)
        if len(self._pending) == self._stride:
            self.points += (sum(self._pending) / self._stride,)
            self._pending = []
        if len(self.points) == self._most:
            self.points = tuple((a + b) / 2 for a, b in zip(self.points[::2], self.points[1::2], strict=True))
            self._stride *= 2
