"""Diagonal Gaussian with one standard deviation per action, the same in every state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import distrax
import jax
import jax.numpy as jnp

from rsl_jax.config.keys import Limit, Positive
from rsl_jax.distributions.base import Distribution
from rsl_jax.types import Array, DistributionParams, Key, default_dtype

SMALLEST_STD = 1e-6


def gaussian(
    output_dim: int,
    *,
    init_std: Positive = 1.0,
    std_range: tuple[Limit, Limit] = (1e-6, 1e6),
    std_type: Literal["scalar", "log"] = "scalar",
    learn_std: bool = True,
) -> Distribution:
    """Gaussian whose mean is the network's output and whose standard deviation is a separate parameter.

    Args:
        output_dim: number of actions, ``A``.
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation; the smallest is never below 1e-6.
        std_type: whether the standard deviation itself is learned (scalar) or its logarithm.
        learn_std: whether the standard deviation is trained.

    Returns:
        the distribution; its parameters are ``(mean, std)``, each ``[..., A]``.

    Raises:
        ValueError: if an argument is not among the allowed ones.
    """
    bounds = check_std(init_std, std_range, std_type)
    to_std = std_parameterization(bounds, std_type)
    # Two names, so that parameters of one kind are never taken for the other.
    name, start = ("std", init_std) if std_type == "scalar" else ("log_std", logarithm(init_std))

    def params(output: Array, extra: Any) -> DistributionParams:
        std = jnp.reshape(to_std(extra[name]), (1,) * (output.ndim - 1) + (output_dim,))
        return output, jnp.broadcast_to(std, output.shape)

    return Distribution(
        output_dim=output_dim,
        params=params,
        init_extra=lambda: {name: jnp.full(output_dim, start, default_dtype())},
        learn_extra=learn_std,
        readout=("output",),
        **normal_functions(),
    )


def check_std(init_std: float, std_range: tuple[float, float], std_type: str) -> tuple[float, float]:
    """Return the range of the standard deviation with its floor.

    Raises:
        ValueError: if the standard deviation's type, range or initial value is invalid.
    """
    if std_type not in ("scalar", "log"):
        raise ValueError(f"std_type must be 'scalar' or 'log'; got {std_type!r}.")
    if len(std_range) != 2 or not 0 <= std_range[0] < std_range[1]:
        raise ValueError(f"std_range must be (smallest, largest) with 0 <= smallest < largest; got {std_range!r}.")
    if isinstance(init_std, (int, float)) and not init_std > 0:  # a sweep may trace it
        raise ValueError(f"init_std must be positive; got {init_std!r}.")
    return max(std_range[0], SMALLEST_STD), std_range[1]


def logarithm(x: float) -> Any:
    """Compute the logarithm of a number, which may be traced."""
    return math.log(x) if isinstance(x, (int, float)) else jnp.log(x)


def std_parameterization(bounds: tuple[float, float], std_type: str) -> Callable[[Array], Array]:
    """Return the function from the learned parameter to a standard deviation within bounds."""
    if std_type == "scalar":
        return lambda parameter: clamp(parameter, *bounds)
    low, high = (math.log(bound) for bound in bounds)
    return lambda parameter: jnp.exp(clamp(parameter, low, high))


def clamp(x: Array, low: float, high: float) -> Array:
    """Clamp ``x``; at a bound its gradient is still 1, as in PyTorch (``jnp.clip`` halves it there)."""
    return jnp.where((x >= low) & (x <= high), x, jnp.clip(jax.lax.stop_gradient(x), low, high))


def normal_kl(old: DistributionParams, new: DistributionParams) -> Array:
    r"""Return ``KL(old || new)`` per action, ``(r + ((m_o - m_n) / s_n)^2 - 1 - \log r) / 2``, ``r = (s_o / s_n)^2``.

    Written so, and not as distrax has it, because rounding then swallows the difference of an unchanged policy: the
    divergence is exactly 0, which the learning-rate rule distinguishes from a small one. The ratio of standard
    deviations is computed from their difference because XLA may divide by multiplying with a reciprocal, and
    ``s * (1 / s)`` is not always 1.
    """
    (old_mean, old_std), (new_mean, new_std) = old, new
    ratio = jnp.square(1 + (old_std - new_std) / new_std)
    shift = jnp.square((old_mean - new_mean) / new_std)
    return 0.5 * (ratio + shift - 1 - jnp.log(ratio))


def normal_functions() -> dict[str, Any]:
    """Return the functions that all Gaussians on ``(mean, std)`` share."""

    def normal(params: DistributionParams) -> distrax.Normal:
        return distrax.Normal(*params)

    def sample(params: DistributionParams, key: Key) -> Array:
        mean, std = params
        return mean + std * jax.random.normal(key, mean.shape, mean.dtype)

    return {
        "sample": sample,
        "log_prob": lambda params, actions: jnp.sum(normal(params).log_prob(actions), -1),
        "entropy": lambda params: jnp.sum(normal(params).entropy(), -1),
        "kl": lambda old, new: jnp.sum(normal_kl(old, new), -1),
        "mode": lambda params: params[0],
        "std": lambda params: params[1],
    }
