"""Formulas on arrays, independent of models and algorithms."""

from rsl_jax.ops.gradients import adapt_learning_rate, clip_by_global_norm, largest_entry, largest_to_square
from rsl_jax.ops.images import convolution, global_max_pool, global_mean_pool, max_pool, pad_images
from rsl_jax.ops.losses import clipped_value_loss, surrogate_loss, value_loss
from rsl_jax.ops.parallel import (
    gather_over_devices,
    key_of_device,
    mean_over_devices,
    standardize,
    sum_over_devices,
)
from rsl_jax.ops.resets import reset_carry
from rsl_jax.ops.returns import generalized_advantage_estimation
from rsl_jax.ops.shapes import to_rank

__all__ = [
    "adapt_learning_rate",
    "clip_by_global_norm",
    "clipped_value_loss",
    "convolution",
    "gather_over_devices",
    "generalized_advantage_estimation",
    "global_max_pool",
    "global_mean_pool",
    "key_of_device",
    "largest_entry",
    "largest_to_square",
    "max_pool",
    "mean_over_devices",
    "pad_images",
    "reset_carry",
    "standardize",
    "sum_over_devices",
    "surrogate_loss",
    "to_rank",
    "value_loss",
]
