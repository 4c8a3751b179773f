"""One run at a time in a log folder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
"""File that is locked while a run trains; the operating system frees it when the process ends, however it ends."""

OWNER = ".lock.json"
"""File that says who holds the lock, for people."""


@contextlib.contextmanager
def lock_log_dir(log_dir: str | Path | None) -> Iterator[None]:
    """Keep other processes from training in a log folder.

    Within a process the lock may be taken again.

    Args:
        log_dir: the folder, which is made where it is missing; None for no lock.

    Raises:
        RuntimeError: if another process trains there; names it.
        OSError: if nothing can be written there.
    """
    if log_dir is None:
        yield
        return
    folder = Path(log_dir).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, is_singleton=True, thread_local=False)
        lock.acquire(timeout=0)
        (folder / OWNER).write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
    except Timeout:
        raise RuntimeError(
            f"Another run trains in '{log_dir}': {_owner_of(folder)}. Stop it first, or give this run another log "
            "folder."
        ) from None
    except OSError as error:
        failure = OSError(
            f"Nothing can be written to the log folder '{log_dir}': {error.strerror or error}. Give another one."
        )
        failure.errno = error.errno
        raise failure from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, and the lock with it
            lock.release()


def _owner_of(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has not said which it is"
