"""Checkpoints: whole states on disk, written by Orbax.

A checkpoint is a directory with the items ``state`` (all that learning changes), ``loop`` (environments, hidden states,
episode statistics and the random key, where there are any) and ``metadata`` (JSON: iteration, config, versions and what
the user adds). It appears under its name only once it is complete, and holds plain arrays: it is never unpickled,
and it loads on any number and kind of devices. docs/security.md says what the config in it may name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from rsl_jax.metadata import FORMAT, Metadata
from rsl_jax.trees import nested, plain_leaves
from rsl_jax.types import TrainState

_NAME = re.compile(r"model_(\d+)")


class Checkpoint(NamedTuple):
    """What a checkpoint holds, as nested dicts of numpy arrays.

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


def save_checkpoint(path: str | Path, state: TrainState, loop: Any | None, metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint; one of the same name is replaced.

    Args:
        path: the directory to make.
        state: what learning changes.
        loop: what collecting changes, or None to leave it out.
        metadata: whatever JSON can hold.

    Returns:
        the absolute path.

    Raises:
        TypeError: if the metadata is not JSON; nothing is written then.
    """
    path = Path(path).absolute()
    metadata = {"format": FORMAT, **metadata}
    try:
        json.dumps(metadata)
    except TypeError as error:
        raise TypeError(f"What goes into a checkpoint beside the arrays ('infos') must be JSON: {error}.") from error
    items = {"state": ocp.args.PyTreeSave(nested(plain_leaves(state))), "metadata": ocp.args.JsonSave(metadata)}
    if loop is not None:
        items["loop"] = ocp.args.PyTreeSave(nested(plain_leaves(loop)))
    with ocp.Checkpointer(_handler()) as checkpointer:
        checkpointer.save(path, ocp.args.Composite(**items), force=True)
    return path


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint into host memory.

    Raises:
        FileNotFoundError: if there is none; names the ones beside it.
    """
    path = Path(path).absolute()
    if not (path / "metadata").exists():
        raise FileNotFoundError(_nothing_at(path))
    with ocp.Checkpointer(_handler()) as checkpointer:
        saved = checkpointer.metadata(path).item_metadata
        # Everything comes back as numpy, whatever devices it was saved from.
        items = {
            name: ocp.args.PyTreeRestore(
                restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved[name].tree)
            )
            for name in ("state", "loop")
            if (path / name).exists()
        }
        restored = checkpointer.restore(path, ocp.args.Composite(**items, metadata=ocp.args.JsonRestore()))
    return Checkpoint(dict(restored["state"]), restored.get("loop"), dict(restored["metadata"]))


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a checkpoint alone: iteration, config, environment, versions, the user's infos.

    Raises:
        FileNotFoundError: if there is none; names the ones beside it.
    """
    path = Path(path).absolute()
    if not (path / "metadata").exists():
        raise FileNotFoundError(_nothing_at(path))
    with ocp.Checkpointer(_handler()) as checkpointer:
        return dict(checkpointer.restore(path, ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"])


def latest_checkpoint(directory: str | Path) -> Path | None:
    """The complete checkpoint ``model_{it}`` with the highest iteration, or None."""
    found = [(int(match[1]), path) for path in Path(directory).glob("model_*") if (match := _NAME.fullmatch(path.name))]
    complete = [(iteration, path) for iteration, path in found if (path / "metadata").exists()]
    return max(complete)[1] if complete else None


def _handler() -> ocp.CompositeCheckpointHandler:
    return ocp.CompositeCheckpointHandler(
        state=ocp.PyTreeCheckpointHandler(), loop=ocp.PyTreeCheckpointHandler(), metadata=ocp.JsonCheckpointHandler()
    )


def _nothing_at(path: Path) -> str:
    beside = (
        sorted(p.name for p in path.parent.glob("model_*") if (p / "metadata").exists()) if path.parent.exists() else []
    )
    there = f"Complete ones beside it: {', '.join(beside)}." if beside else "There is none beside it."
    return f"No checkpoint at {path}. {there}"
