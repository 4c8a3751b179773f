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


DistributionConfig = Union[GaussianDistributionConfig, CustomConfig]  # noqa: UP007 (isinstance and tyro want a Union)

DISTRIBUTION_CONFIGS: Mapping[str, type] = {"GaussianDistribution": GaussianDistributionConfig}
"""By ``class_name``."""
