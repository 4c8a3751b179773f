"""Sections of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from rsl_jax.config.base import CustomConfig, require_at_least
from rsl_jax.config.distributions import DistributionConfig


@dataclass(frozen=True)
class MLPModelConfig:
    """Feed-forward model.

    Attributes:
        hidden_dims: sizes of the hidden layers; -1 means the size of the input.
        activation: name of the activation.
        obs_normalization: whether to normalise observations by their running moments.
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor,
            which then takes what the environment asks for: a Gaussian, or a Categorical where actions are choices.
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
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor,
            which then takes what the environment asks for: a Gaussian, or a Categorical where actions are choices.
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


@dataclass(frozen=True)
class CNNConfig:
    """Convolutional encoder of an image group. Where a key takes a list, it has an entry a layer.

    Attributes:
        output_channels: channels of each layer; there are as many layers as entries.
        kernel_size: height and width of the kernels.
        stride: step of the kernels.
        dilation: distance between the pixels that a kernel looks at.
        padding: what stands around the images, enough of it for an output of 1/stride of their size; none lets them
            shrink by the kernel.
        norm: what normalises the output of a convolution.
        activation: name of the activation.
        max_pool: whether a 3x3 max pool of stride 2 follows the activation.
        global_pool: what the last layer's pixels become, channel by channel.
        flatten: whether the output becomes a vector, in the order C, H, W; the MLP needs one.
    """

    output_channels: tuple[int, ...]
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    dilation: int | tuple[int, ...] = 1
    padding: Literal["none", "zeros", "reflect", "replicate", "circular"] = "none"
    norm: Literal["none", "batch", "layer"] | tuple[Literal["none", "batch", "layer"], ...] = "none"
    activation: str = "elu"
    max_pool: bool | tuple[bool, ...] = False
    global_pool: Literal["none", "max", "avg"] = "none"
    flatten: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything, and lists of another length than there are layers."""
        if not self.output_channels:
            raise ValueError("output_channels is empty; it needs an entry for each layer, for example [16, 32].")
        for key in ("kernel_size", "stride", "dilation", "norm", "max_pool"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != len(self.output_channels):
                raise ValueError(
                    f"{key} has {len(value)} entries, output_channels has {len(self.output_channels)}; give one for "
                    "each layer, or a single value for all."
                )
        for layer in range(len(self.output_channels)):
            numbers = {key: self.at(layer, key) for key in ("output_channels", "kernel_size", "stride", "dilation")}
            require_at_least(1, **numbers)

    def at(self, layer: int, key: str) -> Any:
        """What a key says of a layer."""
        value = getattr(self, key)
        return value[layer] if isinstance(value, tuple) else value


EncoderConfigs = CNNConfig | Mapping[str, CNNConfig] | None
"""One encoder for all image groups, or one by group."""


@dataclass(frozen=True)
class CNNModelConfig(MLPModelConfig):
    """Convolutional model: images through encoders, then beside the 1-D observations through an MLP.

    Attributes:
        hidden_dims: sizes of the hidden layers; -1 means the size of the input.
        activation: name of the MLP's activation.
        obs_normalization: whether to normalise 1-D observations by their running moments.
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor,
            which then takes what the environment asks for: a Gaussian, or a Categorical where actions are choices.
        cnn_cfg: the encoder of all image groups, or a mapping from their names to encoders.
    """

    class_name: str = "CNNModel"
    cnn_cfg: EncoderConfigs = None


ModelConfig = Union[MLPModelConfig, RNNModelConfig, CNNModelConfig, CustomConfig]  # noqa: UP007

MODEL_CONFIGS: Mapping[str, type] = {
    "MLPModel": MLPModelConfig,
    "RNNModel": RNNModelConfig,
    "CNNModel": CNNModelConfig,
}
"""By ``class_name``."""
