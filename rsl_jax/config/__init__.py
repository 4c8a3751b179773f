"""Configuration: RSL-RL's keys and defaults as a tree of frozen dataclasses.

:meth:`RunnerConfig.from_dict` reads the dict (or YAML) of RSL-RL 5.5.1 unchanged, and never modifies it. Keys that are
not in RSL-RL are marked so. Floats of an algorithm may be traced by JAX, which is how hyper-parameters are swept.

Sections of models and distributions (``MLPModelConfig``, ``GaussianDistributionConfig``, ...) follow from the
parameters of their factories (:mod:`rsl_jax.config.derive`).
"""

from __future__ import annotations

from rsl_jax.config.algorithms import DistillationConfig, PPOConfig
from rsl_jax.config.encoders import CNNConfig
from rsl_jax.config.extensions import Mirror, MirrorSpec, RndConfig, SymmetryConfig, WeightScheduleConfig
from rsl_jax.config.keys import Part
from rsl_jax.config.known import (
    BetaDistributionConfig,
    CategoricalDistributionConfig,
    CNNModelConfig,
    GaussianDistributionConfig,
    HeteroscedasticGaussianDistributionConfig,
    MLPModelConfig,
    RNNModelConfig,
)
from rsl_jax.config.runner import BaseRunnerConfig, DistillationRunnerConfig, RunnerConfig
from rsl_jax.config.sections import (
    CustomConfig,
    Section,
    all_arguments_of,
    arguments_of,
    build_part,
    section_type,
    structural_fields,
    with_arguments,
)
from rsl_jax.registry import PARTS

_DERIVED = {f"{name}Config": (kind, name) for kind in ("model", "distribution") for name in PARTS[kind]}

__all__ = [
    "BaseRunnerConfig",
    "BetaDistributionConfig",
    "CNNConfig",
    "CNNModelConfig",
    "CategoricalDistributionConfig",
    "CustomConfig",
    "DistillationConfig",
    "DistillationRunnerConfig",
    "GaussianDistributionConfig",
    "HeteroscedasticGaussianDistributionConfig",
    "MLPModelConfig",
    "Mirror",
    "MirrorSpec",
    "PPOConfig",
    "Part",
    "RNNModelConfig",
    "RndConfig",
    "RunnerConfig",
    "Section",
    "SymmetryConfig",
    "WeightScheduleConfig",
    "all_arguments_of",
    "arguments_of",
    "build_part",
    "section_type",
    "structural_fields",
    "with_arguments",
]
