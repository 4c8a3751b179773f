"""``rsl-jax envs``: what can be trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rsl_jax.cli.arguments import parse
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import preset_names


@dataclass(frozen=True)
class Envs:
    """List the environments that can be trained here.

    Attributes:
        filter: only names that contain this, in upper or lower case.
    """

    filter: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FILTER")]] = ""


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Envs, args, prog="rsl-jax envs")
    from rsl_jax.env import list_envs, missing_extras

    wanted = command.filter.lower()
    found = {suite: [name for name in names if wanted in name.lower()] for suite, names in list_envs().items() if names}
    missing = missing_extras()
    if not any(found.values()) and wanted:
        hint = "".join(f"\n{suite} is not installed: {line}" for suite, line in missing.items())
        raise CommandError(f"No environment's name contains '{command.filter}'.{hint}", status=1)
    Console().print(listing(found, missing, presets=preset_names()))
    return 0


def listing(found: dict[str, list[str]], missing: dict[str, str], *, presets: Sequence[str]) -> RenderableType:
    """A table of names by suite, those with a preset of their own in bold, and what could be installed.

    Args:
        found: names by suite.
        missing: the line that installs it, by suite.
        presets: names that have a preset.
    """
    table = Table(box=None, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    for suite, names in found.items():
        if names:
            cells = [Text(name, style="bold green" if name in presets else "") for name in names]
            table.add_row(f"{suite} ({len(names)})", Columns(cells, padding=(0, 2)))
    for suite, line in missing.items():
        table.add_row(suite, Text.assemble("not installed: ", (line, "bold")))
    table.add_row("your own", Text("module.path:factory, see docs/environments.md"))
    return Group(table, Text("Names in bold have a preset of their own. Train one: rsl-jax train NAME"))
