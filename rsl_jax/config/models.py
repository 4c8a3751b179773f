"""Sections of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from rsl_jax.config.base import CustomConfig, require_at_least
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


@dataclass(frozen=True)
class RNNModelConfig(MLPModelConfig):
    """Recurrent model: an RNN in front of the MLP.

    Attributes:
        hidden_dims: sizes of the MLP's hidden layers; -1 means the size of its input.
        activation: name of the MLP's activation.
        obs_normalization: whether to normalise observations by their running moments.
        distribution_cfg: distribution over the output; None makes it deterministic.
        rnn_type: lstm or gru.
        rnn_hidden_dim: size of each hidden state.
        rnn_num_layers: how many recurrent layers.
    """

    class_name: str = "RNNModel"
    rnn_type: str = "lstm"
    rnn_hidden_dim: int = 256
    rnn_num_layers: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything."""
        require_at_least(1, rnn_hidden_dim=self.rnn_hidden_dim, rnn_num_layers=self.rnn_num_layers)


ModelConfig = Union[MLPModelConfig, RNNModelConfig, CustomConfig]  # noqa: UP007

MODEL_CONFIGS: Mapping[str, type] = {"MLPModel": MLPModelConfig, "RNNModel": RNNModelConfig}
"""By ``class_name``."""
