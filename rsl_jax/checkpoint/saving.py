"""Writing checkpoints."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from rsl_jax.checkpoint.checksums import write_checksums
from rsl_jax.checkpoint.folders import check_replaceable, put_in_place, staging
from rsl_jax.metadata import FORMAT
from rsl_jax.trees import nested, plain_leaves
from rsl_jax.types import TrainState

_MISREAD = re.compile(r"[*?\[\\\ud800-\udfff]")
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")


def save_checkpoint(path: str | Path, state: TrainState, loop: Any | None, metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint; one of the same name is replaced once the new one is complete.

    Args:
        path: the folder to make; missing ones above it are made, too.
        state: what learning changes.
        loop: what collecting changes, or None to leave it out.
        metadata: whatever JSON can hold.

    Returns:
        the absolute path.

    Raises:
        TypeError: if the metadata is not JSON; nothing is written then.
        FileExistsError: if something else than a checkpoint has the name.
        OSError: if it cannot be written; what was there stays as it was.
    """
    path = Path(path).absolute()
    metadata = {"format": FORMAT, **metadata}
    try:
        json.dumps(metadata)
    except TypeError as error:
        raise TypeError(f"The 'infos' of a checkpoint must be representable as JSON: {error}.") from error
    items = {"state": _arrays(state), "metadata": ocp.args.JsonSave(metadata)}
    if loop is not None:
        items["loop"] = _arrays(loop)
    check_replaceable(path)
    with _failures_named(path), staging(path) as stage:
        new = stage / "checkpoint"
        with plain_path(stage) as folder, checkpointer_alone() as checkpointer:
            checkpointer.save(folder / new.name, ocp.args.Composite(**items))
        write_checksums(new)
        put_in_place(new, path)
    return path


def _arrays(tree: Any) -> ocp.args.PyTreeSave:
    """Give Orbax plain arrays: where JAX's are, on which devices of which processes, is no part of a checkpoint."""
    return ocp.args.PyTreeSave(nested({path: np.asarray(leaf) for path, leaf in plain_leaves(tree).items()}))


def checkpointer_alone() -> ocp.Checkpointer:
    """Make Orbax's checkpointer for this process: of several, only the one that writes calls it, with whole arrays."""
    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=str(me)
    )
    arrays = {name: ocp.PyTreeCheckpointHandler(multiprocessing_options=options) for name in ("state", "loop")}
    metadata = ocp.JsonCheckpointHandler(multiprocessing_options=options)
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options), metadata=metadata, **arrays
    )
    return ocp.Checkpointer(handler, multiprocessing_options=options)


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """Give a path to the same folder without what Orbax and TensorStore misread: brackets would be a pattern."""
    if not _MISREAD.search(folder.as_posix()):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="rsl_jax_") as elsewhere:
        link = Path(elsewhere) / "link"
        link.symlink_to(folder, target_is_directory=True)
        yield link


@contextlib.contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    """Say of a failure to write which checkpoint is not there; TensorStore's errors of this kind become OSErrors."""
    try:
        yield
    except (OSError, ValueError) as error:
        match = _OS_ERROR.search(str(error))
        code = error.errno if isinstance(error, OSError) else int(match[1]) if match else None
        if code is None:
            raise
        failure = OSError(
            f"The checkpoint '{path}' could not be written: {os.strerror(code)}. What was saved before is as it was."
        )
        failure.errno = code
        raise failure from error
