"""Hidden states at the ends of episodes."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from rsl_jax.trees import mask_like
from rsl_jax.types import Array, Carry


def reset_carry(carry: Carry, dones: Array) -> Carry:
    """Hidden states, leaves ``[N, ...]``, zero (and without gradients to the past) where an episode ended, ``[N]``.

    Raises:
        AssertionError: if they are not of as many environments as ``dones``.
    """
    chex.assert_rank(dones, 1, custom_message="dones are [N]")
    chex.assert_tree_shape_prefix(carry, dones.shape, custom_message="hidden states are [N, ...], as dones are [N]")

    def reset(x: Array) -> Array:
        return jnp.where(mask_like(dones, x), jnp.zeros_like(x), x)

    return jax.tree.map(reset, carry)
