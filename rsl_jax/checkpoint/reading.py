"""Reading checkpoints, and finding out whether they are what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from rsl_jax.checkpoint.checksums import SUMS, DamageError, check_files, read_checksums
from rsl_jax.checkpoint.folders import METADATA, locate, numbered_checkpoints
from rsl_jax.checkpoint.saving import checkpointer_alone, plain_path
from rsl_jax.metadata import Metadata

Content = TypeVar("Content")

BEST = "model_best"


class Checkpoint(NamedTuple):
    """Contents of a checkpoint, as nested dicts of numpy arrays.

    Attributes:
        state: the :class:`rsl_jax.types.TrainState`.
        loop: the loop's state, or None.
        metadata: iteration, config, versions, the user's infos, as they were saved.
    """

    state: dict[str, Any]
    loop: dict[str, Any] | None
    metadata: dict[str, Any]

    @property
    def run(self) -> Metadata:
        """The metadata as what they mean."""
        return Metadata.from_dict(self.metadata)


class DamagedCheckpointError(ValueError):
    """A checkpoint that is not what was written.

    Attributes:
        path: the checkpoint.
        damage: what is wrong with it.
        intact: the newest checkpoint beside it that is as it was written, or None.
    """

    def __init__(self, path: Path, damage: str, intact: Path | None) -> None:
        self.path, self.damage, self.intact = path, damage, intact
        beside = "There is no complete one beside it." if intact is None else f"Complete beside it: {intact.name}."
        super().__init__(f"The checkpoint '{path}' is damaged: {damage}. {beside}")


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint into host memory, once its files are found to be what was written.

    Raises:
        FileNotFoundError: if there is none; names the ones beside it.
        DamagedCheckpointError: if it is damaged (a ValueError); says how, and names the newest intact one beside it.
    """
    return _read(path, _content_of)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Read the metadata of a checkpoint alone: iteration, config, environment, versions, the user's infos.

    Raises:
        FileNotFoundError: if there is none; names the ones beside it.
        DamagedCheckpointError: if they are damaged.
    """
    return _read(path, lambda folder: _metadata_of(folder, read_checksums(folder)))


def check_checkpoint(path: str | Path) -> None:
    """Compare the files of a checkpoint with their checksums; one without any is read.

    Raises:
        FileNotFoundError: if there is none; names the ones beside it.
        DamagedCheckpointError: if it is damaged.
    """
    _read(path, _check)


def last_good_checkpoint(directory: str | Path) -> Path | None:
    """Find the newest checkpoint ``model_{it}`` that is as it was written; None if there is none."""
    return _first_intact(numbered_checkpoints(directory))


def _read(path: str | Path, read: Callable[[Path], Content]) -> Content:
    path = Path(path).absolute()
    while True:
        folder = locate(path)
        if folder is None:
            raise _missing(path)
        before = _identity(folder)
        try:
            return read(folder)
        except (PermissionError, MemoryError):
            raise
        except Exception as error:
            # A run may have replaced it in the meantime, as it does with model_best.
            if _identity(locate(path)) == before:
                raise _damaged(path, str(error) if isinstance(error, DamageError) else _first_line(error)) from error


def _identity(folder: Path | None) -> tuple[int, int] | None:
    if folder is None:
        return None
    found = folder.stat()
    return found.st_ino, found.st_mtime_ns


def _content_of(folder: Path) -> Checkpoint:
    sums = read_checksums(folder)
    metadata = _metadata_of(folder, sums)
    if sums is not None:
        check_files(folder, sums)
    names = [
        name
        for name in ("state", "loop")
        if ((folder / name).exists() if sums is None else any(file.startswith(f"{name}/") for file in sums))
    ]
    try:
        restored = _restored(folder, names)
    except Exception as error:
        if sums is None:
            raise
        raise DamageError(f"its arrays cannot be read, although its files are unchanged ({error})") from error
    return Checkpoint(dict(restored["state"]), restored.get("loop"), metadata)


def _restored(folder: Path, names: list[str]) -> Any:
    with plain_path(folder) as readable, checkpointer_alone() as checkpointer:
        saved = checkpointer.metadata(readable).item_metadata
        # Everything comes back as numpy, whatever devices it was saved from.
        items = {
            name: ocp.args.PyTreeRestore(
                restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved[name].tree)
            )
            for name in names
        }
        return checkpointer.restore(readable, ocp.args.Composite(**items))


def _metadata_of(folder: Path, sums: dict[str, str] | None) -> dict[str, Any]:
    if sums is not None:
        check_files(folder, sums, below=METADATA)
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamageError(f"its file '{METADATA}' is not JSON ({_first_line(error)})") from error
    if not isinstance(metadata, dict):
        raise DamageError(f"its file '{METADATA}' contains a {type(metadata).__name__} instead of names and values")
    if sums is None and metadata.get("format") != 1:
        raise DamageError(f"its file '{SUMS}' is missing")
    return metadata


def _check(folder: Path) -> None:
    sums = read_checksums(folder)
    if sums is None:
        _content_of(folder)
    else:
        check_files(folder, sums)


def _first_intact(paths: list[Path]) -> Path | None:
    for path in paths:
        folder = locate(path)
        try:
            if folder is not None:
                _check(folder)
                return path
        except Exception:
            continue
    return None


def _damaged(path: Path, damage: str) -> DamagedCheckpointError:
    beside = [*numbered_checkpoints(path.parent), path.with_name(BEST)]
    return DamagedCheckpointError(path, damage, _first_intact([other for other in beside if other != path]))


def _missing(path: Path) -> Exception:
    if any((path / item).exists() for item in ("state", "metadata")):
        return _damaged(path, f"its file '{METADATA}' is missing")
    beside = sorted(p.name for p in [*numbered_checkpoints(path.parent), path.with_name(BEST)] if locate(p))
    there = f"Complete ones beside it: {', '.join(beside)}." if beside else "There is none beside it."
    return FileNotFoundError(f"No checkpoint at {path}. {there}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no details').splitlines()[0]}"
