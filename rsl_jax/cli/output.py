"""Output of commands: errors without tracebacks, short warnings, tables of facts."""

from __future__ import annotations

import contextlib
import dis
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PACKAGE = Path(__file__).resolve().parent.parent
_EXPLAINED = (ValueError, TypeError, OSError, ImportError, ArithmeticError, RuntimeError)


class CommandError(Exception):
    """Error in the use of a command, which is shown without a traceback.

    Attributes:
        status: exit status of the process.
    """

    def __init__(self, message: str, *, status: int = 2):
        super().__init__(message)
        self.status = status


def explain(error: Exception) -> str | None:
    """Return the message of an error that rsl_jax raised itself; None if the traceback is needed.

    Our own errors say what was given, what is allowed and what to do. Errors from further below, in a user's
    environment or in a library, need their traceback; so do those that Python raises in our code, for example when a
    user's function is called with arguments that it does not accept.
    """
    if not isinstance(error, _EXPLAINED) or not _is_raised_here(error):
        return None
    return with_notes(str(error), error)


def _is_raised_here(error: BaseException) -> bool:
    """Return whether a ``raise`` statement of rsl_jax raised the error."""
    last = error.__traceback__
    if last is None:
        return False
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return (
        PACKAGE in Path(code.co_filename).resolve().parents
        and dis.opname[code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    )


def with_notes(message: str, error: BaseException) -> str:
    """Return a message with the notes of an error below it."""
    notes = [note for note in getattr(error, "__notes__", ()) if "JAX_TRACEBACK_FILTERING" not in note]
    return "\n".join([message, *notes])


def print_error(message: str) -> None:
    """Show an error, unless the terminal is closed."""
    panel = Panel(Text(message), title="error", title_align="left", border_style="red", expand=False)
    with contextlib.suppress(OSError):
        Console(stderr=True).print(panel)


@contextlib.contextmanager
def use_short_warnings() -> Iterator[None]:
    """Show warnings without the line of code that they come from."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        with contextlib.suppress(OSError):  # the terminal may be closed
            Console(stderr=True).print(Text.assemble(("warning: ", "bold yellow"), str(message)))

    shown = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


def number(value: float, *, decimals: int) -> str:
    """Format a number with thousands separators."""
    return f"{value:,.{decimals}f}"


def print_facts(title: str, facts: Mapping[str, object]) -> None:
    """Show names and values, one per line; lines are not wrapped, so that paths can be copied."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(title, style="bold"))
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(Text.assemble("  ", (f"{name:<{width}}", "cyan"), "  ", str(value)))


def print_overview(commands: Mapping[str, str]) -> None:
    """Show the list of commands."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column()
    for name, what in commands.items():
        grid.add_row(name, Text(what))
    console = Console()
    console.print(Text("usage: rsl-jax COMMAND [...]\n"))
    console.print(Text("RSL-RL in functional JAX: PPO for robots as one compiled program.\n"))
    console.print(Panel(grid, title="commands", title_align="left", border_style="bright_black"))
    console.print(Text("Options: rsl-jax COMMAND --help. All config keys: rsl-jax train ENV --help."))
