"""``rsl-jax plot``: plot learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rsl_jax.cli.arguments import parse
from rsl_jax.cli.output import CommandError
from rsl_jax.logging.curves import XAxis, plot


@dataclass(frozen=True)
class Plot:
    """Plot learning curves.

    Each log folder is one line: a single run, or the mean of a folder of runs with its 95 % band. Runs of RSL-RL can be
    plotted, too.

    Attributes:
        log_dirs: log folders, optionally with a name for the legend, NAME=DIR. Folders with equal names are one group.
        out: file to write, .png, .svg or .pdf.
        tag: tag of the scalar.
        x: quantity on the x axis.
        title: title of the plot.
    """

    log_dirs: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME=]LOGDIR ...")]]
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("learning_curves.png")
    tag: str = "Train/mean_reward"
    x: XAxis = "iteration"
    title: str = ""


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Plot, args, prog="rsl-jax plot")
    if not command.log_dirs:
        raise CommandError("Give the log folder of at least one run: rsl-jax plot LOGDIR ...")
    print(plot(command.log_dirs, command.out, tag=command.tag, x=command.x, title=command.title))
    return 0
