"""Arrays across the border: what a host environment gives, as JAX arrays, and back in the environment's own kind."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.types import Array, Observations


def to_jax(array: Any) -> Array:
    """A JAX array of what numpy, torch or JAX holds; on the device where it is.

    numpy and torch arrays are copied where they are (torch's through DLPack, so nothing passes through the host):
    simulators like to write their next observations over the last ones, and JAX takes arrays to be immutable.
    64-bit numbers become 32-bit ones unless JAX is told to use 64 bits.
    """
    if isinstance(array, jax.Array):
        return array
    if is_torch(array):
        return jax.dlpack.from_dlpack(array.detach().clone())
    return jnp.array(array)


def to_jax_observations(observations: Any) -> Observations:
    """Observation groups as JAX arrays, leaves ``[N, ...]``; a bare array is the group ``policy``.

    Takes anything with ``items()``: a dict, or a TensorDict as RSL-RL's torch environments give.
    """
    return {name: to_jax(group) for name, group in groups(observations)}


def groups(observations: Any) -> Iterable[tuple[str, Any]]:
    """Observation groups by name, in the kind that they are given; a bare array is the group ``policy``."""
    return observations.items() if hasattr(observations, "items") else (("policy", observations),)


def to_numpy(array: Any) -> np.ndarray:
    """A numpy array of what Python, numpy, torch or JAX holds, with all the bits that it has there; not a copy."""
    return np.asarray(array.detach().cpu() if is_torch(array) else array)


def with_dtype_of(reference: Any, array: Any) -> Any:
    """``array`` in kind, device and dtype of the array ``reference``, as :func:`like` gives it."""
    array = like(reference, array)
    return (
        array.to(reference.dtype)
        if is_torch(reference)
        else array.astype(getattr(reference, "dtype", None) or np.asarray(reference).dtype)
    )


def kept(array: Any) -> Any:
    """An array that stays as it is when the environment writes over its own, in the kind that it has."""
    if isinstance(array, jax.Array):
        return array
    return array.detach().clone() if is_torch(array) else np.array(array)


def stack(arrays: Sequence[Any]) -> Array:
    """Arrays ``[N, ...]`` of one kind side by side along a new first axis, ``[T, N, ...]``, as one JAX array.

    They are stacked by their own library, so that one array crosses the border in place of many.
    """
    if is_torch(arrays[0]):
        return jax.dlpack.from_dlpack(importlib.import_module("torch").stack(list(arrays)))
    return jnp.stack(arrays) if isinstance(arrays[0], jax.Array) else jnp.array(np.stack(arrays))


def like(reference: Any, array: Array) -> Any:
    """``array`` in the kind of ``reference``: numpy, torch (on the device of ``reference``) or JAX.

    numpy and torch get their own copy, which an environment may write to. ``reference`` may also be a mapping of such
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
    """Whether this is a torch tensor, without importing torch."""
    return any(kind.__module__.partition(".")[0] == "torch" for kind in type(array).__mro__)
