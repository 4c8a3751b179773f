"""Models. A new one is a file and a line in :data:`rsl_jax.registry.PARTS`."""

from rsl_jax.models.build import (
    build_distribution,
    build_model,
    build_policy,
)
from rsl_jax.models.cnn_model import ENCODERS, CNNModel, with_encoders_of
from rsl_jax.models.groups import default_groups, resolve_obs_groups
from rsl_jax.models.mlp_model import MLPModel
from rsl_jax.models.rnn_model import RNNModel

__all__ = [
    "ENCODERS",
    "CNNModel",
    "MLPModel",
    "RNNModel",
    "build_distribution",
    "build_model",
    "build_policy",
    "default_groups",
    "resolve_obs_groups",
    "with_encoders_of",
]
