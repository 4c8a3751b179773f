"""Simplification of ONNX graphs: constants are folded, and nodes without effect removed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

_LARGEST_CONSTANT = 1 << 20
"""Constants larger than this many numbers are left to be computed when the network is loaded."""

_NOT_CONSTANT = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


def simplify(model: onnx.ModelProto) -> None:
    """Simplify a model in place; it computes the same.

    Nodes on constants are evaluated; ``Concat(Split(x))``, ``Unsqueeze(Squeeze(x))``, a ``Concat`` of one and a
    ``Split`` into one are removed, and so are unused nodes.
    """
    _fold_constants(model)
    _remove_copies(model.graph)
    _remove_unused(model.graph)


def _fold_constants(model: onnx.ModelProto) -> None:
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    kept = []
    for node in graph.node:
        folded = None if outputs & set(node.output) else _evaluate(node, constants, model)
        if folded is None:
            kept.append(node)
            continue
        constants.update(folded)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in folded.items())
    _replace_nodes(graph, kept)


def _evaluate(
    node: onnx.NodeProto, constants: Mapping[str, np.ndarray], model: onnx.ModelProto
) -> dict[str, np.ndarray] | None:
    """Evaluate the outputs of a node; None if it must stay."""
    has_graph = any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute)
    if has_graph or node.domain or node.op_type in _NOT_CONSTANT or not all(i in constants for i in node.input):
        return None
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    try:
        values = ReferenceEvaluator(node, opsets=opsets).run(None, {name: constants[name] for name in node.input})
    except Exception:  # whatever the reference evaluator does not know, the runtime does
        return None
    arrays = [np.asarray(value) for value in values]
    largest = max(_LARGEST_CONSTANT, sum(constants[name].size for name in node.input))
    if any(array.size > largest for array in arrays):
        return None
    return dict(zip(node.output, arrays, strict=True))


def _remove_copies(graph: onnx.GraphProto) -> None:
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    fixed = outputs.union(*(_names_read(node) - set(node.input) for node in graph.node))
    same: dict[str, str] = {}

    def name_of(name: str) -> str:
        return name_of(same[name]) if name in same else name

    kept = []
    for node in graph.node:
        copied = _copied_input(node, producers, constants)
        source = None if copied is None else name_of(copied)
        if source is not None and node.output[0] not in fixed:
            same[node.output[0]] = source
        elif source is not None and source in producers.keys() - fixed and node.output[0] in outputs:
            same[source] = node.output[0]
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [name_of(name) for name in node.input]
        node.output[:] = [name_of(name) for name in node.output]
    _replace_nodes(graph, kept)


def _copied_input(
    node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto], constants: Mapping[str, onnx.TensorProto]
) -> str | None:
    """Return the input that a node merely copies, if it does."""
    before = producers.get(node.input[0], node) if node.input else node
    match before.op_type, node.op_type:
        case _, "Concat" if len(node.input) == 1:
            return node.input[0]
        case _, "Split" if len(node.output) == 1:
            return node.input[0]
        case "Split", "Concat" if list(before.output) == list(node.input) and _axis(before) == _axis(node):
            return before.input[0]
        case "Squeeze", "Unsqueeze":
            axes = _axes(before, constants)
            return before.input[0] if axes is not None and axes == _axes(node, constants) else None
    return None


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


def _axes(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[int] | None:
    """Return the axes of a ``Squeeze`` or ``Unsqueeze``, if they are known."""
    axes = constants.get(node.input[1]) if len(node.input) > 1 else None
    return None if axes is None else numpy_helper.to_array(axes).tolist()


def _remove_unused(graph: onnx.GraphProto) -> None:
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(_names_read(node))
    _replace_nodes(graph, kept[::-1])
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)


def _names_read(node: onnx.NodeProto) -> set[str]:
    """Return the inputs of a node, and what its subgraphs read from the outer graph."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            names |= {output.name for output in attribute.g.output}
            names.update(*(_names_read(inner) for inner in attribute.g.node))
    return names


def _replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
