"""``rsl-jax envs``: list environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rsl_jax.cli.arguments import option, parse
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import preset_names

MARK = "(download)"
"""Mark of names that need a download."""


@dataclass(frozen=True)
class Envs:
    """List the available environments.

    Attributes:
        filter: show only names that contain this text, case-insensitive.
    """

    filter: tyro.conf.Positional[Annotated[str, option("FILTER", default="all names")]] = ""


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Envs, args, prog="rsl-jax envs")
    from rsl_jax.env import list_envs, missing_extras, needs_download

    wanted = command.filter.lower()
    found = {suite: [name for name in names if wanted in name.lower()] for suite, names in list_envs().items() if names}
    missing = missing_extras()
    if not any(found.values()) and wanted:
        hint = "".join(f"\n{suite} is not installed: {line}" for suite, line in missing.items())
        raise CommandError(f"No environment has '{command.filter}' in its name.{hint}", status=1)
    Console().print(listing(found, missing, presets=preset_names(), downloads=needs_download()))
    return 0


def listing(
    found: dict[str, list[str]], missing: dict[str, str], *, presets: Sequence[str], downloads: Sequence[str] = ()
) -> RenderableType:
    """Format a table of names by suite, those with a preset in bold, and the suites that are not installed.

    Args:
        found: names by suite.
        missing: for each missing suite, the command that installs it.
        presets: names that have a preset.
        downloads: names that need a download, which are marked.
    """

    def cell(name: str) -> Text:
        mark = f" {MARK}" if name in downloads else ""
        return Text(name + mark, style="bold green" if name in presets else "")

    table = Table(box=None, padding=(0, 2, 1, 0), show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    for suite, names in found.items():
        if names:
            table.add_row(f"{suite} ({len(names)})", Columns(map(cell, names), padding=(0, 2)))
    for suite, line in missing.items():
        table.add_row(suite, Text.assemble("not installed: ", (line, "bold")))
    table.add_row("your own", Text("module.path:factory, see docs/environments.md"))
    lines = ["Names in bold have their own preset. To train one: rsl-jax train NAME"]
    if any(name in downloads for names in found.values() for name in names):
        lines.append(f"{MARK} needs meshes from MuJoCo Menagerie, which git downloads when it is first created.")
    return Group(table, Text("\n".join(lines)))
