"""Hidden states at the ends of episodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rsl_jax.trees import mask_like
from rsl_jax.types import Array, Carry


def reset_carry(carry: Carry, dones: Array) -> Carry:
    """Hidden states, leaves ``[N, ...]``, zero (and without gradients to the past) where an episode ended, ``[N]``."""

    def reset(x: Array) -> Array:
        return jnp.where(mask_like(dones, x), jnp.zeros_like(x), x)

    return jax.tree.map(reset, carry)
