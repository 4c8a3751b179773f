"""Optimisers by RSL-RL's names, with PyTorch's defaults.

They leave the learning rate out: it changes from mini-batch to mini-batch, so the algorithm multiplies it in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from rsl_jax.registry import lookup
from rsl_jax.types import Array


def scale_by_adam(*, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam without its learning rate; optax's, but for the bias corrections ``1 - b**t``.

    In float32 these lose digits where optax subtracts (``1 - 0.999`` comes out too small by 1.3e-5 of itself); PyTorch
    takes them in double precision. ``-expm1(t log b)`` is exact to the last digit.

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


OPTIMIZERS: Mapping[str, Callable[[], optax.GradientTransformation]] = {
    "adam": scale_by_adam,
    "adamw": lambda: optax.chain(scale_by_adam(), optax.add_decayed_weights(1e-2)),
    "sgd": optax.identity,
    "rmsprop": lambda: optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False),
}


def resolve_optimizer(name: str) -> optax.GradientTransformation:
    """The optimiser of a name, in either case.

    Raises:
        ValueError: if there is none of that name.
    """
    return lookup(name.lower(), OPTIMIZERS, "optimizer")()


def apply_gradients(
    optimizer: optax.GradientTransformation, gradients: Any, opt_state: Any, params: Any, learning_rate: Array
) -> tuple[Any, Any]:
    """One step down the gradients; gives the new parameters and the new state of the optimiser.

    Raises:
        AssertionError: if the gradients are not those of the parameters, or the learning rate is no scalar.
    """
    chex.assert_trees_all_equal_shapes(gradients, params, custom_message="gradients and parameters")
    chex.assert_rank(learning_rate, 0, custom_message="learning_rate is a scalar")
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), opt_state
