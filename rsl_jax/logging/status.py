"""Status of a run and its display: pure functions from numbers to a line of text or a rich table."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

MISSING = "-"
_BARS = "▁▂▃▄▅▆▇█"
_TWO_COLUMNS_FROM = 76
_WIDEST = 110
_KNOWN_SECTIONS = ("Train", "Eval", "Rnd", "Loss", "Policy", "Perf")

Row = tuple[str, str | Text]


@dataclass(frozen=True)
class Status:
    """Status of a run.

    Attributes:
        title: name of the run.
        iteration: finished iterations, those of earlier sessions included.
        total_iterations: iterations at the end of the run.
        total_steps: environment steps taken so far.
        elapsed: seconds of training so far.
        time_left: estimated seconds to the end, None where unknown.
        metrics: the latest scalars by tag; those of evaluations may be older than the others.
        rewards: mean rewards over the run, thinned out, for the sparkline.
    """

    title: str
    iteration: int
    total_iterations: int
    total_steps: int = 0
    elapsed: float = 0.0
    time_left: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    rewards: tuple[float, ...] = ()


def number(value: float | None, *, decimals: int) -> str:
    """Format a number: thousands separated, very large and very small ones in powers of ten, missing ones ``-``."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) >= 1e7 or (decimals > 0 and 0 < abs(value) < 10 ** (1 - decimals)):
        return f"{value:.2e}"
    return f"{value:,.{min(decimals, 1) if abs(value) >= 1000 else decimals}f}"


def duration(seconds: float | None) -> str:
    """Format seconds as ``h:mm:ss``, unknown ones as ``-``."""
    return MISSING if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw a curve of at most ``width`` bars, scaled to its own range; empty for fewer than two values."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    if len(finite) > width:
        finite = [finite[round(i * (len(finite) - 1) / (width - 1))] for i in range(width)]
    low, high = min(finite), max(finite)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in finite)


def plain_line(status: Status) -> str:
    """Format the key figures of a run as one line, in columns that stay in place from line to line."""
    metrics = status.metrics
    width = len(str(status.total_iterations))
    columns = [
        f"{status.iteration:>{width}}/{status.total_iterations}",
        f"reward {number(metrics.get('Train/mean_reward'), decimals=2):>9}",
        f"length {number(metrics.get('Train/mean_episode_length'), decimals=1):>7}",
        *(f"{name} {number(value, decimals=3):>9}" for name, value in _losses(metrics)),
    ]
    if "Policy/mean_std" in metrics:
        columns.append(f"std {number(metrics['Policy/mean_std'], decimals=2):>5}")
    if "Loss/learning_rate" in metrics:
        columns.append(f"lr {metrics['Loss/learning_rate']:.1e}")
    columns += [
        f"{number(metrics.get('Perf/total_fps'), decimals=0):>9} steps/s",
        f"{duration(status.elapsed):>7} elapsed",
        f"{duration(status.time_left):>7} left",
    ]
    if "Eval/mean_reward" in metrics:
        columns.append(f"evaluated {number(metrics['Eval/mean_reward'], decimals=2):>9}")
    return "  ".join(columns)


def _losses(metrics: Mapping[str, float], most: int = 2) -> list[tuple[str, float]]:
    losses = [(tag.removeprefix("Loss/"), value) for tag, value in metrics.items() if tag.startswith("Loss/")]
    return [(name, value) for name, value in losses if name != "learning_rate"][:most]


def status_panel(status: Status, *, width: int, height: int, max_entries: int) -> RenderableType:
    """Build the whole table.

    Args:
        status: status to show.
        width: columns of the terminal.
        height: rows of the terminal; entries of the environment's log that do not fit are left out.
        max_entries: maximum number of entries of the environment's log.
    """
    width = min(width - 2, _WIDEST)  # two columns free: a typed ^C must not wrap and tear the table
    inner = width - 4
    columns = 2 if width >= _TWO_COLUMNS_FROM else 1
    column_width = inner if columns == 1 else (inner - 3) // 2
    left = [("Training", _training_rows(status, column_width)), ("Last evaluation", _evaluation_rows(status.metrics))]
    right = [("Losses", _loss_rows(status.metrics)), ("Speed", _speed_rows(status))]
    used = 4 + (_rows_of(left + right) if columns == 1 else _rows_of(left))
    room = max(0, min(max_entries, height - used - 3))
    left.append(("Environment", _environment_rows(status.metrics, room)))
    body = Table.grid(padding=(0, 3), expand=True)
    for _ in range(columns):
        body.add_column(width=column_width)
    if columns == 1:
        body.add_row(_sections(left + right))
    else:
        body.add_row(_sections(left), _sections(right))
    title = Text(status.title, style="bold")
    return Panel(Group(_progress(status), Text(), body), title=title, border_style="cyan", width=width)


def _rows_of(sections: Sequence[tuple[str, list[Row]]]) -> int:
    return sum(len(rows) + 2 for _, rows in sections if rows)


def _progress(status: Status) -> RenderableType:
    started = bool(status.metrics)
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(
        total=max(1, status.total_iterations), completed=status.iteration, pulse=not started, complete_style="cyan"
    )
    left = "done" if status.iteration >= status.total_iterations else f"{duration(status.time_left)} left"
    grid.add_row(
        Text(f"iteration {status.iteration:,}/{status.total_iterations:,}", style="bold"),
        bar,
        Text(left if started else "compiling", style="bold" if started else "bold yellow"),
    )
    return grid


def _training_rows(status: Status, width: int) -> list[Row]:
    metrics = status.metrics
    reward = Text(number(metrics.get("Train/mean_reward"), decimals=2), style="bold green")
    rows: list[Row] = [
        ("mean reward", reward),
        ("mean episode length", number(metrics.get("Train/mean_episode_length"), decimals=1)),
    ]
    curve = sparkline(status.rewards, width - len("mean reward so far") - 3)
    if curve:
        rows.insert(1, ("mean reward so far", Text(curve, style="green")))
    rows += [(_words(tag), _guarded(value, 4)) for tag, value in metrics.items() if tag.startswith("Rnd/")]
    return rows


def _evaluation_rows(metrics: Mapping[str, float]) -> list[Row]:
    if "Eval/mean_reward" not in metrics:
        return []
    return [
        ("mean reward", Text(number(metrics["Eval/mean_reward"], decimals=2), style="bold green")),
        ("mean episode length", number(metrics.get("Eval/mean_episode_length"), decimals=1)),
    ]


def _loss_rows(metrics: Mapping[str, float]) -> list[Row]:
    rows: list[Row] = [
        (_words(tag), _guarded(value, 4))
        for tag, value in metrics.items()
        if tag.startswith("Loss/") and tag != "Loss/learning_rate"
    ]
    if "Loss/learning_rate" in metrics:
        rows.append(("learning rate", Text(f"{metrics['Loss/learning_rate']:.2e}")))
    rows += [
        ("mean action std" if tag == "Policy/mean_std" else _words(tag), _guarded(value, 3))
        for tag, value in metrics.items()
        if tag.startswith("Policy/")
    ]
    return rows


def _speed_rows(status: Status) -> list[Row]:
    metrics = status.metrics
    rows: list[Row] = [("steps per second", Text(number(metrics.get("Perf/total_fps"), decimals=0), style="bold cyan"))]
    rows += [
        (_words(tag), f"{metrics[tag]:.3f} s")
        for tag in ("Perf/iteration_time", "Perf/collection_time", "Perf/learning_time")
        if tag in metrics
    ]
    return [*rows, ("total steps", f"{status.total_steps:,}"), ("time elapsed", duration(status.elapsed))]


def _environment_rows(metrics: Mapping[str, float], most: int) -> list[Row]:
    tags = [tag for tag in metrics if tag.split("/")[0] not in _KNOWN_SECTIONS]
    rows: list[Row] = [(tag.removeprefix("Episode/"), number(metrics[tag], decimals=4)) for tag in tags[:most]]
    hidden = len(tags) - len(rows)
    return [*rows, (f"… {hidden} more", Text())] if rows and hidden else rows


def _sections(sections: Sequence[tuple[str, list[Row]]]) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis", style="dim")
    grid.add_column(justify="right", no_wrap=True)
    shown = [(name, rows) for name, rows in sections if rows]
    for index, (name, rows) in enumerate(shown):
        grid.add_row(Text(name, style="bold cyan not dim"), "")
        for label, value in rows:
            grid.add_row(label, value)
        if index + 1 < len(shown):
            grid.add_row("", "")
    return grid


def _words(tag: str) -> str:
    return tag.split("/", 1)[1].replace("_", " ")


def _guarded(value: float, decimals: int) -> Text:
    """Format a number that must be finite: NaN and infinity are shown in red."""
    if math.isfinite(value):
        return Text(number(value, decimals=decimals))
    return Text(str(value), style="bold red")
