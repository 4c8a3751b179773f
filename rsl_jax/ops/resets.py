"""Hidden states at the ends of episodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rsl_jax.trees import select_rows
from rsl_jax.types import Array, Carry


def reset_carry(carry: Carry, dones: Array) -> Carry:
    """Hidden states, leaves ``[N, ...]``, zero (and without gradients to the past) where an episode ended, ``[N]``.

    Raises:
        AssertionError: if they are not of as many environments as ``dones``.
    """
    return select_rows(dones, jax.tree.map(jnp.zeros_like, carry), carry)
