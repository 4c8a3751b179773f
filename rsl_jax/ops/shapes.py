"""Explicit alignment of shapes, instead of implicit rank promotion."""

from __future__ import annotations

import chex
import jax.numpy as jnp

from rsl_jax.types import Array


def to_rank(x: Array, rank: int) -> Array:
    """Prepend axes of size 1 up to ``rank``, so that the last axes align with those of another array.

    Raises:
        AssertionError: if ``x`` has more axes than that.
    """
    chex.assert_rank(x, set(range(rank + 1)), custom_message=f"an array cannot be reduced to rank {rank}")
    return jnp.reshape(x, (1,) * (rank - x.ndim) + x.shape)
