"""Checkpoints: whole states on disk, written by Orbax.

A checkpoint is a directory with the items ``state`` (all that learning changes), ``loop`` (environments, hidden states,
episode statistics and the random key, where there are any) and ``metadata`` (JSON: iteration, config, versions and what
the user adds). It appears under its name only once it is complete, and holds plain arrays: nothing in it is ever
executed, and it loads on any number and kind of devices.
"""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from rsl_jax.trees import path_name
from rsl_jax.types import TrainState

FORMAT = 1
_NAME = re.compile(r"model_(\d+)")


class Checkpoint(NamedTuple):
    """What a checkpoint holds, as nested dicts of numpy arrays.

    Attributes:
        state: the :class:`rsl_jax.types.TrainState`.
        loop: the loop's state, or None.
        metadata: iteration, config, versions, the user's infos.
    """

    state: dict[str, Any]
    loop: dict[str, Any] | None
    metadata: dict[str, Any]


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
    items = {"state": ocp.args.PyTreeSave(_unflatten(_flatten(state))), "metadata": ocp.args.JsonSave(metadata)}
    if loop is not None:
        items["loop"] = ocp.args.PyTreeSave(_unflatten(_flatten(loop)))
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


def restore(template: Any, arrays: Any, *, strict: bool = True, what: str = "checkpoint") -> Any:
    """Put arrays from a checkpoint into a pytree of known structure.

    Args:
        template: a pytree; gives structure, shapes and types.
        arrays: nested dicts of numpy arrays.
        strict: whether everything must fit; otherwise what does not keeps the template's value, with a warning.
        what: name for messages.

    Returns:
        a pytree like ``template``.

    Raises:
        ValueError: if something does not fit and ``strict``; lists what.
    """
    expected, given = _flatten(template), _flatten(arrays)
    misfits = []
    for name in sorted({*expected, *given}):
        if name not in given:
            misfits.append(f"{name}: missing in the checkpoint")
        elif name not in expected:
            misfits.append(f"{name}: only in the checkpoint")
        elif np.shape(expected[name]) != np.shape(given[name]):
            misfits.append(f"{name}: shape {np.shape(given[name])} in the checkpoint, {np.shape(expected[name])} here")
    if misfits:
        listing = "; ".join(misfits[:8]) + ("; ..." if len(misfits) > 8 else "")
        if strict:
            raise ValueError(
                f"The {what} does not fit what the config and the environment build: {listing}. Load it with the "
                f"config it was "
                "trained with (it is in the checkpoint's metadata), choose parts by load_cfg, or pass strict=False."
            )
        warnings.warn(f"Parts of the {what} do not fit and are left as they were: {listing}.", stacklevel=2)

    def choose(path: Any, value: Any) -> Any:
        name = path_name(path)
        fits = name in given and np.shape(given[name]) == np.shape(expected[name])
        return _like(value, given[name]) if fits else value

    return jax.tree_util.tree_map_with_path(choose, template)


def restore_state(template: TrainState, arrays: Mapping[str, Any], *, strict: bool = True) -> TrainState:
    """:func:`restore` for a whole training state.

    What it remembers of each environment is taken over as far as it fits; it stays the template's where there is
    another number of them.
    """
    state, memory = dataclasses.replace(template, memory={}), arrays.get("memory", {})
    state = restore(state, {name: part for name, part in arrays.items() if name != "memory"}, strict=strict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dataclasses.replace(state, memory=restore(template.memory, memory, strict=False))


def _flatten(tree: Any) -> dict[str, Any]:
    """Leaves by their path; typed random keys as their raw words, which is how they are saved.

    Leaves without elements (a simulator's contacts, where nothing can touch) are left out: they hold nothing, and Orbax
    refuses them.
    """
    leaves = [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if np.size(leaf)]
    return {path_name(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves}


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _like(reference: Any, value: Any) -> Any:
    if _is_key(reference):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(reference))
    return jnp.asarray(value, reference.dtype)


def _unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


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
