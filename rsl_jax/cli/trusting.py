"""What the user of a command trusts: names in its arguments, ``--trust``, and the working directory."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from rsl_jax.cli.output import CommandError
from rsl_jax.trusted import is_run_file, names_in, reading, trust, user_names

TrustFlag = tyro.conf.UseAppendAction[tuple[Annotated[str, tyro.conf.arg(metavar="MODULE|DIR")], ...]]
"""``--trust my_project --trust ./tasks``."""

_PATH = re.compile(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?![\w/-])")


def take_at_their_word(trusted: Sequence[str], *, env: str | None = None, flags: Sequence[str] = ()) -> None:
    """Trust the names in the user's arguments, and make the modules they name importable from the working directory.

    Args:
        trusted: modules and folders, from ``--trust``.
        env: name of an environment, if the user gives one.
        flags: other arguments that may contain import paths.

    Raises:
        CommandError: if a value of ``--trust`` is neither a module nor a folder.
    """
    names = [*names_of_env(env), *(name for flag in flags for name in _PATH.findall(flag))]
    user_names(*names)
    use_working_directory([*names, *trusted])
    try:
        trust(*trusted)
    except ValueError as error:
        raise CommandError(f"--trust: {error}") from error


def names_of_env(env: str | None) -> list[str]:
    """Return the import paths in an environment's name: ``module:SUITE/NAME``, ``gymnasium/module:NAME``, ``m:f``."""
    return [part for part in (env or "").split("/") if ":" in part]


@contextlib.contextmanager
def reading_config(path: Path, content: Any) -> Iterator[None]:
    """Read a config file; unless it came with a run, it may name modules in the working directory.

    Args:
        path: the file.
        content: its content.
    """
    if not is_run_file(path):
        use_working_directory(names_in(content))
    with reading(path, content):
        yield


def trust_flags(cfg: Mapping[str, Any], env: str | None = None) -> str:
    """Return the flags with which a later command can read a run's files: ``" --trust my_project"``, or ``""``."""
    names = [*(name for name in names_in(cfg) if ":" in name), *names_of_env(env)]
    return "".join(f" --trust {top}" for top in sorted({re.split("[.:]", name)[0] for name in names}))


def use_working_directory(names: Sequence[str]) -> None:
    """Make modules of the working directory importable if the user has named one, as ``python -m`` does.

    Otherwise it is not on the import path: it may be a folder that came with a run.
    """
    for name in names:
        top = re.split("[.:]", name)[0]
        if top.isidentifier() and importlib.machinery.PathFinder.find_spec(top, [os.getcwd()]) and "" not in sys.path:
            sys.path.insert(0, "")
