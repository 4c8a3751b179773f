"""Folders of checkpoints: which there are, and how a new one takes its place whole or not at all.

A checkpoint ``NAME`` is written into a folder ``.saving-HOST-PID-N`` beside it. Once it is complete, ``NAME`` is
renamed to ``.NAME.replaced`` if it exists, the new one is renamed to ``NAME``, and the replaced one is removed. Whoever
looks for ``NAME`` between these steps finds the replaced one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rsl_jax.checkpoint.checksums import SUMS

METADATA = "metadata/metadata"
"""File of a checkpoint with its metadata, as Orbax names it."""

_NAME = re.compile(r"model_([0-9]{1,10})")
_REPLACED = re.compile(r"\.(.+)\.replaced")
_SAVING = re.compile(r"\.saving-(.*)-([0-9]+)-[0-9]+")
_OWN_FILES = {"state", "loop", "metadata", "_CHECKPOINT_METADATA", SUMS}
_LARGEST_ITERATION = 2**31 - 1
_ABANDONED_AFTER = 24 * 3600.0

_numbers = itertools.count()
_saving: set[str] = set()  # what this process is writing


def locate(path: str | Path) -> Path | None:
    """Find where a checkpoint is: under its name, or where a save that was killed has put it aside.

    Returns:
        the folder; None if there is neither.
    """
    path = Path(path).absolute()
    looked_for = (path, _aside(path), path)  # in case it is renamed while it is looked for
    return next((folder for folder in looked_for if _is_checkpoint(folder)), None)


def numbered_checkpoints(directory: str | Path) -> list[Path]:
    """List the checkpoints ``model_{it}`` of a folder, the newest first.

    Symbolic links, folders without content and numbers that no iteration has are none.
    """
    found: dict[Path, int] = {}
    for path in sorted(Path(directory).iterdir()) if Path(directory).is_dir() else ():
        replaced = _REPLACED.fullmatch(path.name)
        named = path.with_name(replaced[1]) if replaced else path
        match = _NAME.fullmatch(named.name)
        is_one = match and int(match[1]) <= _LARGEST_ITERATION and not named.is_symlink() and locate(named)
        if match and is_one:
            found[named] = int(match[1])
    return sorted(found, key=lambda path: found[path], reverse=True)


def latest_checkpoint(directory: str | Path) -> Path | None:
    """Find the complete checkpoint ``model_{it}`` with the highest iteration; None if there is none."""
    return next(iter(numbered_checkpoints(directory)), None)


def check_replaceable(path: Path) -> None:
    """Make sure that nothing but a checkpoint would be replaced.

    Raises:
        FileExistsError: if there is something else.
    """
    if path.is_symlink() or not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"'{path}' is a file, which a checkpoint cannot replace. Save under another name.")
    if not _is_checkpoint(path) and not {child.name for child in path.iterdir()} <= _OWN_FILES:
        raise FileExistsError(
            f"'{path}' is a folder that does not contain a checkpoint, so it is not replaced. Save under another name."
        )


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Make a folder beside a path to write in, and remove it with all that is in it then.

    What saves that were killed have left beside it is removed, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    stage = path.with_name(f".saving-{platform.node()}-{os.getpid()}-{next(_numbers)}")
    _saving.add(stage.name)
    try:
        stage.mkdir()
        yield stage
    finally:
        _saving.discard(stage.name)
        shutil.rmtree(stage, ignore_errors=True)


def put_in_place(new: Path, path: Path) -> None:
    """Give a complete checkpoint its name. One that has it stays until then, whenever the process is killed.

    Args:
        new: the checkpoint, in a folder of :func:`staging`, where what is replaced ends.
        path: its place.
    """
    aside, garbage = _aside(path), new.parent
    if _is_checkpoint(path):
        _move(aside, garbage / "replaced_before")
        os.rename(path, aside)
    else:
        _move(path, garbage / "incomplete")
    os.rename(new, path)
    _move(aside, garbage / "replaced")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _is_checkpoint(folder: Path) -> bool:
    return (folder / SUMS).is_file() or (folder / METADATA).is_file()


def _move(path: Path, to: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, to)  # a symbolic link itself, not what it leads to


def _remove_abandoned(directory: Path) -> None:
    for path in directory.iterdir():
        match = _SAVING.fullmatch(path.name)
        if match and path.name not in _saving and _is_abandoned(path, host=match[1], pid=int(match[2])):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path, *, host: str, pid: int) -> bool:
    if host == platform.node() and pid == os.getpid():
        return True  # of a process that had this number before
    if host == platform.node() and sys.platform != "win32":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # another user's
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > _ABANDONED_AFTER
    return False
