"""Diagonal Gaussian whose standard deviations depend on the state."""

from __future__ import annotations

from typing import Literal

from rsl_jax.config.keys import Limit, Positive
from rsl_jax.distributions.base import Distribution
from rsl_jax.distributions.gaussian import check_std, logarithm, normal_functions, std_parameterization
from rsl_jax.types import Array, DistributionParams


def heteroscedastic_gaussian(
    output_dim: int,
    *,
    init_std: Positive = 1.0,
    std_range: tuple[Limit, Limit] = (1e-6, 1e6),
    std_type: Literal["scalar", "log"] = "scalar",
) -> Distribution:
    """Gaussian whose means and standard deviations are both outputs of the network.

    The network outputs ``[..., 2, A]``: means, then standard deviations (or their logarithms). The latter start as
    ``init_std`` in every state, because their part of the last layer starts with zero weights.

    Args:
        output_dim: number of actions, ``A``.
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation; the smallest is never below 1e-6.
        std_type: whether the network outputs the standard deviation itself (scalar) or its logarithm.

    Returns:
        the distribution; its parameters are ``(mean, std)``, each ``[..., A]``.

    Raises:
        ValueError: if an argument is not among the allowed ones.
    """
    to_std = std_parameterization(check_std(init_std, std_range, std_type), std_type)
    start = init_std if std_type == "scalar" else logarithm(init_std + 1e-7)

    def params(output: Array, extra: object) -> DistributionParams:
        del extra
        return output[..., 0, :], to_std(output[..., 1, :])

    return Distribution(
        output_dim=(2, output_dim),
        params=params,
        head_kernel=lambda kernel: kernel.at[..., output_dim:].set(0.0),
        head_bias=lambda bias: bias.at[output_dim:].set(start),
        readout=("first_row",),
        **normal_functions(),
    )
