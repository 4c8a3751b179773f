"""Activation functions by RSL-RL's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from rsl_jax.registry import lookup
from rsl_jax.types import Array

# The functions are looked up on jax.nn when they are called, not when this table is made: an ONNX export replaces them
# there by single native operators while it traces.
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": lambda x: jax.nn.elu(x),
    "selu": lambda x: jax.nn.selu(x),
    "relu": lambda x: jax.nn.relu(x),
    "crelu": lambda x: jax.nn.celu(x),
    "lrelu": lambda x: jax.nn.leaky_relu(x),
    "tanh": lambda x: jnp.tanh(x),
    "sigmoid": lambda x: jax.nn.sigmoid(x),
    "softplus": lambda x: jax.nn.softplus(x),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "swish": lambda x: jax.nn.silu(x),
    "mish": lambda x: jax.nn.mish(x),
    "identity": lambda x: x,
}


def resolve_activation(name: str) -> Callable[[Array], Array]:
    """The activation of a name, in either case.

    Raises:
        ValueError: if there is none of that name.
    """
    return lookup(name.lower(), ACTIVATIONS, "activation")
