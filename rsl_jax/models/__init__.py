"""Models. A new one is a file and a line in :data:`MODELS`."""

from rsl_jax.models.build import (
    MODELS,
    build_distribution,
    build_model,
    build_policy,
    resolve_obs_groups,
    section_arguments,
)
from rsl_jax.models.cnn_model import ENCODERS, CNNModel, with_encoders_of
from rsl_jax.models.mlp_model import MLPModel
from rsl_jax.models.rnn_model import RNNModel

__all__ = [
    "ENCODERS",
    "MODELS",
    "CNNModel",
    "MLPModel",
    "RNNModel",
    "build_distribution",
    "build_model",
    "build_policy",
    "resolve_obs_groups",
    "section_arguments",
    "with_encoders_of",
]
