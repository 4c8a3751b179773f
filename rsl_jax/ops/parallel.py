"""Reductions that also reach over devices where there are several.

``axis_name`` is the name of a mesh axis inside ``shard_map`` (or of a ``vmap``), or None on one device.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from rsl_jax.ops.gradients import unit_of
from rsl_jax.types import Array, Key


def mean_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Mean of every leaf over the devices of an axis."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Sum of every leaf over the devices of an axis."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def gather_over_devices(x: Array, axis_name: str | None, *, axis: int) -> Array:
    """The parts of ``x`` on all devices, side by side along its ``axis``; the same on every device."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, axis=axis, tiled=True)


def key_of_device(key: Key, axis_name: str | None) -> Key:
    """A random key of this device's own, out of one that all devices share."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def standardize(x: Array, *, axis_name: str | None = None, eps: float | Array = 1e-8) -> Array:
    """Shift and scale all elements of ``x`` (and of its fellows on other devices) to mean 0 and unbiased std 1.

    Numbers whose squares may overflow are divided by the largest of them first; others are left as they are.

    Args:
        x: any shape.
        axis_name: mesh axis to reduce over, or None.
        eps: added to the standard deviation.

    Returns:
        same shape.

    Raises:
        AssertionError: if ``x`` holds no floats.
    """
    chex.assert_type(x, float, custom_message="what is standardised is floats")
    largest = jnp.max(jnp.abs(x))
    largest = largest if axis_name is None else jax.lax.pmax(largest, axis_name)
    unit = unit_of(largest)
    x, eps = x / unit, eps / unit
    count = sum_over_devices(jnp.asarray(x.size, x.dtype), axis_name)
    mean = sum_over_devices(jnp.sum(x), axis_name) / count
    squares = sum_over_devices(jnp.sum(jnp.square(x - mean)), axis_name)
    return (x - mean) / (jnp.sqrt(squares / (count - 1)) + eps)
