"""Gradient clipping and the adaptive learning rate, as in RSL-RL."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from rsl_jax.types import Array


def clip_by_global_norm(gradients: Any, max_norm: float | Array) -> tuple[Any, Array]:
    """Scale gradients by ``min(1, max_norm / (norm + 1e-6))``, as PyTorch's ``clip_grad_norm_`` does.

    The squares of large gradients (from 1e19 in float32) overflow although the gradients do not, so such gradients are
    first divided by their largest entry; others are unchanged, so their norm is the ordinary one to the last bit.

    Args:
        gradients: a pytree.
        max_norm: the largest norm allowed.

    Returns:
        the scaled pytree and the norm before scaling, ``[]``.

    Raises:
        AssertionError: if ``max_norm`` is not a scalar.
    """
    chex.assert_rank(max_norm, 0, custom_message="max_norm is a scalar")
    entries = flat(gradients)
    unit = unit_of(largest_entry(gradients))
    norm = optax.tree.norm(entries / unit)
    factor = jnp.minimum(unit, max_norm / (norm + 1e-6 / unit))
    return jax.tree.map(lambda gradient: gradient / unit * factor, gradients), norm * unit


def largest_entry(gradients: Any) -> Array:
    """Return the largest absolute entry of a pytree, ``[]``: finite if all entries are, NaN if one is."""
    return jnp.max(jnp.abs(flat(gradients)))


def flat(tree: Any) -> Array:
    """Return all entries of a pytree as one vector: every leaf by itself would be separate loops to compile."""
    return jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])


def unit_of(largest: Array) -> Array:
    """Return the divisor for numbers that are to be squared, given the largest of them: 1 unless it is very large."""
    # XLA divides by multiplying with the reciprocal, which must not vanish.
    most = float(jnp.finfo(largest.dtype).max) / 256
    return jnp.where(largest > largest_to_square(largest.dtype), jnp.minimum(largest, most), 1)


def largest_to_square(dtype: Any) -> float:
    """Return the largest number of which many squares can be summed: 2.6e15 in float32, as a Python number."""
    return float(jnp.finfo(dtype).max) ** 0.4


def adapt_learning_rate(
    learning_rate: Array,
    kl: Array,
    *,
    desired_kl: float | Array,
    factor: float = 1.5,
    minimum: float = 1e-5,
    maximum: float = 1e-2,
) -> Array:
    """Adapt the learning rate to keep the policy's steps near a target size.

    Args:
        learning_rate: the current rate, ``[]``.
        kl: the size of the policy's step, mean ``KL(old || new)``, ``[]``.
        desired_kl: the target. Above twice the target, the rate is divided by ``factor``. Below half of it, the rate is
            multiplied by ``factor``, unless the policy has not changed at all (up to rounding: a KL of at most the
            machine epsilon).
        factor: factor of one change.
        minimum: lower bound of a decreasing rate.
        maximum: upper bound of an increasing rate.

    Returns:
        the new rate, ``[]``.

    Raises:
        AssertionError: if an argument is not a scalar.
    """
    scalars = [learning_rate, kl, desired_kl]
    chex.assert_rank(scalars, 0, custom_message="learning_rate, kl (a mean) and desired_kl are scalars")
    slower = jnp.maximum(minimum, learning_rate / factor)
    faster = jnp.minimum(maximum, learning_rate * factor)
    too_far = kl > 2 * desired_kl
    too_near = (kl < desired_kl / 2) & (kl > jnp.finfo(kl.dtype).eps)
    return jnp.where(too_far, slower, jnp.where(too_near, faster, learning_rate))
