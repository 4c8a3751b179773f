"""Building blocks of models."""

from rsl_jax.modules.activations import ACTIVATIONS, resolve_activation
from rsl_jax.modules.mlp import MLP, default_dtype
from rsl_jax.modules.normalization import (
    NormalizerState,
    denormalize,
    init_normalizer,
    normalize,
    update_normalizer,
)

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "NormalizerState",
    "default_dtype",
    "denormalize",
    "init_normalizer",
    "normalize",
    "resolve_activation",
    "update_normalizer",
]
