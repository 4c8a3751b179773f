"""Shapes brought in line by name, so that nothing relies on silent broadcasting of ranks."""

from __future__ import annotations

import chex
import jax.numpy as jnp

from rsl_jax.types import Array


def to_rank(x: Array, rank: int) -> Array:
    """``x`` with axes of size 1 before its own, as many as make up ``rank``; its last axes line up with another's.

    Raises:
        AssertionError: if it has more axes than that.
    """
    chex.assert_rank(x, set(range(rank + 1)), custom_message=f"an array is brought to rank {rank}")
    return jnp.reshape(x, (1,) * (rank - x.ndim) + x.shape)
