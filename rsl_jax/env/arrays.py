"""Conversion of arrays between host environments (numpy, torch) and JAX."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.types import Array, Observations


def to_jax(array: Any) -> Array:
    """Convert an array of numpy, torch or JAX to a JAX array on the device where it is.

    numpy and torch arrays are copied where they are (torch's through DLPack, so nothing passes through the host):
    simulators often overwrite their observations in place, and JAX takes arrays to be immutable.
    64-bit numbers become 32-bit ones unless JAX is told to use 64 bits.
    """
    if isinstance(array, jax.Array):
        return array
    if is_torch(array):
        return jax.dlpack.from_dlpack(array.detach().clone())
    return jnp.array(array)


def to_jax_observations(observations: Any) -> Observations:
    """Convert observation groups to JAX arrays, leaves ``[N, ...]``; a bare array is the group ``policy``.

    Accepts anything with ``items()``: a dict, or a TensorDict as RSL-RL's torch environments return.
    """
    return {name: to_jax(group) for name, group in groups(observations)}


def groups(observations: Any) -> Iterable[tuple[str, Any]]:
    """Return observation groups by name, in their kind of arrays; a bare array is the group ``policy``."""
    return observations.items() if hasattr(observations, "items") else (("policy", observations),)


def to_numpy(array: Any) -> np.ndarray:
    """Convert numbers of Python, numpy, torch or JAX to a numpy array of the same precision; not a copy."""
    return np.asarray(array.detach().cpu() if is_torch(array) else array)


def with_dtype_of(reference: Any, array: Any) -> Any:
    """Convert ``array`` to the kind, device and dtype of the array ``reference``, as :func:`like` does."""
    array = like(reference, array)
    return (
        array.to(reference.dtype)
        if is_torch(reference)
        else array.astype(getattr(reference, "dtype", None) or np.asarray(reference).dtype)
    )


def kept(array: Any) -> Any:
    """Return an array that stays valid when the environment overwrites its own, of the same kind."""
    if isinstance(array, jax.Array):
        return array
    return array.detach().clone() if is_torch(array) else np.array(array)


def stack(arrays: Sequence[Any]) -> Array:
    """Stack arrays ``[N, ...]`` of one kind along a new first axis, ``[T, N, ...]``, as one JAX array.

    They are stacked by their own library, so that one array is transferred in place of many.
    """
    if is_torch(arrays[0]):
        return jax.dlpack.from_dlpack(importlib.import_module("torch").stack(list(arrays)))
    return jnp.stack(arrays) if isinstance(arrays[0], jax.Array) else jnp.array(np.stack(arrays))


def like(reference: Any, array: Array) -> Any:
    """Convert ``array`` to the kind of ``reference``: numpy, torch (on the device of ``reference``) or JAX.

    numpy and torch arrays are copies, which an environment may write to. ``reference`` may also be a mapping of such
    arrays.
    """
    if isinstance(reference, Mapping) or hasattr(reference, "items"):
        reference = next(iter(reference.values()))
    if isinstance(reference, jax.Array):
        return array
    if is_torch(reference):
        torch = importlib.import_module("torch")
        return torch.from_dlpack(array).to(reference.device, copy=True)
    return np.array(array)


def is_torch(array: Any) -> bool:
    """Return whether this is a torch tensor, without importing torch."""
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(array).__mro__)
