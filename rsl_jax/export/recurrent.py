"""Export of recurrent layers as ONNX's ``GRU`` and ``LSTM`` nodes, faster in runtimes than products and gates.

Importing this module registers a plugin with jax2onnx, such as it has for flax's layers: while it traces, a
:class:`~rsl_jax.modules.rnn.RecurrentLayer` is one primitive, which stands for one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax2onnx.plugins._patching import MonkeyPatchSpec
from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

from rsl_jax.modules.rnn import CELLS, Cell, RecurrentLayer, States
from rsl_jax.types import Array

_NAME = "rsl_jax.recurrent_layer"


class Node(NamedTuple):
    """ONNX operator of a recurrent layer.

    Attributes:
        operator: its name.
        gates: our gates in the operator's order.
        attributes: its attributes that select our formulas.
    """

    operator: str
    gates: tuple[int, ...]
    attributes: Mapping[str, int]


NODES: dict[Cell, Node] = {
    CELLS["gru"]: Node("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # z, r, n
    CELLS["lstm"]: Node("LSTM", (0, 3, 1, 2), {}),  # i, o, f, g
}
"""Operators by kind of layer; an unlisted kind is exported operation by operation."""


@register_primitive(jaxpr_primitive=_NAME)
class RecurrentLayerPlugin(PrimitiveLeafPlugin):  # type: ignore[misc]
    """``(x [1, N, D], kernels [1, G*H, D] and [1, G*H, H], biases [1, 2*G*H], states [1, N, H]) -> states``."""

    _PRIM = Primitive(_NAME)
    _PRIM.multiple_results = True

    @staticmethod
    def abstract_eval(*arrays: Any, node: Node) -> list[ShapedArray]:
        """Return shapes and types of the states after the step: those before it."""
        del node
        return [ShapedArray(state.shape, state.dtype) for state in arrays[4:]]

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Write the node; called by jax2onnx."""
        x, input_kernel, hidden_kernel, bias, *states = [ctx.get_value_for_var(variable) for variable in eqn.invars]
        node = eqn.params["node"]
        write = getattr(ctx.builder, node.operator)
        outputs = write(
            x,
            input_kernel,
            hidden_kernel,
            bias,
            None,  # all sequences have their full length, which is one step
            *states,
            hidden_size=eqn.outvars[0].aval.shape[-1],
            _outputs=[ctx.fresh_name(name) for name in ("y", "h", "c")[: 1 + len(states)]],
            **node.attributes,
        )
        for variable, value in zip(eqn.outvars, outputs[1:], strict=True):
            ctx.bind_value_for_var(variable, value)

    @classmethod
    def binding_specs(cls) -> list[MonkeyPatchSpec]:
        """Return what jax2onnx replaces while it traces."""
        return [MonkeyPatchSpec("rsl_jax.modules.rnn.RecurrentLayer", "__call__", _with_node)]


def _with_node(decomposed: Callable[..., States]) -> Callable[..., States]:
    def call(layer: RecurrentLayer, x: Array, states: States) -> States:
        node = NODES.get(layer.cell)
        if node is None or x.ndim != 2:
            return decomposed(layer, x, states)
        kernels = [_pack(kernel, node).T for kernel in (layer.input_kernel, layer.hidden_kernel)]
        biases = jnp.concatenate([_pack(bias, node) for bias in (layer.input_bias, layer.hidden_bias)])
        # One step of a sequence, one direction; jnp.expand_dims would become six nodes, jnp.stack becomes one.
        inputs = [jnp.stack([array]) for array in (x, *kernels, biases, *states)]
        return tuple(jnp.squeeze(state, 0) for state in RecurrentLayerPlugin._PRIM.bind(*inputs, node=node))

    return call


def _pack(array: Array, node: Node) -> Array:
    """Concatenate gates on the last axis, in the node's order."""
    parts: Sequence[Array] = jnp.split(array, len(node.gates), axis=-1)
    return jnp.concatenate([parts[index] for index in node.gates], axis=-1)
