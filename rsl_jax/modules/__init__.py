"""Building blocks of models."""

from rsl_jax.modules.activations import ACTIVATIONS, resolve_activation
from rsl_jax.modules.cnn import CNN, TRAINING, Encoders, plan_layers
from rsl_jax.modules.mlp import MLP
from rsl_jax.modules.normalization import (
    NormalizerState,
    denormalize,
    init_normalizer,
    normalize,
    update_normalizer,
)
from rsl_jax.modules.rnn import RNN, resolve_cell
from rsl_jax.types import default_dtype

__all__ = [
    "ACTIVATIONS",
    "CNN",
    "MLP",
    "RNN",
    "TRAINING",
    "Encoders",
    "NormalizerState",
    "default_dtype",
    "denormalize",
    "init_normalizer",
    "normalize",
    "plan_layers",
    "resolve_activation",
    "resolve_cell",
    "update_normalizer",
]
