"""Beta distribution, for actions within bounds."""

from __future__ import annotations

import math

import distrax
import jax
import jax.numpy as jnp

from rsl_jax.distributions.base import Distribution
from rsl_jax.types import Array, DistributionParams, Key

NEAREST_TO_BOUNDS = 1e-6
"""Smallest distance, within [0, 1], of an action to a bound in its log-probability; nearer ones are moved inside."""


def beta(output_dim: int, *, action_range: tuple[float, float] = (-1.0, 1.0)) -> Distribution:
    r"""Beta distribution per action, stretched over ``action_range``.

    The network outputs ``[..., 2, A]``, from which ``alpha`` and ``beta`` follow by ``softplus(x) + 1``: above 1, so
    that the density has one peak. The part of ``beta`` in the last layer starts at zero.

    Args:
        output_dim: number of actions, ``A``.
        action_range: smallest and largest action.

    Returns:
        the distribution; its parameters are ``(alpha, beta)``, each ``[..., A]``. Its deterministic action is the mean.

    Raises:
        ValueError: if the range is invalid.

    Source: Chou et al., "Improving stochastic policy gradients in continuous control with deep reinforcement learning
    using the Beta distribution" (2017).
    """
    low, scale = _check_range(action_range)

    def params(output: Array, extra: object) -> DistributionParams:
        del extra
        return jax.nn.softplus(output[..., 0, :]) + 1, jax.nn.softplus(output[..., 1, :]) + 1

    def sample(params: DistributionParams, key: Key) -> Array:
        alpha, beta = params
        return jax.random.beta(key, alpha, beta, dtype=alpha.dtype) * scale + low

    def mode(params: DistributionParams) -> Array:
        alpha, beta = params
        return alpha / (alpha + beta) * scale + low

    def log_prob(params: DistributionParams, actions: Array) -> Array:
        unit = jnp.clip((actions - low) / scale, NEAREST_TO_BOUNDS, 1 - NEAREST_TO_BOUNDS)
        return jnp.sum(distrax.Beta(*params).log_prob(unit) - math.log(scale), -1)

    return Distribution(
        output_dim=(2, output_dim),
        params=params,
        sample=sample,
        log_prob=log_prob,
        # As in RSL-RL: of the distribution on [0, 1].
        entropy=lambda params: jnp.sum(distrax.Beta(*params).entropy(), -1),
        kl=lambda old, new: jnp.sum(beta_kl(old, new), -1),
        mode=mode,
        std=lambda params: distrax.Beta(*params).stddev() * scale,
        head_kernel=lambda kernel: kernel.at[..., output_dim:].set(0.0),
        head_bias=lambda bias: bias.at[output_dim:].set(0.0),
        readout=("beta_mean", low, scale),
    )


def beta_kl(old: DistributionParams, new: DistributionParams) -> Array:
    r"""Compute ``KL(old || new)`` per action: ``D(a_o, a_n) + D(b_o, b_n) - D(a_o + b_o, a_n + b_n)``.

    ``D(x, y)`` is how far ``log Gamma`` at ``y`` lies above its tangent at ``x``. PyTorch and distrax write that out,
    as a difference of logarithms of the gamma function. Those are of the size of 1 to 1000, and XLA gives them in
    float32 to some 1e-6 at best, which is more than the divergence of a policy that has hardly moved.
    """
    (old_alpha, old_beta), (new_alpha, new_beta) = old, new
    return (
        log_gamma_above_tangent(old_alpha, new_alpha)
        + log_gamma_above_tangent(old_beta, new_beta)
        - log_gamma_above_tangent(old_alpha + old_beta, new_alpha + new_beta)
    )


def log_gamma_above_tangent(x: Array, y: Array) -> Array:
    r"""Compute ``log Gamma(y) - log Gamma(x) - psi(x) (y - x)`` for ``x, y >= 1``, precisely also for ``y`` near ``x``.

    By ``log Gamma(x) = log Gamma(x + 8) - sum_{k < 8} log(x + k)`` and Stirling's series, of which each part has such
    a difference of its own: ``log x`` that of ``-g(t)``, with ``g(t) = t - log(1 + t)`` and ``t = (y - x) / x``;
    ``x^-m`` that of ``x^-m (y - x)^2 / (x y) sum_{j < m} (m - j) (x / y)^j``.
    """
    step = y - x
    above = sum(_above_log(step / (x + k)) for k in range(8))
    x, y = x + 8, y + 8
    q, square = x / y, jnp.square(step / x) / y
    above += step * (step / x) - (y - 0.5) * _above_log(step / x)
    series = square / 12 - square / jnp.square(x) * (3 + q * (2 + q)) / 360
    return above + series + square / jnp.square(jnp.square(x)) * (5 + q * (4 + q * (3 + q * (2 + q)))) / 1260


def _above_log(t: Array) -> Array:
    return t - jnp.log1p(t)


def _check_range(action_range: tuple[float, float]) -> tuple[float, float]:
    if len(action_range) != 2 or not -math.inf < action_range[0] < action_range[1] < math.inf:
        raise ValueError(
            f"action_range must be (smallest, largest), two finite numbers in this order; got {action_range!r}."
        )
    return action_range[0], action_range[1] - action_range[0]
