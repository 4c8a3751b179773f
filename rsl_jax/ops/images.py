"""Convolution, padding and pooling of batches of images ``[B, H, W, C]``."""

from __future__ import annotations

import functools
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from rsl_jax.types import Array

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""numpy's names of the padding modes that repeat pixels of the image."""


def _plain(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="VALID",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


_convolution = jax.custom_jvp(_plain, nondiff_argnums=(2, 3))


def convolution(x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """Convolve images without padding.

    On a CPU it has custom gradients: XLA's gradient of the kernel was measured to take forty times as long inside a
    loop, and every update is one. Other platforms use XLA's. Forward-mode differentiation works on all platforms.

    Args:
        x: images ``[B, H, W, C]``.
        kernel: ``[h, h, C, D]``.
        stride: step of the kernel.
        dilation: distance between the pixels that the kernel reads.

    Returns:
        ``[B, H', W', D]``.

    Raises:
        AssertionError: if images or kernel have another rank, the kernel is not square or has other channels, or it is
            larger than the images.
    """
    chex.assert_rank([x, kernel], 4, custom_message="images are [B, H, W, C], a kernel is [h, h, C, D]")
    square = (kernel.shape[0], kernel.shape[0], x.shape[-1], None)
    chex.assert_shape(kernel, square, custom_message="a kernel is [h, h, C, D], with the channels C of the images")
    smallest = dilation * (kernel.shape[0] - 1) + 1
    chex.assert_axis_dimension_gteq(x, 1, smallest, custom_message="the kernel is larger than the images' height")
    chex.assert_axis_dimension_gteq(x, 2, smallest, custom_message="the kernel is larger than the images' width")
    return _convolution(x, kernel, stride, dilation)


def _along(stride: int, dilation: int, primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    """Return the convolution and its derivative along tangents of images and kernel.

    The derivative is linear in each tangent, and reverse mode transposes it. On a CPU it is therefore written as the
    transpose of the gradients below, so that its transpose is these gradients. It is checkpointed so that reverse mode
    stores images and kernel, and not the patches that :func:`kernel_gradient` cuts out of the images.
    """
    x, kernel = primals
    y = _plain(x, kernel, stride, dilation)
    like = jax.ShapeDtypeStruct(y.shape, y.dtype)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def along_kernel(x: Array, tangent: Array) -> Array:
        def on_cpu(x: Array, tangent: Array) -> Array:
            size = tangent.shape[0]
            gradient = functools.partial(kernel_gradient, x, size=size, stride=stride, dilation=dilation)
            return jax.linear_transpose(gradient, like)(tangent)[0]

        def by_xla(x: Array, tangent: Array) -> Array:
            return _plain(x, tangent, stride, dilation)

        return jax.lax.platform_dependent(x, tangent, cpu=on_cpu, default=by_xla)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def along_images(kernel: Array, tangent: Array) -> Array:
        def on_cpu(kernel: Array, tangent: Array) -> Array:
            gradient = functools.partial(image_gradient, kernel, shape=tangent.shape, stride=stride)
            return jax.linear_transpose(gradient, like)(tangent)[0]

        def by_xla(kernel: Array, tangent: Array) -> Array:
            return _plain(tangent, kernel, stride, dilation)

        return jax.lax.platform_dependent(kernel, tangent, cpu=on_cpu if dilation == 1 else by_xla, default=by_xla)

    # Images that are data, such as the input of the first layer, have no tangent, and cost nothing.
    along_x, along_k = tangents
    parts = [] if isinstance(along_x, SymbolicZero) else [along_images(kernel, along_x)]
    parts += [] if isinstance(along_k, SymbolicZero) else [along_kernel(x, along_k)]
    return y, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(y)


_convolution.defjvp(_along, symbolic_zeros=True)


def kernel_gradient(x: Array, gradient: Array, *, size: int, stride: int, dilation: int) -> Array:
    """Compute the gradient of a convolution's kernel, as products of two matrices.

    Args:
        x: images that were convolved, ``[B, H, W, C]``.
        gradient: of the convolution's output, ``[B, H', W', D]``.
        size: height and width of the kernel.
        stride: step of the kernel.
        dilation: distance between the pixels that it reads.

    Returns:
        ``[size, size, C, D]``.
    """
    _, height, width, channels = gradient.shape
    last_row, last_column = stride * (height - 1) + 1, stride * (width - 1) + 1
    starts = [(dilation * row, dilation * column) for row in range(size) for column in range(size)]
    seen = [x[:, r : r + last_row : stride, c : c + last_column : stride] for r, c in starts]
    flat = jnp.reshape(gradient, (-1, channels))
    if x.shape[-1] <= 4:  # matrices of so few rows would be slow one by one
        # One matrix of all of them, by hand: for an einsum, XLA would copy the gradient to transpose it (see _along).
        rows = jnp.reshape(jnp.moveaxis(jnp.stack(seen), -1, 1), (-1, flat.shape[0]))
        products = rows @ flat
    else:
        products = jnp.stack([jnp.reshape(pixels, (-1, x.shape[-1])).T @ flat for pixels in seen])
    return jnp.reshape(products, (size, size, x.shape[-1], channels))


def image_gradient(kernel: Array, gradient: Array, *, shape: tuple[int, ...], stride: int) -> Array:
    """Compute the gradient of convolved images, as a convolution without strides.

    With a stride of ``s``, each of ``s * s`` kinds of pixels is multiplied by other entries of the kernel. All kinds
    are computed as channels of one convolution with a kernel ``1/s`` as large, and then interleaved.

    Args:
        kernel: ``[h, w, C, D]``.
        gradient: of the convolution's output, ``[B, H', W', D]``.
        shape: of the images, ``(B, H, W, C)``.
        stride: step of the kernel.

    Returns:
        ``[B, H, W, C]``.

    Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?" (2016).
    """
    size, _, channels, features = kernel.shape
    reach = -(-size // stride)  # of the small kernel
    missing = reach * stride - size
    kernel = jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    kinds = jnp.reshape(kernel, (reach, stride, reach, stride, channels, features))
    kinds = jnp.flip(jnp.transpose(kinds, (0, 2, 5, 1, 3, 4)), (0, 1))
    small = jnp.reshape(kinds, (reach, reach, features, stride * stride * channels))
    margin = (reach - 1, reach - 1)
    pixels = _plain(jnp.pad(gradient, ((0, 0), margin, margin, (0, 0))), small, 1, 1)
    batch, height, width, _ = pixels.shape
    pixels = jnp.transpose(jnp.reshape(pixels, (batch, height, width, stride, stride, channels)), (0, 1, 3, 2, 4, 5))
    pixels = jnp.reshape(pixels, (batch, height * stride, width * stride, channels))[:, : shape[1], : shape[2]]
    # Pixels that no kernel reached.
    return jnp.pad(pixels, ((0, 0), (0, shape[1] - pixels.shape[1]), (0, shape[2] - pixels.shape[2]), (0, 0)))


def pad_images(x: Array, amounts: tuple[int, ...], mode: str) -> Array:
    """Pad images.

    Args:
        x: images ``[B, H, W, C]``.
        amounts: number of pixels above and below, and number left and right.
        mode: none, zeros, reflect (without repeating the border), replicate (repeats the border) or circular.

    Returns:
        ``[B, H', W', C]``.

    Raises:
        AssertionError: if the images have another rank, or there are not two amounts.
    """
    chex.assert_rank(x, 4, custom_message="images are [B, H, W, C]")
    chex.assert_equal(len(amounts), 2, custom_message="amounts are one for the height and one for the width")
    for axis, amount in enumerate(amounts, start=1):
        if mode == "none" or not amount:
            continue
        if mode == "zeros":
            x = jnp.pad(x, [(amount, amount) if i == axis else (0, 0) for i in range(x.ndim)])
        else:
            # Not jnp.pad, because an export to ONNX gets its edges wrong.
            x = jnp.take(x, np.pad(np.arange(x.shape[axis]), amount, mode=MODES[mode]), axis=axis)  # type: ignore[call-overload]
    return x


def global_mean_pool(x: Array) -> Array:
    """Average all pixels of each channel: ``[B, H, W, C]`` to ``[B, 1, 1, C]``."""
    return jnp.mean(x, axis=(1, 2), keepdims=True)


@jax.custom_jvp
def global_max_pool(x: Array) -> Array:
    """Take the largest pixel of each channel: ``[B, H, W, C]`` to ``[B, 1, 1, C]``.

    If several are equal, the first one, row by row, receives the gradient, as in PyTorch; ``jnp.max`` would distribute
    it over all of them.
    """
    return jnp.max(x, axis=(1, 2), keepdims=True)


@global_max_pool.defjvp
def _along_largest(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    batch, height, width, channels = x.shape
    first = jnp.argmax(jnp.reshape(x, (batch, height * width, channels)), axis=1)
    places = jnp.reshape(jnp.arange(height * width, dtype=first.dtype), (1, height, width, 1))
    chosen = places == jnp.reshape(first, (batch, 1, 1, channels))
    # Selected, not gathered: the transpose of a gather is a scatter, which is slow on a CPU.
    along = jnp.sum(jnp.where(chosen, tangent, jnp.zeros((), tangent.dtype)), axis=(1, 2), keepdims=True)
    return global_max_pool(x), along


def max_pool(x: Array) -> Array:
    """Apply a 3 x 3 max pool of stride 2: ``[B, H, W, C]`` to ``[B, ceil(H / 2), ceil(W / 2), C]``."""
    chex.assert_rank(x, 4, custom_message="images are [B, H, W, C]")
    # Padded by hand, because an export to ONNX ignores the padding of a pooling.
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="VALID")
