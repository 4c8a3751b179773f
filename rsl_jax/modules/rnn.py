"""Recurrent layers with PyTorch's formulas and default initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsl_jax.modules.mlp import uniform_within
from rsl_jax.ops import reset_carry, to_rank
from rsl_jax.registry import lookup
from rsl_jax.types import Array, Carry, default_dtype

States = tuple[Array, ...]
"""Hidden states of one layer, each ``[..., H]``; the first one is its output."""


class Cell(NamedTuple):
    """Kind of recurrent layer.

    Attributes:
        num_states: number of its hidden states.
        num_gates: number of projections ``[..., H]`` of input and of hidden state, concatenated.
        step: ``(projected input [..., G*H], projected hidden state [..., G*H], states) -> states``.
    """

    num_states: int
    num_gates: int
    step: Callable[[Array, Array, States], States]


def gru_step(from_input: Array, from_hidden: Array, states: States) -> States:
    r"""Compute a step of a gated recurrent unit; the reset gate multiplies the hidden projection with its bias.

    .. math::
        r = \sigma(i_r + h_r), \quad z = \sigma(i_z + h_z), \quad n = \tanh(i_n + r h_n), \quad h' = (1 - z) n + z h

    Args:
        from_input: ``i_r, i_z, i_n`` concatenated, ``[..., 3*H]``.
        from_hidden: ``h_r, h_z, h_n`` concatenated, ``[..., 3*H]``.
        states: ``(h,)``, ``[..., H]``.

    Returns:
        ``(h',)``.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), in PyTorch's variant.
    """
    (h,) = states
    input_r, input_z, input_n = jnp.split(from_input, 3, axis=-1)
    hidden_r, hidden_z, hidden_n = jnp.split(from_hidden, 3, axis=-1)
    update = jax.nn.sigmoid(input_z + hidden_z)
    new = jnp.tanh(input_n + jax.nn.sigmoid(input_r + hidden_r) * hidden_n)
    return (new + update * (h - new),)


def lstm_step(from_input: Array, from_hidden: Array, states: States) -> States:
    r"""Compute a step of a long short-term memory.

    .. math::
        c' = \sigma(f) c + \sigma(i) \tanh(g), \qquad h' = \sigma(o) \tanh(c')

    Args:
        from_input: the input's part of ``i, f, g, o`` concatenated, ``[..., 4*H]``.
        from_hidden: the hidden state's part of them, ``[..., 4*H]``.
        states: ``(h, c)``, each ``[..., H]``.

    Returns:
        ``(h', c')``.

    Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997), with forget gates (Gers et al., 2000).
    """
    _, c = states
    i, f, g, o = jnp.split(from_input + from_hidden, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


CELLS: Mapping[str, Cell] = {"gru": Cell(1, 3, gru_step), "lstm": Cell(2, 4, lstm_step)}


def resolve_cell(name: str) -> Cell:
    """Return the cell of a name, case-insensitive.

    Raises:
        ValueError: if the name is unknown.
    """
    return lookup(name.lower(), CELLS, "rnn_type")


def initial_carry(name: str, *, hidden_dim: int, num_layers: int, num_envs: int) -> Carry:
    """Return the hidden states at the start of an episode: per layer a tuple of zeros ``[num_envs, hidden_dim]``."""
    zeros = jnp.zeros((num_envs, hidden_dim), default_dtype())
    return ((zeros,) * resolve_cell(name).num_states,) * num_layers


class RecurrentLayer(nn.Module):
    """One recurrent layer, initialised uniformly in ``±1/sqrt(hidden_dim)`` as in PyTorch.

    Attributes:
        cell: kind of layer.
        input_dim: size of the input.
        hidden_dim: size ``H`` of each hidden state.
        dtype: type to multiply matrices in, or None for that of the parameters; hidden states keep theirs.
    """

    cell: Cell
    input_dim: int
    hidden_dim: int
    dtype: Any = None

    def setup(self) -> None:
        """Create the parameters; called by linen."""
        init, width = uniform_within(1 / math.sqrt(self.hidden_dim)), self.cell.num_gates * self.hidden_dim
        self.input_kernel = self.param("input_kernel", init, (self.input_dim, width), default_dtype())
        self.input_bias = self.param("input_bias", init, (width,), default_dtype())
        self.hidden_kernel = self.param("hidden_kernel", init, (self.hidden_dim, width), default_dtype())
        self.hidden_bias = self.param("hidden_bias", init, (width,), default_dtype())

    def __call__(self, x: Array, states: States) -> States:
        """Run one step from the input ``[..., input_dim]`` and the states before it to those after it."""
        return self._recur(self._project(x), states)

    def unroll(self, x: Array, states: States, dones: Array) -> States:
        """Run many steps: input ``[T, N, input_dim]`` to the states after each, before any reset, ``[T, N, H]``."""

        def step(states: States, inputs: tuple[Array, Array]) -> tuple[States, States]:
            projected, done = inputs
            states = self._recur(projected, states)
            return reset_carry(states, done), states

        # The input does not depend on the hidden states, so its projection is one product over all steps.
        return jax.lax.scan(step, states, (self._project(x), dones))[1]

    def _project(self, x: Array) -> Array:
        matrix = jnp.reshape(x, (-1, self.input_dim)) if x.ndim > 2 else x
        projected = self._affine(matrix, self.input_kernel, self.input_bias)
        return jnp.reshape(projected, (*x.shape[:-1], projected.shape[-1])) if x.ndim > 2 else projected

    def _recur(self, projected: Array, states: States) -> States:
        return self.cell.step(projected, self._affine(states[0], self.hidden_kernel, self.hidden_bias), states)

    def _affine(self, x: Array, kernel: Array, bias: Array) -> Array:
        dtype = kernel.dtype if self.dtype is None else self.dtype
        product = jnp.matmul(x.astype(dtype), kernel.astype(dtype)).astype(kernel.dtype)
        return product + to_rank(bias, product.ndim)


class RNN(nn.Module):
    """Stack of recurrent layers.

    Attributes:
        kind: ``"gru"`` or ``"lstm"``.
        input_dim: size of the input.
        hidden_dim: size ``H`` of each hidden state.
        num_layers: number of layers.
        dtype: type to multiply matrices in, or None for that of the parameters; hidden states keep theirs.
    """

    kind: str
    input_dim: int
    hidden_dim: int
    num_layers: int = 1
    dtype: Any = None

    def setup(self) -> None:
        """Create the layers; called by linen."""
        cell, sizes = resolve_cell(self.kind), [self.input_dim] + [self.hidden_dim] * (self.num_layers - 1)
        self.layers = [
            RecurrentLayer(cell, size, self.hidden_dim, self.dtype, name=f"layer_{index}")
            for index, size in enumerate(sizes)
        ]

    def __call__(self, x: Array, carry: Carry) -> tuple[Array, Carry]:
        """Run one step.

        Args:
            x: ``[..., input_dim]``.
            carry: hidden states before the step, as :func:`initial_carry` returns them, leaves ``[..., H]``.

        Returns:
            the output ``[..., H]`` and the hidden states after the step.
        """
        visited = []
        for layer, states in zip(self.layers, carry, strict=True):
            visited.append(layer(x, states))
            x = visited[-1][0]
        return x, tuple(visited)

    def unroll(self, x: Array, carry: Carry, dones: Array) -> tuple[Array, Carry]:
        """Run many steps.

        Args:
            x: ``[T, N, input_dim]``.
            carry: hidden states before the first step, leaves ``[N, H]``.
            dones: whether an episode ended with the step, ``[T, N]``; hidden states are zero after it.

        Returns:
            the output ``[T, N, H]``, and the hidden states after each step, before any reset, leaves ``[T, N, H]``.
        """
        visited = []
        for layer, states in zip(self.layers, carry, strict=True):
            visited.append(layer.unroll(x, states, dones))
            x = visited[-1][0]
        return x, tuple(visited)
