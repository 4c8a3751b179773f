"""Sections of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from rsl_jax.config.base import CustomConfig
from rsl_jax.config.distributions import DistributionConfig


@dataclass(frozen=True)
class MLPModelConfig:
    """Feed-forward model.

    Attributes:
        hidden_dims: sizes of the hidden layers; -1 means the size of the input.
        activation: name of the activation.
        obs_normalization: whether to normalise observations by their running moments.
        distribution_cfg: distribution over the output; None makes it deterministic.
    """

    class_name: str = "MLPModel"
    hidden_dims: tuple[int, ...] = (256, 256, 256)
    activation: str = "elu"
    obs_normalization: bool = False
    distribution_cfg: DistributionConfig | None = None


ModelConfig = Union[MLPModelConfig, CustomConfig]  # noqa: UP007

MODEL_CONFIGS: Mapping[str, type] = {"MLPModel": MLPModelConfig}
"""By ``class_name``."""
