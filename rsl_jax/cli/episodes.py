"""Table of the returns of episodes."""

from __future__ import annotations

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rsl_jax.cli.output import number
from rsl_jax.runners.episodes import Episodes


def summary(episodes: Episodes) -> RenderableType:
    """Format a table of returns and lengths."""
    table = Table()
    table.add_column(f"{len(episodes.returns)} episodes", style="cyan")
    for name in ("mean", "std", "min", "max"):
        table.add_column(name, justify="right", style="bold green" if name == "mean" else "")
    for name, values, decimals in (("return", episodes.returns, 2), ("length", episodes.lengths, 1)):
        statistics = (np.mean(values), np.std(values), np.min(values), np.max(values))
        table.add_row(name, *(number(float(value), decimals=decimals) for value in statistics))
    early = len(episodes.returns) - episodes.time_outs
    endings = f"{episodes.time_outs} reached the time limit, {early} ended before it."
    if episodes.unfinished:
        endings += f" {episodes.unfinished} environments did not finish their episodes."
    return Group(table, Text(endings, style="dim"))
