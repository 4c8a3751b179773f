"""Simplification of ONNX graphs: what is removed, and what must stay."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rsl_jax.export.simplify import simplify

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def model_of(nodes, **constants):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def simplified(model):
    """Operators that are left; the model computes the same as before."""
    (before,) = ReferenceEvaluator(model).run(None, {"x": X})
    simplify(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(ReferenceEvaluator(model).run(None, {"x": X})[0], before)
    return [node.op_type for node in model.graph.node]


def split(*outputs, axis=1):
    return helper.make_node("Split", ["x"], outputs, axis=axis, num_outputs=len(outputs))


def concat(*inputs, axis=1, output="y"):
    return helper.make_node("Concat", inputs, [output], axis=axis)


def test_constants_are_folded_and_unused_ones_go():
    nodes = [
        helper.make_node("Sqrt", ["var"], ["std"]),
        helper.make_node("Add", ["std", "eps"], ["scale"]),
        helper.make_node("Div", ["x", "scale"], ["y"]),
    ]
    model = model_of(nodes, var=np.float32([4, 9, 16, 25]), eps=np.float32(0.01), unused=np.float32(1))
    assert simplified(model) == ["Div"]
    assert [tensor.name for tensor in model.graph.initializer] == ["scale"]


def test_large_constants_are_reordered_but_not_made():
    product = helper.make_node("MatMul", ["x", "wide"], ["y"])
    transposed = helper.make_node("Transpose", ["large"], ["wide"])
    assert simplified(model_of([transposed, product], large=np.ones((1 << 19, 4), np.float32))) == ["MatMul"]
    made = helper.make_node("Expand", ["small", "shape"], ["wide"])
    assert simplified(model_of([made, product], small=np.float32(1), shape=np.array([4, 1 << 19]))) == [
        "Expand",
        "MatMul",
    ]


def test_constant_output_stays_an_output():
    assert simplified(model_of([helper.make_node("Sqrt", ["var"], ["y"])], var=np.float32([[4]]))) == ["Sqrt"]


def test_random_numbers_are_no_constants():
    nodes = [
        helper.make_node("RandomNormalLike", ["fixed"], ["noise"]),
        helper.make_node("Sub", ["noise", "noise"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    assert simplified(model_of(nodes, fixed=np.zeros(4, np.float32))) == ["RandomNormalLike", "Sub", "Add"]


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([split("a", "b"), concat("a", "b", output="c"), helper.make_node("Neg", ["c"], ["y"])], ["Neg"]),
        ([concat("x", output="c"), concat("c", output="d"), helper.make_node("Neg", ["d"], ["y"])], ["Neg"]),
        (
            [split("a", "b"), concat("b", "a", output="c"), helper.make_node("Neg", ["c"], ["y"])],
            ["Split", "Concat", "Neg"],
        ),
        (
            [split("a", "b"), concat("a", "b", axis=0, output="c"), helper.make_node("Neg", ["c"], ["y"])],
            ["Split", "Concat", "Neg"],
        ),
        (
            [split("a", "b", "d"), concat("a", "b", output="c"), helper.make_node("Neg", ["c"], ["y"])],
            ["Split", "Concat", "Neg"],
        ),
        (
            [
                split("a", "b"),
                concat("a", "b", output="c"),
                helper.make_node("Neg", ["a"], ["d"]),
                concat("c", "d"),
            ],
            ["Split", "Neg", "Concat"],
        ),
        ([split("a", "b"), concat("a", "b")], ["Split", "Concat"]),
        ([split("a"), helper.make_node("Neg", ["a"], ["y"])], ["Neg"]),
        ([helper.make_node("Neg", ["x"], ["a"]), concat("a", output="b"), concat("b")], ["Neg"]),
    ],
)
def test_what_only_copies_goes(nodes, left):
    assert simplified(model_of(nodes)) == left


@pytest.mark.parametrize(
    ("again", "left"),
    [("zero", ["Unsqueeze", "Neg", "Squeeze"]), ("one", ["Unsqueeze", "Squeeze", "Unsqueeze", "Neg", "Squeeze"])],
)
def test_an_axis_that_goes_and_comes_back_stays(again, left):
    nodes = [
        helper.make_node("Unsqueeze", ["x", "zero"], ["a"]),
        helper.make_node("Squeeze", ["a", "zero"], ["b"]),
        helper.make_node("Unsqueeze", ["b", again], ["c"]),
        helper.make_node("Neg", ["c"], ["d"]),
        helper.make_node("Squeeze", ["d", again], ["y"]),
    ]
    assert simplified(model_of(nodes, zero=np.array([0]), one=np.array([1]))) == left


def test_what_an_inner_graph_reads_stays():
    def branch(name, op):
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "columns"])
        return helper.make_graph([helper.make_node(op, ["copy", "scale"], [name])], name, [], [output])

    nodes = [
        concat("x", output="copy"),
        helper.make_node("Sqrt", ["var"], ["scale"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch("a", "Mul"), else_branch=branch("b", "Div")),
    ]
    model = model_of(nodes, var=np.float32([4]), flag=np.array(True))
    assert simplified(model) == ["Concat", "If"]
    assert {tensor.name for tensor in model.graph.initializer} == {"scale", "flag"}
