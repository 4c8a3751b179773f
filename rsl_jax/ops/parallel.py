"""Reductions that also reach over devices where there are several.

``axis_name`` is the name of a mesh axis inside ``shard_map`` (or of a ``vmap``), or None on one device.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from rsl_jax.types import Array


def mean_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Mean of every leaf over the devices of an axis."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    """Sum of every leaf over the devices of an axis."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def standardize(x: Array, *, axis_name: str | None = None, eps: float = 1e-8) -> Array:
    """Shift and scale all elements of ``x`` (and of its fellows on other devices) to mean 0 and unbiased std 1.

    Args:
        x: any shape.
        axis_name: mesh axis to reduce over, or None.
        eps: added to the standard deviation.

    Returns:
        same shape.
    """
    count = sum_over_devices(jnp.asarray(x.size, x.dtype), axis_name)
    mean = sum_over_devices(jnp.sum(x), axis_name) / count
    squares = sum_over_devices(jnp.sum(jnp.square(x - mean)), axis_name)
    return (x - mean) / (jnp.sqrt(squares / (count - 1)) + eps)
