"""Sections of action distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Union

from rsl_jax.config.base import CustomConfig


@dataclass(frozen=True)
class GaussianDistributionConfig:
    """Diagonal Gaussian with a standard deviation that does not depend on the state.

    Attributes:
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation.
        std_type: whether the standard deviation itself is learned (scalar) or its logarithm.
        learn_std: whether it learns at all.
    """

    class_name: str = "GaussianDistribution"
    init_std: float = 1.0
    std_range: tuple[float, float] = (1e-6, 1e6)
    std_type: Literal["scalar", "log"] = "scalar"
    learn_std: bool = True


@dataclass(frozen=True)
class HeteroscedasticGaussianDistributionConfig:
    """Diagonal Gaussian whose standard deviations are outputs of the network.

    Attributes:
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation.
        std_type: whether the network gives the standard deviation itself (scalar) or its logarithm.
    """

    class_name: str = "HeteroscedasticGaussianDistribution"
    init_std: float = 1.0
    std_range: tuple[float, float] = (1e-6, 1e6)
    std_type: Literal["scalar", "log"] = "scalar"


@dataclass(frozen=True)
class BetaDistributionConfig:
    """Beta distribution, for actions within bounds.

    Attributes:
        action_range: smallest and largest action.
    """

    class_name: str = "BetaDistribution"
    action_range: tuple[float, float] = (-1.0, 1.0)


@dataclass(frozen=True)
class CategoricalDistributionConfig:
    """One choice out of n, for discrete actions (not in RSL-RL)."""

    class_name: str = "CategoricalDistribution"


DistributionConfig = Union[  # noqa: UP007 (isinstance and tyro want a Union)
    GaussianDistributionConfig,
    HeteroscedasticGaussianDistributionConfig,
    BetaDistributionConfig,
    CategoricalDistributionConfig,
    CustomConfig,
]

DISTRIBUTION_CONFIGS: Mapping[str, type] = {
    "GaussianDistribution": GaussianDistributionConfig,
    "HeteroscedasticGaussianDistribution": HeteroscedasticGaussianDistributionConfig,
    "BetaDistribution": BetaDistributionConfig,
    "CategoricalDistribution": CategoricalDistributionConfig,
}
"""By ``class_name``."""
