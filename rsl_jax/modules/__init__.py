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
from rsl_jax.modules.rnn import RNN, resolve_cell

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "RNN",
    "NormalizerState",
    "default_dtype",
    "denormalize",
    "init_normalizer",
    "normalize",
    "resolve_activation",
    "resolve_cell",
    "update_normalizer",
]
