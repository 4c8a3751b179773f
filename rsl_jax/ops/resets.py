"""Hidden states at the ends of episodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rsl_jax.trees import select_rows
from rsl_jax.types import Array, Carry


def reset_carry(carry: Carry, dones: Array) -> Carry:
    """Set the hidden states of ended episodes to zero, which also cuts their gradients to the past.

    Args:
        carry: hidden states, leaves ``[N, ...]``.
        dones: whether the episode ended, bool ``[N]``.

    Raises:
        AssertionError: if the two have different numbers of environments.
    """
    return select_rows(dones, jax.tree.map(jnp.zeros_like, carry), carry)
