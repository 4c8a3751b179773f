"""Shapes brought in line by name, so that nothing relies on silent broadcasting of ranks."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from rsl_jax.types import Array


def select_rows(mask: Array, chosen: Any, others: Any) -> Any:
    """Rows of ``chosen`` where a mask is true, of ``others`` elsewhere.

    Args:
        mask: bool ``[N]``.
        chosen: a pytree, leaves ``[N, ...]``.
        others: one of the same structure and shapes.

    Returns:
        a pytree like the two.

    Raises:
        AssertionError: if the mask has another rank, or leaves do not agree with it or with each other.
    """
    chex.assert_rank(mask, 1, custom_message="a mask of rows is [N]")
    chex.assert_trees_all_equal_shapes(chosen, others, custom_message="rows to select from")
    chex.assert_tree_shape_prefix(chosen, mask.shape, custom_message="rows to select are as many as the mask has")

    def select(x: Array, y: Array) -> Array:
        return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(select, chosen, others)


def to_rank(x: Array, rank: int) -> Array:
    """``x`` with axes of size 1 before its own, as many as make up ``rank``; its last axes line up with another's.

    Raises:
        AssertionError: if it has more axes than that.
    """
    chex.assert_rank(x, set(range(rank + 1)), custom_message=f"an array is brought to rank {rank}")
    return jnp.reshape(x, (1,) * (rank - x.ndim) + x.shape)
