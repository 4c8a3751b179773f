"""Convolutional encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rsl_jax.config.keys import Activation, Count
from rsl_jax.config.sections import Checked


@dataclass(frozen=True)
class CNNConfig(Checked):
    """Convolutional encoder of an image group. Where a key takes a list, it has an entry per layer.

    Attributes:
        output_channels: channels of each layer; there are as many layers as entries.
        kernel_size: height and width of the kernels.
        stride: step of the kernels.
        dilation: distance between the pixels that a kernel reads.
        padding: values around the images, enough of them for an output of 1/stride of their size; none lets them
            shrink by the kernel.
        norm: normalisation of the output of a convolution.
        activation: name of the activation.
        max_pool: apply a 3x3 max pool of stride 2 after the activation.
        global_pool: pooling of the last layer's pixels, channel by channel.
        flatten: flatten the output to a vector, in the order C, H, W; the MLP needs one.
    """

    output_channels: tuple[Count, ...]
    kernel_size: Count | tuple[Count, ...]
    stride: Count | tuple[Count, ...] = 1
    dilation: Count | tuple[Count, ...] = 1
    padding: Literal["none", "zeros", "reflect", "replicate", "circular"] = "none"
    norm: Literal["none", "batch", "layer"] | tuple[Literal["none", "batch", "layer"], ...] = "none"
    activation: Activation = "elu"
    max_pool: bool | tuple[bool, ...] = False
    global_pool: Literal["none", "max", "avg"] = "none"
    flatten: bool = True

    def __post_init__(self) -> None:
        """Reject invalid numbers, and lists of another length than there are layers."""
        super().__post_init__()
        if not self.output_channels:
            raise ValueError("output_channels is empty; it needs an entry for each layer, for example [16, 32].")
        for key in ("kernel_size", "stride", "dilation", "norm", "max_pool"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != len(self.output_channels):
                raise ValueError(
                    f"{key} has {len(value)} entries, output_channels has {len(self.output_channels)}; give one for "
                    "each layer, or a single value for all."
                )

    def at(self, layer: int, key: str) -> Any:
        """Return a key's value for a layer."""
        value = getattr(self, key)
        return value[layer] if isinstance(value, tuple) else value


EncoderConfigs = CNNConfig | Mapping[str, CNNConfig] | None
"""One encoder for all image groups, or one per group."""
