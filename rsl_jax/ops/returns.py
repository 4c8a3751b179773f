"""Returns and advantages."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from rsl_jax.types import Array


def generalized_advantage_estimation(
    rewards: Array, values: Array, dones: Array, last_values: Array, *, gamma: float | Array, lam: float | Array
) -> tuple[Array, Array]:
    r"""Compute advantages and returns by generalised advantage estimation.

    .. math::
        \delta_t = r_t + \gamma (1 - d_t) V_{t+1} - V_t, \qquad
        A_t = \delta_t + \gamma \lambda (1 - d_t) A_{t+1}, \qquad R_t = A_t + V_t

    Args:
        rewards: ``[T, N]``.
        values: of the observations before each step, ``[T, N]``.
        dones: whether the episode ended with the step, ``[T, N]``.
        last_values: of the observations after the last step, ``[N]``.
        gamma: discount factor.
        lam: trade-off between bias (0) and variance (1).

    Returns:
        advantages ``[T, N]`` and returns ``[T, N]``.

    Raises:
        AssertionError: if an argument has another shape.

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage estimation" (2016),
        eq. 16.
    """
    chex.assert_rank([rewards, values, dones], 2, custom_message="rewards, values and dones are [T, N]")
    chex.assert_equal_shape([rewards, values, dones], custom_message="rewards, values and dones are [T, N]")
    chex.assert_shape(last_values, values.shape[1:], custom_message="last_values are [N]")
    chex.assert_rank([gamma, lam], 0, custom_message="gamma and lam are scalars")
    discounts = gamma * (1 - dones.astype(values.dtype))
    next_values = jnp.concatenate([values[1:], last_values[None]])
    deltas = rewards + discounts * next_values - values

    def backwards(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, discount = step
        advantage = delta + discount * lam * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(backwards, jnp.zeros_like(last_values), (deltas, discounts), reverse=True)
    return advantages, advantages + values
