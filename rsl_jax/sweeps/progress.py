"""Progress of a sweep, and its display."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rsl_jax.logging.curves import label_of_tag
from rsl_jax.logging.display import Display
from rsl_jax.logging.status import MISSING, duration, number
from rsl_jax.sweeps.settings import Member, label_of
from rsl_jax.sweeps.statistics import SCORE, latest

MOST_ROWS = 20
"""Maximum number of settings in the table, the best ones."""


@dataclass(frozen=True)
class Progress:
    """Progress of a sweep after a block of iterations.

    Attributes:
        members: all of them.
        training: indices of the members that are currently trained.
        iteration: number of iterations that these have completed; on a cluster, where they differ, the lowest.
        iterations: total number of iterations of each member.
        metrics: by tag, ``[members, iterations]``; NaN for future iterations.
        failed: iteration in which NaN or infinity occurred, ``[members]``; -1 for none.
        finished: number of completed iterations, summed over all members.
        elapsed: seconds since the start of the sweep.
        score: tag by which members are ranked.
    """

    members: Sequence[Member]
    training: Sequence[int]
    iteration: int
    iterations: int
    metrics: Mapping[str, np.ndarray]
    failed: np.ndarray
    finished: int
    elapsed: float
    score: str = SCORE

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
        """The latest score of each member, ``[members]``; NaN where there is none."""
        rows = self.metrics.get(self.score)
        if rows is None:
            return np.full(len(self.members), np.nan)
        return latest(rows)


class SweepConsole:
    """One live table for the whole sweep on a terminal or in a notebook, plain lines elsewhere."""

    def __init__(
        self,
        title: str,
        console: Console | None = None,
        *,
        failed: str = "it keeps its last good state, the others continue",
    ) -> None:
        """Set up the display; nothing is shown yet.

        Args:
            title: name of the sweep.
            console: where to show it; standard output if None.
            failed: description of what happens to a member with NaN or infinity.
        """
        self._title, self._failed = title, failed
        self._display = Display(console)
        self._named: set[tuple[int, int]] = set()

    def __enter__(self) -> SweepConsole:
        """Start the display."""
        self._display.start(Text(f"{self._title}: compiling"), f"{self._title}: the first iteration compiles")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Show the last state and leave the terminal as it was."""
        self._display.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._display.say(text)

    def update(self, progress: Progress) -> None:
        """Show the current progress, and name the members that have just failed."""
        for index in np.flatnonzero(progress.failed >= 0).tolist():
            iteration = int(progress.failed[index])
            if (index, iteration) not in self._named:
                self._named.add((index, iteration))
                member = progress.members[index]
                self._display.say(
                    f"NaN or infinity in iteration {iteration} of {member.label}, seed {member.seed}; {self._failed}."
                )
        self._display.update(sweep_table(self._title, progress), sweep_line(progress))


def sweep_line(progress: Progress) -> str:
    """Format the progress of a sweep as one line."""
    scores = progress.scores
    best = number(None if np.isnan(scores).all() else float(np.nanmax(scores)), decimals=2)
    failed = int((progress.failed >= 0).sum())
    return (
        f"{progress.fraction:6.1%}  {len(progress.training)} of {len(progress.members)} runs at once, iteration "
        f"{progress.iteration} of {progress.iterations}  best {label_of_tag(progress.score)} {best}  elapsed "
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
        (label_of_tag(progress.score), "right"),
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
