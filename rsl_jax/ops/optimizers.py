"""Optimisers by RSL-RL's names, with PyTorch's defaults.

They do not include the learning rate: it changes from one mini-batch to the next, so the algorithm applies it.
"""

from __future__ import annotations

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from rsl_jax.config import CustomConfig, build_part
from rsl_jax.ops.gradients import largest_to_square
from rsl_jax.registry import PARTS
from rsl_jax.types import Array


def scale_by_adam(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Scale gradients by Adam, without the learning rate; like optax's except for the bias corrections ``1 - b**t``.

    In float32 optax's subtraction loses digits (``1 - 0.999`` has a relative error of -1.3e-5); PyTorch computes the
    corrections in double precision. ``-expm1(t log b)`` is exact to the last digit.

    Args:
        b1: decay of the running mean of gradients.
        b2: decay of the running mean of their squares.
        eps: added to the root of the latter.

    Source: Kingma & Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), *zeros)

    def update(gradients: Any, state: optax.OptState, params: Any = None) -> tuple[Any, optax.OptState]:
        del params
        assert isinstance(state, optax.ScaleByAdamState), f"not a state of this optimiser: {type(state)}"
        count = state.count + 1
        mu = jax.tree.map(lambda g, m: b1 * m + (1 - b1) * g, gradients, state.mu)
        nu = jax.tree.map(lambda g, n: b2 * n + (1 - b2) * jnp.square(g), gradients, state.nu)

        def step(m: Array, n: Array) -> Array:
            time = count.astype(m.dtype)
            first, second = (-jnp.expm1(time * math.log(b)) for b in (b1, b2))
            return (m / first) / (jnp.sqrt(n / second) + eps)

        return jax.tree.map(step, mu, nu), optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)


adam = scale_by_adam


def adamw(
    *, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, weight_decay: float = 1e-2
) -> optax.GradientTransformation:
    """Scale gradients by Adam with decoupled weight decay.

    Args:
        b1: decay of the running mean of gradients.
        b2: decay of the running mean of their squares.
        eps: added to the root of the latter.
        weight_decay: fraction of the parameters that is subtracted, times the learning rate.
    """
    return optax.chain(scale_by_adam(b1=b1, b2=b2, eps=eps), optax.add_decayed_weights(weight_decay))


def sgd() -> optax.GradientTransformation:
    """Leave gradients as they are: plain gradient descent."""
    return optax.identity()


def rmsprop(*, decay: float = 0.99, eps: float = 1e-8) -> optax.GradientTransformation:
    """Divide gradients by the root of the running mean of their squares.

    Args:
        decay: decay of that mean.
        eps: added to the root.
    """
    return optax.scale_by_rms(decay=decay, eps=eps, eps_in_sqrt=False)


def resolve_optimizer(optimizer: Any) -> optax.GradientTransformation:
    """Build the optimiser that a config names.

    Args:
        optimizer: a name in upper or lower case, an import path, a callable, or a section with one of these and
            arguments. Its updates must not include the learning rate.

    Raises:
        ValueError: if there is no optimiser of that name.
        TypeError: if the result is not an ``optax.GradientTransformation``.
    """
    if isinstance(optimizer, str) and optimizer.lower() in PARTS["optimizer"]:
        optimizer = optimizer.lower()
    section = optimizer if hasattr(optimizer, "class_name") else CustomConfig(optimizer)
    built = build_part(section, "optimizer")
    if not isinstance(built, optax.GradientTransformation):
        raise TypeError(
            f"The optimizer {section.class_name!r} returned a {type(built).__name__}; it must return an "
            "optax.GradientTransformation whose updates do not include the learning rate, such as "
            "optax.scale_by_adam()."
        )
    return built


def apply_gradients(
    optimizer: optax.GradientTransformation, gradients: Any, opt_state: Any, params: Any, learning_rate: Array
) -> tuple[Any, Any]:
    """Take one optimiser step; returns the new parameters and the new state of the optimiser.

    Gradients are bounded where the sum of many of their squares would overflow (2.6e15 in float32): an optimiser that
    accumulates squares would never move those parameters again.

    Raises:
        AssertionError: if gradients and parameters have different shapes, or the learning rate is not a scalar.
    """
    chex.assert_trees_all_equal_shapes(gradients, params, custom_message="gradients and parameters")
    chex.assert_rank(learning_rate, 0, custom_message="learning_rate is a scalar")
    gradients = jax.tree.map(lambda g: jnp.clip(g, -largest_to_square(g.dtype), largest_to_square(g.dtype)), gradients)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), opt_state
