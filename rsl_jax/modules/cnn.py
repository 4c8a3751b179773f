"""Convolutional encoders with PyTorch's default initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsl_jax import ops
from rsl_jax.config import CNNConfig
from rsl_jax.modules.activations import resolve_activation
from rsl_jax.modules.mlp import uniform_within
from rsl_jax.types import Array, Observations, default_dtype

TRAINING = ("batch_statistics",)
"""Collections that only training changes: ``model.apply(..., mutable=TRAINING)`` is PyTorch's training mode, in which a
batch is normalised by its own moments and updates the running ones; without it the running ones are used unchanged."""


GLOBAL_POOLS: Mapping[str, Callable[[Array], Array]] = {"max": ops.global_max_pool, "avg": ops.global_mean_pool}
"""By RSL-RL's names."""


class Layer(NamedTuple):
    """Layer of an encoder for images of a certain size.

    Attributes:
        channels: channels of the output.
        kernel_size: height and width of the kernel.
        stride: step of the kernel.
        dilation: distance between the pixels that the kernel reads.
        padding: pixels on each side, vertically and horizontally.
        norm: none, batch or layer.
        max_pool: whether a max pool follows.
        size: height and width of the convolution's output.
    """

    channels: int
    kernel_size: int
    stride: int
    dilation: int
    padding: tuple[int, ...]
    norm: str
    max_pool: bool
    size: tuple[int, ...]

    @property
    def pooled_size(self) -> tuple[int, ...]:
        """Height and width of the layer's output."""
        return tuple(math.ceil(n / 2) for n in self.size) if self.max_pool else self.size


def plan_layers(cfg: CNNConfig, size: tuple[int, ...]) -> tuple[Layer, ...]:
    """Compute the layers of an encoder for images of height and width ``size``.

    Raises:
        ValueError: if nothing is left of the image, or a padding is impossible.
    """
    layers = []
    for index, channels in enumerate(cfg.output_channels):
        kernel_size, stride, dilation = (cfg.at(index, key) for key in ("kernel_size", "stride", "dilation"))
        reach = dilation * (kernel_size - 1) + 1
        padding = (0, 0) if cfg.padding == "none" else tuple(_padding(n, stride, reach) for n in size)
        layer = Layer(
            channels=channels,
            kernel_size=kernel_size,
            stride=stride,
            dilation=dilation,
            padding=padding,
            norm=cfg.at(index, "norm"),
            max_pool=cfg.at(index, "max_pool"),
            size=tuple((n + 2 * p - reach) // stride + 1 for n, p in zip(size, padding, strict=True)),
        )
        _check_layer(cfg, layer, index, size)
        layers.append(layer)
        size = layer.pooled_size
    return tuple(layers)


def _padding(size: int, stride: int, reach: int) -> int:
    return math.ceil((stride * (size // stride) - size - stride + reach) / 2)


def _check_layer(cfg: CNNConfig, layer: Layer, index: int, size: tuple[int, ...]) -> None:
    given = f"layer {index} (kernel_size {layer.kernel_size}, stride {layer.stride}, dilation {layer.dilation})"
    if min(layer.padding) < 0:
        raise ValueError(
            f"{given} would need a negative padding on its {size[0]} x {size[1]} input; choose a kernel_size of at "
            "least the stride, or padding 'none'."
        )
    if min(layer.size) < 1:
        raise ValueError(
            f"{given} leaves nothing of its {size[0]} x {size[1]} input. Use smaller kernels or strides, fewer layers, "
            "a padding, or larger images."
        )
    # A reflection does not repeat the border itself, so it can reach one pixel less far than the image.
    limit = min(size) - (cfg.padding == "reflect")
    if cfg.padding in ("reflect", "circular") and max(layer.padding) > limit:
        raise ValueError(
            f"{given} would pad its {size[0]} x {size[1]} input by {max(layer.padding)} pixels, but padding "
            f"'{cfg.padding}' needs that many to copy from and has only {limit}. Use a smaller kernel or padding "
            "'zeros'."
        )


class CNN(nn.Module):
    """Convolutions, each with its normalisation, activation and pooling.

    Its submodules are numbered as in RSL-RL, where all of them count: convolutions, normalisations, activations,
    and poolings.

    Attributes:
        cfg: the encoder's section of the config.
        dtype: type to compute in, or None for that of the parameters.
    """

    cfg: CNNConfig
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Encode ``[..., C, H, W]`` to ``[..., D]``, or to ``[..., C', H', W']`` without flattening."""
        leading, shape = images.shape[:-3], images.shape[-3:]
        # Channels last internally, the fastest layout for matrix products and XLA's convolutions.
        x = as_floats(jnp.transpose(jnp.reshape(images, (-1, *shape)), (0, 2, 3, 1)))
        activation, place = resolve_activation(self.cfg.activation), 0
        for layer in plan_layers(self.cfg, shape[1:]):
            x = ops.pad_images(x, layer.padding, self.cfg.padding)
            x = Convolution(layer, dtype=self.dtype, name=f"layer_{place}")(x)
            place += 1
            if layer.norm != "none":
                x = NORMS[layer.norm](name=f"layer_{place}")(x)
                place += 1
            x = activation(x)
            place += 1
            if layer.max_pool:
                x = ops.max_pool(x)
                place += 1
        if self.cfg.global_pool != "none":
            x = GLOBAL_POOLS[self.cfg.global_pool](x)
        x = jnp.transpose(x, (0, 3, 1, 2))
        return jnp.reshape(x, (*leading, -1) if self.cfg.flatten else (*leading, *x.shape[1:]))


def as_floats(images: Array) -> Array:
    """Convert images to floats: bytes to 0 to 1, other numbers unchanged.

    Bytes stay bytes until here, so that a rollout of them takes a quarter of the memory.
    """
    floats = images.astype(default_dtype())
    return floats / 255 if images.dtype == jnp.uint8 else floats


class Convolution(nn.Module):
    """Convolution, initialised uniformly in ``±1/sqrt(fan_in)`` as in PyTorch.

    Attributes:
        layer: sizes of the layer.
        dtype: type to compute in, or None for that of the parameters.
    """

    layer: Layer
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolve ``[B, H, W, C]``, padded, to ``[B, H', W', channels]``."""
        size, channels = self.layer.kernel_size, self.layer.channels
        init = uniform_within(1 / math.sqrt(size * size * x.shape[-1]))
        kernel = self.param("kernel", init, (size, size, x.shape[-1], channels), default_dtype())
        bias = self.param("bias", init, (channels,), default_dtype())
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = ops.convolution(x, kernel, stride=self.layer.stride, dilation=self.layer.dilation)
        return y + ops.to_rank(bias, y.ndim)


class BatchNorm(nn.Module):
    """Normalisation of each channel by its moments: the batch's in training, else the running ones (:data:`TRAINING`).

    Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training" (2015), with PyTorch's choices.

    Attributes:
        momentum: weight of a batch in the running moments.
        eps: added to the variance.
    """

    momentum: float = 0.1
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise ``[B, H, W, C]``, keeping shape and type; computed in full precision."""
        dtype, shape = default_dtype(), (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        mean = self.variable(*TRAINING, "mean", jnp.zeros, shape, dtype)
        var = self.variable(*TRAINING, "var", jnp.ones, shape, dtype)
        full = x.astype(dtype)
        if not self.is_mutable_collection(*TRAINING):
            return affine(full, mean.value, var.value, scale, bias, self.eps).astype(x.dtype)
        batch_mean, batch_var = jnp.mean(full, (0, 1, 2)), jnp.var(full, (0, 1, 2))
        if not self.is_initializing():
            samples = full.size // full.shape[-1]
            unbiased = batch_var * (samples / max(samples - 1, 1))
            mean.value = mean.value + self.momentum * (batch_mean - mean.value)
            var.value = var.value + self.momentum * (unbiased - var.value)
        return affine(full, batch_mean, batch_var, scale, bias, self.eps).astype(x.dtype)


class LayerNorm(nn.Module):
    """Normalisation of each image by the moments of all its channels and pixels; scale and bias by channel and pixel.

    Source: Ba et al., "Layer normalization" (2016), with PyTorch's choices.

    Attributes:
        eps: added to the variance.
    """

    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Normalise ``[B, H, W, C]``, keeping shape and type; computed in full precision."""
        dtype, shape = default_dtype(), x.shape[1:]
        scale = self.param("scale", nn.initializers.ones, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        full = x.astype(dtype)
        mean, var = (moment(full, (1, 2, 3), keepdims=True) for moment in (jnp.mean, jnp.var))
        return affine(full, mean, var, scale, bias, self.eps).astype(x.dtype)


NORMS: Mapping[str, type[nn.Module]] = {"batch": BatchNorm, "layer": LayerNorm}
"""By RSL-RL's names."""


def affine(x: Array, mean: Array, var: Array, scale: Array, bias: Array, eps: float) -> Array:
    """Compute ``(x - mean) / sqrt(var + eps) * scale + bias``, the last axes aligned."""
    mean, var, scale, bias = (ops.to_rank(y, x.ndim) for y in (mean, var, scale, bias))
    return (x - mean) * scale * jax.lax.rsqrt(var + eps) + bias


class Encoders(nn.Module):
    """Encoders, one for each image group.

    Attributes:
        cfgs: encoders by group, in the order of their outputs.
        dtype: type to compute in, or None for that of the parameters.
    """

    cfgs: Mapping[str, CNNConfig]
    dtype: Any = None

    @nn.compact
    def __call__(self, observations: Observations) -> list[Array]:
        """Encode images ``[..., C, H, W]`` to a vector ``[..., D]`` per group."""
        return [CNN(cfg, self.dtype, name=group)(observations[group]) for group, cfg in self.cfgs.items()]
