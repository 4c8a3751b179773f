"""Convolution, padding and pooling of batches of images ``[B, H, W, C]``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.types import Array

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""What numpy calls the paddings that take their pixels from the image."""


def convolution(x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1) -> Array:
    """Convolve images without padding.

    Args:
        x: images ``[B, H, W, C]``.
        kernel: ``[h, w, C, D]``.
        stride: step of the kernel.
        dilation: distance between the pixels that the kernel looks at.

    Returns:
        ``[B, H', W', D]``.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding="VALID",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def pad_images(x: Array, amounts: tuple[int, ...], mode: str) -> Array:
    """Put pixels around images.

    Args:
        x: images ``[B, H, W, C]``.
        amounts: how many pixels above and below, and how many left and right.
        mode: none, zeros, reflect (at the border, which is not repeated), replicate (the border) or circular.

    Returns:
        ``[B, H', W', C]``.
    """
    for axis, amount in enumerate(amounts, start=1):
        if mode == "none" or not amount:
            continue
        if mode == "zeros":
            x = jnp.pad(x, [(amount, amount) if i == axis else (0, 0) for i in range(x.ndim)])
        else:
            # Not jnp.pad, because an export to ONNX gets its edges wrong.
            x = jnp.take(x, np.pad(np.arange(x.shape[axis]), amount, mode=MODES[mode]), axis)  # type: ignore[call-overload]
    return x


def max_pool(x: Array) -> Array:
    """The largest of 3 x 3 pixels around every second one: ``[B, H, W, C]`` to ``[B, ceil(H / 2), ceil(W / 2), C]``."""
    # Padded by hand, because an export to ONNX ignores the padding of a pooling.
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
