"""Progress of a compiled run on a terminal or in a notebook: :class:`LiveProgress`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rsl_jax.interrupts import seen_by_threads
from rsl_jax.logging.display import Display
from rsl_jax.logging.status import MISSING, duration, number

if TYPE_CHECKING:
    from rsl_jax.types import Report  # which loads JAX

REWARD = "Train/mean_reward"
SHOWN = (REWARD, "Train/mean_episode_length")
FAILURES = "NonFinite/"

DRAW_INTERVAL = 0.25
"""Minimum seconds between two drawings; reports may come much faster."""


class LiveProgress:
    """Callback for ``make_train(..., progress=...)`` that shows a bar and the latest metrics of all runs.

    It is one table that stays in place on a terminal and in a notebook (without widgets), and lines elsewhere. As a
    context manager it also lets Ctrl-C stop the run at the next report, with ``KeyboardInterrupt``; otherwise JAX lets
    Ctrl-C wait until the run is over::

        with LiveProgress("16 seeds") as progress:
            train = make_train(env, cfg, 200, progress=progress)
            states, metrics = jax.block_until_ready(jax.jit(jax.vmap(train))(keys))
    """

    def __init__(self, title: str = "Training", *, console: Console | None = None) -> None:
        """Set up; nothing is shown yet.

        Args:
            title: name of what is trained.
            console: where to show it; standard output if None.
        """
        self._title, self._console = title, console
        self._resources = contextlib.ExitStack()
        self._interrupted: Callable[[], bool] = lambda: False
        self._display: Display | None = None
        self._latest: Report | None = None
        self._began: tuple[float, int] | None = None
        self._started, self._drawn_at, self._iteration = 0.0, -math.inf, 0

    def __enter__(self) -> LiveProgress:
        """Start the display, and see Ctrl-C."""
        self._interrupted = self._resources.enter_context(seen_by_threads())
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state and leave the terminal as it was."""
        self._stop()
        self._interrupted = lambda: False
        self._resources.close()

    def __call__(self, report: Report) -> None:
        """Show a report.

        Raises:
            KeyboardInterrupt: after Ctrl-C; it stops the compiled run that called.
        """
        if self._interrupted():
            raise KeyboardInterrupt("Ctrl-C: the run is stopped.")
        if self._display is None or report.iteration < self._iteration:  # another run
            self._stop()
            self._start()
        now, self._latest, self._iteration = time.monotonic(), report, report.iteration
        if self._began is None:
            self._began = (now, report.iteration)
        if now - self._drawn_at >= DRAW_INTERVAL:
            self._drawn_at = now
            self._draw()
        if report.iteration == report.iterations:
            self._stop()

    def _start(self) -> None:
        self._display, self._began, self._latest = Display(self._console), None, None
        self._started, self._drawn_at, self._iteration = time.monotonic(), -math.inf, 0
        self._display.start(Text(f"{self._title}: compiling"), f"{self._title}: compiling")

    def _stop(self) -> None:
        if self._display is not None:
            self._draw()
            self._display.stop()
            self._display = None

    def _draw(self) -> None:
        report = self._latest
        if self._display is None or self._began is None or report is None:
            return
        now, (since, first) = time.monotonic(), self._began
        each = (now - since) / (report.iteration - first) if report.iteration > first else None
        left = None if each is None else each * (report.iterations - report.iteration)
        shown = (self._title, report, now - self._started, left)
        self._display.update(report_table(*shown), report_line(*shown))


def report_line(title: str, report: Report, elapsed: float, left: float | None) -> str:
    """Format a report as one line."""
    rewards = _known(report.metrics.get(REWARD))
    spread = (
        f" ({number(rewards.min(), decimals=2)} to {number(rewards.max(), decimals=2)})" if len(rewards) > 1 else ""
    )
    mean = number(float(rewards.mean()), decimals=2) if len(rewards) else MISSING
    failed = _failed(report)
    return (
        f"{title}  {report.iteration / report.iterations:6.1%}  iteration {report.iteration} of {report.iterations}  "
        f"mean reward {mean}{spread}  elapsed {duration(elapsed)}  left {duration(left)}"
        + (f"  NaN or infinity in {failed}" if failed else "")
    )


def report_table(title: str, report: Report, elapsed: float, left: float | None) -> RenderableType:
    """Format a report as a table: a row for each metric, with mean, lowest and highest of many runs."""
    many = any(np.size(values) > 1 for values in report.metrics.values())
    table = Table(box=None, pad_edge=False)
    for heading in ("metric", *(("mean", "lowest", "highest") if many else ("latest",))):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for tag in [*SHOWN, *sorted(tag for tag in report.metrics if tag.startswith("Loss/"))]:
        values = _known(report.metrics.get(tag))
        figures = (np.mean, np.min, np.max)[: 3 if many else 1]
        shown = [number(float(f(values)), decimals=3) if len(values) else MISSING for f in figures]
        table.add_row(tag.split("/", 1)[1].replace("_", " "), *shown)
    bar = ProgressBar(total=1.0, completed=report.iteration / report.iterations, width=60)
    times = f"{report.iteration / report.iterations:.1%}, iteration {report.iteration} of {report.iterations}, "
    times += f"elapsed {duration(elapsed)}, left {duration(left)}"
    failed = _failed(report)
    rows: list[RenderableType] = [Text(title, style="bold"), bar, Text(times), table]
    if failed:
        rows.append(Text(f"NaN or infinity in {failed}", style="bold red"))
    return Group(*rows)


def _known(values: np.ndarray | None) -> np.ndarray:
    flat = np.ravel([] if values is None else values)
    return flat[~np.isnan(flat)]


def _failed(report: Report) -> str:
    """Describe how many runs met NaN or infinity in this iteration; empty if none did."""
    counts = [np.ravel(values) > 0 for tag, values in report.metrics.items() if tag.startswith(FAILURES)]
    failed = np.any(counts, axis=0) if counts else np.zeros(1, bool)
    return f"{int(failed.sum())} of {len(failed)} runs" if failed.any() else ""
