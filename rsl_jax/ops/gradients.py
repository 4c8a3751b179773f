"""Gradient clipping and the learning-rate rule, as RSL-RL has them."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from rsl_jax.types import Array


def clip_by_global_norm(gradients: Any, max_norm: float | Array) -> tuple[Any, Array]:
    """Scale gradients by ``min(1, max_norm / (norm + 1e-6))``, as PyTorch's ``clip_grad_norm_`` does.

    Squares of large gradients (from 1e19 on in float32) overflow although the gradients do not, so these are divided by
    the largest of them first; others are left as they are, so that their norm is the ordinary one to the last bit.

    Args:
        gradients: a pytree.
        max_norm: the largest norm allowed.

    Returns:
        the scaled pytree and the norm before scaling, ``[]``.

    Raises:
        AssertionError: if ``max_norm`` is no scalar.
    """
    chex.assert_rank(max_norm, 0, custom_message="max_norm is a scalar")
    # One long vector instead of many leaves, each of which would be several loops of its own to compile.
    entries = jnp.concatenate([gradient.ravel() for gradient in jax.tree.leaves(gradients)])
    unit = unit_of(largest_entry(entries))
    norm = optax.tree.norm(entries / unit)
    factor = jnp.minimum(unit, max_norm / (norm + 1e-6 / unit))
    return jax.tree.map(lambda gradient: gradient / unit * factor, gradients), norm * unit


def largest_entry(gradients: Any) -> Array:
    """The largest absolute entry of a pytree, ``[]``: finite where all are, NaN where one is."""
    largest: Array = optax.tree.norm(gradients, ord=jnp.inf)
    return largest


def unit_of(largest: Array) -> Array:
    """What to divide numbers by before they are squared, if the largest of them is this: 1 for all but large ones."""
    # XLA divides by multiplying with the reciprocal, which must not vanish.
    most = float(jnp.finfo(largest.dtype).max) / 256
    return jnp.where(largest > largest_to_square(largest.dtype), jnp.minimum(largest, most), 1)


def largest_to_square(dtype: Any) -> float:
    """The largest number of which many squares can be summed: 2.6e15 in float32, as a Python number."""
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
    """The learning rate that keeps the policy's steps near a wanted size.

    Args:
        learning_rate: the rate in force, ``[]``.
        kl: how far the policy has moved, mean ``KL(old || new)``, ``[]``.
        desired_kl: how far it should move. Beyond twice of it the rate falls by ``factor``. Below half of it the rate
            rises by ``factor``, unless the policy has not moved at all, of which rounding leaves less than
            one digit of 1.
        factor: of one change.
        minimum: floor of a falling rate.
        maximum: cap of a rising rate.

    Returns:
        the new rate, ``[]``.

    Raises:
        AssertionError: if an argument is no scalar.
    """
    scalars = [learning_rate, kl, desired_kl]
    chex.assert_rank(scalars, 0, custom_message="learning_rate, kl (a mean) and desired_kl are scalars")
    slower = jnp.maximum(minimum, learning_rate / factor)
    faster = jnp.minimum(maximum, learning_rate * factor)
    too_far = kl > 2 * desired_kl
    too_near = (kl < desired_kl / 2) & (kl > jnp.finfo(kl.dtype).eps)
    return jnp.where(too_far, slower, jnp.where(too_near, faster, learning_rate))
