"""Multi-layer perceptron with PyTorch's default initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsl_jax.modules.activations import resolve_activation
from rsl_jax.types import Array, Key, default_dtype

Initializer = Callable[[Key, Sequence[int], Any], Array]


def uniform_within(bound: float) -> Initializer:
    """Return an initialiser that draws uniformly in ``±bound``."""

    def init(key: Key, shape: Sequence[int], dtype: Any) -> Array:
        return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)

    return init


def then(init: Initializer, change: Callable[[Array], Array] | None) -> Initializer:
    """Return an initialiser whose result is changed by a function."""
    return init if change is None else lambda key, shape, dtype: change(init(key, shape, dtype))


class MLP(nn.Module):
    """Linear layers with an activation between them, initialised uniformly in ``±1/sqrt(fan_in)`` as in PyTorch.

    Attributes:
        output_dim: size of the output, or its shape.
        hidden_dims: sizes of the hidden layers; -1 means the size of the input.
        activation: name of the activation after each hidden layer.
        last_activation: name of the activation of the output, or None for none.
        head_kernel: changes the initial kernel ``[fan_in, output]`` of the last layer.
        head_bias: changes the initial bias ``[output]`` of the last layer.
        dtype: type to compute in, or None for that of the parameters.
    """

    output_dim: int | tuple[int, ...]
    hidden_dims: tuple[int, ...] = (256, 256, 256)
    activation: str = "elu"
    last_activation: str | None = None
    head_kernel: Callable[[Array], Array] | None = None
    head_bias: Callable[[Array], Array] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map ``[..., input]`` to ``[..., *output_dim]``."""
        leading, input_dim = x.shape[:-1], x.shape[-1]
        if x.ndim != 2:
            # Matrices, not stacks of them: XLA's CPU backend takes 1.4 times as long for the gradients of the latter.
            x = jnp.reshape(x, (-1, input_dim))
        activation = resolve_activation(self.activation)
        for index, dim in enumerate(self.hidden_dims):
            x = activation(self._linear(x, input_dim if dim == -1 else dim, index))
        output_dims = (self.output_dim,) if isinstance(self.output_dim, int) else tuple(self.output_dim)
        x = self._linear(x, math.prod(output_dims), len(self.hidden_dims), self.head_kernel, self.head_bias)
        if x.shape != (*leading, *output_dims):
            x = jnp.reshape(x, (*leading, *output_dims))
        return x if self.last_activation is None else resolve_activation(self.last_activation)(x)

    def _linear(
        self,
        x: Array,
        features: int,
        index: int,
        kernel: Callable[[Array], Array] | None = None,
        bias: Callable[[Array], Array] | None = None,
    ) -> Array:
        init = uniform_within(1 / math.sqrt(x.shape[-1]))
        return nn.Dense(
            features,
            dtype=self.dtype,
            param_dtype=default_dtype(),
            kernel_init=then(init, kernel),
            bias_init=then(init, bias),
            name=f"layer_{index}",
        )(x)
