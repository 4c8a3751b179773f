"""Losses of PPO as formulas on arrays."""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp

from rsl_jax.types import Array


def surrogate_loss(log_probs: Array, old_log_probs: Array, advantages: Array, *, clip_param: float | Array) -> Array:
    r"""Compute PPO's clipped objective, ``mean(max(-A r, -A clip(r, 1 - c, 1 + c)))`` with ``r = exp(log_prob - old)``.

    Ratios are bounded by the root of the largest float (1.8e19 in float32), above which gradients would be NaN or
    infinite.

    Args:
        log_probs: of the stored actions under the current policy, ``[...]``.
        old_log_probs: of the same actions under the policy that took them, ``[...]``.
        advantages: ``[...]``.
        clip_param: ``c``.

    Returns:
        the loss, ``[]``.

    Raises:
        AssertionError: if the arrays have different shapes; broadcasting would combine every pair of samples.

    Source: Schulman et al., "Proximal policy optimization algorithms" (2017), eq. 7.
    """
    same = [log_probs, old_log_probs, advantages]
    chex.assert_equal_shape(same, custom_message="log_probs, old_log_probs and advantages of the surrogate loss")
    chex.assert_rank(clip_param, 0, custom_message="clip_param is a scalar")
    log_ratio, most = log_probs - old_log_probs, math.log(float(jnp.finfo(log_probs.dtype).max)) / 2
    # Beyond the bound the gradient is that of the bound, not 0: such a sample is the one to learn from.
    ratio = jnp.exp(jnp.where(log_ratio > most, most + log_ratio - jax.lax.stop_gradient(log_ratio), log_ratio))
    clipped = jnp.clip(ratio, 1 - clip_param, 1 + clip_param)
    return jnp.mean(jnp.maximum(-advantages * ratio, -advantages * clipped))


def value_loss(values: Array, returns: Array) -> Array:
    """Compute the mean squared error between values ``[...]`` and returns ``[...]``.

    Raises:
        AssertionError: if the two have different shapes.
    """
    chex.assert_equal_shape([values, returns], custom_message="values and returns of the value loss")
    return jnp.mean(jnp.square(values - returns))


def clipped_value_loss(values: Array, old_values: Array, returns: Array, *, clip_param: float | Array) -> Array:
    r"""Compute the mean of the larger of two squared errors: of the value, and of the value clipped near its old one.

    Args:
        values: of the current critic, ``[...]``.
        old_values: of the critic at collection, ``[...]``.
        returns: ``[...]``.
        clip_param: largest change of a value.

    Returns:
        the loss, ``[]``.

    Raises:
        AssertionError: if the arrays have different shapes.
    """
    same = [values, old_values, returns]
    chex.assert_equal_shape(same, custom_message="values, old_values and returns of the value loss")
    chex.assert_rank(clip_param, 0, custom_message="clip_param is a scalar")
    clipped = old_values + jnp.clip(values - old_values, -clip_param, clip_param)
    return jnp.mean(jnp.maximum(jnp.square(values - returns), jnp.square(clipped - returns)))
