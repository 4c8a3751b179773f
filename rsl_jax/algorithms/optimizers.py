"""Optimisers by RSL-RL's names, with PyTorch's defaults.

They leave the learning rate out: it changes from mini-batch to mini-batch, so the algorithm multiplies it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from rsl_jax.registry import lookup
from rsl_jax.types import Array

OPTIMIZERS: Mapping[str, Callable[[], optax.GradientTransformation]] = {
    "adam": lambda: optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
    "adamw": lambda: optax.chain(optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8), optax.add_decayed_weights(1e-2)),
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
    """One step down the gradients; gives the new parameters and the new state of the optimiser."""
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), opt_state
