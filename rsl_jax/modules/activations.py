"""Activation functions by RSL-RL's names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from rsl_jax.registry import lookup
from rsl_jax.types import Array


@jax.custom_jvp
def elu(x: Array) -> Array:
    """Return ``x`` where positive, ``exp(x) - 1`` elsewhere; equals ``jax.nn.elu``, but is cheaper to train with.

    On a CPU ``expm1`` takes twice as long as ``exp``, and differentiating it stores two more arrays. Under a derivative
    the exponential is therefore computed directly (an absolute error of one rounding of 1), and the derivative from
    the output, which the next layer keeps anyway. Forward mode, reverse mode and any order of both are allowed.
    """
    return jax.nn.elu(x)


@elu.defjvp
def _elu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    y = jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0)) - 1)
    return y, _along_elu(y, tangent)


# Checkpointed, so that reverse mode keeps the output alone and not the derivative beside it, which would be one more
# array a layer wherever a loop stands between the two passes. XLA need not be kept from merging the two.
@functools.partial(jax.checkpoint, prevent_cse=False)
def _along_elu(y: Array, tangent: Array) -> Array:
    return tangent * jnp.where(y > 0, 1, y + 1)


# The functions are looked up on jax.nn when they are called, not when this table is made: an ONNX export replaces them
# there by single native operators while it traces.
ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": lambda x: elu(x),
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
    """Return the activation of a name, case-insensitive.

    Raises:
        ValueError: if the name is unknown.
    """
    return lookup(name.lower(), ACTIVATIONS, "activation")
