"""Configuration: RSL-RL's keys and defaults as a tree of frozen dataclasses.

:meth:`RunnerConfig.from_dict` reads the very dict (or YAML) that RSL-RL 5.5.1 takes and never changes it. Keys that are
not in RSL-RL are marked so. Floats of an algorithm may be traced by JAX, which is how hyper-parameters are swept.
"""

from rsl_jax.config.algorithms import AlgorithmConfig, DistillationConfig, PPOConfig
from rsl_jax.config.base import CustomConfig
from rsl_jax.config.distributions import (
    BetaDistributionConfig,
    CategoricalDistributionConfig,
    DistributionConfig,
    GaussianDistributionConfig,
    HeteroscedasticGaussianDistributionConfig,
)
from rsl_jax.config.extensions import Mirror, MirrorSpec, RndConfig, SymmetryConfig, WeightScheduleConfig
from rsl_jax.config.models import CNNConfig, CNNModelConfig, MLPModelConfig, ModelConfig, RNNModelConfig
from rsl_jax.config.reading import SECTIONS, structural_fields
from rsl_jax.config.runner import BaseRunnerConfig, DistillationRunnerConfig, RunnerConfig

__all__ = [
    "SECTIONS",
    "AlgorithmConfig",
    "BaseRunnerConfig",
    "BetaDistributionConfig",
    "CNNConfig",
    "CNNModelConfig",
    "CategoricalDistributionConfig",
    "CustomConfig",
    "DistillationConfig",
    "DistillationRunnerConfig",
    "DistributionConfig",
    "GaussianDistributionConfig",
    "HeteroscedasticGaussianDistributionConfig",
    "MLPModelConfig",
    "Mirror",
    "MirrorSpec",
    "ModelConfig",
    "PPOConfig",
    "RNNModelConfig",
    "RndConfig",
    "RunnerConfig",
    "SymmetryConfig",
    "WeightScheduleConfig",
    "structural_fields",
]
