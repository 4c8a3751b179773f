"""Running moments of observations, as ``init/update/apply`` on a small frozen state."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import struct

from rsl_jax.ops import largest_to_square, sum_over_devices, to_rank
from rsl_jax.types import Array


@struct.dataclass
class NormalizerState:
    """Moments of all samples seen so far.

    Attributes:
        mean: ``[D]``.
        var: biased variance, ``[D]``.
        count: number of samples, ``[]``; at most what 32 bits hold.
    """

    mean: Array
    var: Array
    count: Array


def init_normalizer(shape: tuple[int, ...], dtype: Any = None) -> NormalizerState:
    """Return the state of a new normaliser: mean 0, variance 1."""
    zeros = jnp.zeros(shape, dtype)
    return NormalizerState(mean=zeros, var=jnp.ones_like(zeros), count=jnp.zeros((), jnp.int32))


def normalize(state: NormalizerState, x: Array, *, eps: float = 1e-2) -> Array:
    """Compute ``(x - mean) / (std + eps)`` for ``x`` ``[..., D]``, in the type of ``x``."""
    mean, scale = (to_rank(v, x.ndim).astype(x.dtype) for v in (state.mean, jnp.sqrt(state.var) + eps))
    return (x - mean) / scale


def denormalize(state: NormalizerState, y: Array, *, eps: float = 1e-2) -> Array:
    """Invert :func:`normalize`."""
    return y * to_rank(jnp.sqrt(state.var) + eps, y.ndim) + to_rank(state.mean, y.ndim)


def update_normalizer(
    state: NormalizerState, x: Array, *, until: int | None = None, axis_name: str | None = None
) -> NormalizerState:
    """Merge the moments of a batch into the running ones, each weighted by its number of samples.

    Samples are clamped where many of their squares would overflow (2.6e15 in float32), so that moments of finite
    samples are finite.

    Args:
        state: the moments so far.
        x: a batch, ``[..., D]``; all axes before the state's own count as samples.
        until: stop updating after this many samples.
        axis_name: mesh axis over which the batch is spread; the global mean is computed first, then the variances
            around it, so that every device ends with the moments of the whole batch.

    Returns:
        the merged moments.

    Source: Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    """
    most = largest_to_square(x.dtype)
    x = jnp.clip(x, -most, most)
    axes = tuple(range(x.ndim - state.mean.ndim))
    batch_count = sum_over_devices(jnp.asarray(_size(x, axes), state.count.dtype), axis_name)
    samples = batch_count.astype(x.dtype)
    mean = sum_over_devices(jnp.sum(x, axes), axis_name) / samples
    centred = x - to_rank(mean, x.ndim)
    var = sum_over_devices(jnp.sum(jnp.square(centred), axes), axis_name) / samples

    # Counting ends at 32 bits, after which the moments follow the batches slowly.
    is_countable = state.count <= jnp.iinfo(state.count.dtype).max - batch_count
    count = state.count + jnp.where(is_countable, batch_count, 0)
    rate = samples / count.astype(x.dtype)
    delta = mean - state.mean
    new_mean = state.mean + rate * delta
    merged = NormalizerState(
        mean=new_mean, var=state.var + rate * (var - state.var + delta * (mean - new_mean)), count=count
    )
    if until is None:
        return merged
    full = state.count >= until
    return NormalizerState(
        mean=jnp.where(full, state.mean, merged.mean),
        var=jnp.where(full, state.var, merged.var),
        count=jnp.where(full, state.count, merged.count),
    )


def _size(x: Array, axes: tuple[int, ...]) -> int:
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    return size
