"""Progress of a sweep, and its display."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rsl_jax.logging.status import MISSING, duration, number
from rsl_jax.sweeps.settings import Member, label_of

LINE_INTERVAL = 1.0
"""Minimum seconds between two lines where there is no terminal."""

MOST_ROWS = 20
"""Maximum number of settings in the table, the best ones."""

SCORE = "Train/mean_reward"


@dataclass(frozen=True)
class Progress:
    """Progress of a sweep after a block of iterations.

    Attributes:
        members: all of them.
        training: indices of those that are currently trained.
        iteration: how many iterations these have finished.
        iterations: of each member, at the end.
        metrics: by tag, ``[members, iterations]``; NaN for what is still to come.
        failed: iteration in which NaN or infinity appeared, ``[members]``; -1 for none.
        finished: iterations of all members together.
        elapsed: seconds since the start of the sweep.
    """

    members: Sequence[Member]
    training: Sequence[int]
    iteration: int
    iterations: int
    metrics: Mapping[str, np.ndarray]
    failed: np.ndarray
    finished: int
    elapsed: float

    @property
    def fraction(self) -> float:
        """Fraction of all iterations of all members that is done."""
        return self.finished / (len(self.members) * self.iterations)

    @property
    def time_left(self) -> float | None:
        """Estimated seconds to the end."""
        return None if not self.fraction else self.elapsed * (1 - self.fraction) / self.fraction

    @property
    def scores(self) -> np.ndarray:
        """The latest mean reward of each member, ``[members]``; NaN where there is none."""
        rows = self.metrics.get(SCORE)
        if rows is None:
            return np.full(len(self.members), np.nan)
        there = ~np.isnan(rows)
        last = rows.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        return np.where(there.any(1), rows[np.arange(len(rows)), last], np.nan)


class SweepConsole:
    """One live table for the whole sweep on a terminal or in a notebook, plain lines anywhere else."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        """Set up the display; nothing is shown yet.

        Args:
            title: name of the sweep.
            console: where to show it; standard output if None.
        """
        self._title, self._console = title, console or Console()
        self._live: Live | None = None
        self._last: Progress | None = None
        self._printed_at = -math.inf
        self._named: set[int] = set()

    def __enter__(self) -> SweepConsole:
        """Start the display."""
        if self._console.is_jupyter or (self._console.is_terminal and not self._console.is_dumb_terminal):
            self._live = Live(Text(f"{self._title}: compiling"), console=self._console, refresh_per_second=4)
            self._live.start(refresh=True)
        else:
            self._print(f"{self._title}: the first iteration compiles")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif self._last is not None:
            self._print(sweep_line(self._last))

    def update(self, progress: Progress) -> None:
        """Show the current progress, and name the members that have just failed."""
        self._last = progress
        for index in np.flatnonzero(progress.failed >= 0).tolist():
            if index not in self._named:
                self._named.add(index)
                member = progress.members[index]
                self._say(
                    f"NaN or infinity in iteration {progress.failed[index]} of {member.label}, seed {member.seed}; it "
                    "keeps its state from before, the others continue."
                )
        if self._live is not None:
            self._live.update(sweep_table(self._title, progress))
        elif time.monotonic() - self._printed_at >= LINE_INTERVAL:
            self._printed_at = time.monotonic()
            self._print(sweep_line(progress))

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text)
        else:
            self._print(text)

    def _print(self, line: str) -> None:
        print(line, file=self._console.file, flush=True)


def sweep_line(progress: Progress) -> str:
    """Format the progress of a sweep as one line."""
    scores = progress.scores
    best = number(None if np.isnan(scores).all() else float(np.nanmax(scores)), decimals=2)
    failed = int((progress.failed >= 0).sum())
    return (
        f"{progress.fraction:6.1%}  {len(progress.training)} of {len(progress.members)} runs at once, iteration "
        f"{progress.iteration} of {progress.iterations}  best mean reward {best}  elapsed "
        f"{duration(progress.elapsed)}  left {duration(progress.time_left)}" + (f"  {failed} failed" if failed else "")
    )


def sweep_table(title: str, progress: Progress) -> RenderableType:
    """Format the progress of a sweep as a table: a row for each setting, the best first."""
    scores = progress.scores
    by_setting: dict[str, list[int]] = {}
    for member in progress.members:
        by_setting.setdefault(label_of(member.setting), []).append(member.index)
    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        ("setting", "left"),
        ("mean reward", "right"),
        ("worst", "right"),
        ("best", "right"),
        ("failed", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    rows = []
    for label, indices in by_setting.items():
        own = scores[indices][~np.isnan(scores[indices])]
        shown = [number(float(f(own)), decimals=2) if len(own) else MISSING for f in (np.mean, np.min, np.max)]
        failed = int((progress.failed[indices] >= 0).sum())
        rows.append((float(own.mean()) if len(own) else -math.inf, (label, *shown, str(failed or ""))))
    rows.sort(key=lambda row: row[0], reverse=True)
    for _, row in rows[:MOST_ROWS]:
        table.add_row(*row)
    if len(rows) > MOST_ROWS:
        table.add_row(f"... and {len(rows) - MOST_ROWS} more")
    bar = ProgressBar(total=1.0, completed=progress.fraction, width=60)
    times = f"{progress.fraction:.1%}, iteration {progress.iteration} of {progress.iterations}, elapsed "
    times += f"{duration(progress.elapsed)}, left {duration(progress.time_left)}"
    return Group(Text(title, style="bold"), bar, Text(times), table)
