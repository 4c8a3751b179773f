"""Reductions over all devices of a run.

``axis_name`` is the name of a mesh axis inside ``shard_map`` (or of a ``vmap``), or None on one device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from rsl_jax.ops.gradients import unit_of
from rsl_jax.types import Array, Key


def mean_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Average every leaf over the devices of an axis."""
    return tree if axis_name is None else _at_once(lambda x: jax.lax.pmean(x, axis_name), tree)


def sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Sum every leaf over the devices of an axis."""
    return tree if axis_name is None else _at_once(lambda x: jax.lax.psum(x, axis_name), tree)


def _at_once(reduce: Callable[[Array], Array], tree: Any) -> Any:
    """Reduce all leaves of a type as one vector: the devices of a CPU wait for each other once for every array."""
    leaves, structure = jax.tree.flatten(tree)
    reduced: list[Any] = [None] * len(leaves)
    for dtype in dict.fromkeys(x.dtype for x in leaves):
        places = [place for place, x in enumerate(leaves) if x.dtype == dtype]
        vector, parts_of = ravel_pytree([leaves[place] for place in places])
        for place, part in zip(places, parts_of(reduce(vector)), strict=True):
            reduced[place] = part
    return jax.tree.unflatten(structure, reduced)


def gather_over_devices(x: Array, axis_name: str | None, *, axis: int) -> Array:
    """Concatenate ``x`` of all devices along its ``axis``; the result is the same on every device."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, axis=axis, tiled=True)


def key_of_device(key: Key, axis_name: str | None) -> Key:
    """Derive a key for this device from one that all devices share."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def standardize(x: Array, *, axis_name: str | None = None, eps: float | Array = 1e-8) -> Array:
    """Shift and scale all elements of ``x``, over all devices, to mean 0 and unbiased standard deviation 1.

    If squares may overflow, all numbers are first divided by the largest; otherwise they are unchanged.

    Args:
        x: any shape.
        axis_name: mesh axis to reduce over, or None.
        eps: added to the standard deviation.

    Returns:
        an array of the same shape.

    Raises:
        AssertionError: if ``x`` is not of a float type.
    """
    chex.assert_type(x, float, custom_message="only floats can be standardised")
    largest = jnp.max(jnp.abs(x))
    largest = largest if axis_name is None else jax.lax.pmax(largest, axis_name)
    unit = unit_of(largest)
    x, eps = x / unit, eps / unit
    count, total = sum_over_devices((jnp.asarray(x.size, x.dtype), jnp.sum(x)), axis_name)
    mean = total / count
    squares = sum_over_devices(jnp.sum(jnp.square(x - mean)), axis_name)
    return (x - mean) / (jnp.sqrt(squares / (count - 1)) + eps)
