"""Export to ONNX, against onnxruntime."""

import dataclasses
import json
import os
import stat
import threading

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from rsl_jax.export import ExportError, export_onnx, plain_policy
from rsl_jax.export import onnx as onnx_export
from rsl_jax.export.policy import Tensor
from rsl_jax.modules import ACTIVATIONS

from .models import (
    ACTIONS,
    Deployable,
    GRULike,
    OwnMemory,
    TwoLayerLSTM,
    actions_of,
    deployable,
    mlp_model,
    observations_of,
    variables_of,
)

pytestmark = pytest.mark.usefixtures("first_export")


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_same(model, variables, path, batch_sizes=(1, 3, 17)):
    session = session_of(path)
    observations = observations_of(model, max(batch_sizes))
    obs = np.concatenate([observations[group] for group in model.obs_groups], -1)
    expected = actions_of(model, variables, observations)
    scale = max(1.0, float(np.max(np.abs(expected))))
    for batch in batch_sizes:
        (actions,) = session.run(["actions"], {"obs": obs[:batch]})
        assert actions.dtype == np.float32
        np.testing.assert_allclose(actions, expected[:batch], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation(activation, normalized, tmp_path):
    model = mlp_model(activation=activation, obs_normalization=normalized)
    variables = variables_of(model)
    assert_same(model, variables, export_onnx(model, variables, tmp_path / "policy.onnx"))


def test_graph_is_what_one_would_draw(tmp_path):
    model = mlp_model(obs_normalization=True)
    graph = onnx.load(export_onnx(model, variables_of(model), tmp_path / "policy.onnx")).graph
    assert [node.op_type for node in graph.node] == ["Sub", "Div", "Gemm", "Elu", "Gemm", "Elu", "Gemm"]
    assert not graph.value_info
    dims = [dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 7]


def test_native_gelu_of_a_newer_opset(tmp_path):
    model = mlp_model(activation="gelu")
    path = export_onnx(model, variables_of(model), tmp_path / "policy.onnx", opset=20)
    assert "Gelu" in {node.op_type for node in onnx.load(path).graph.node}


def test_model_without_distribution(tmp_path):
    model = mlp_model(distribution=None)
    variables = variables_of(model)
    assert_same(model, variables, export_onnx(model, variables, tmp_path / "policy.onnx"))


def test_metadata_is_read_through_onnxruntime(tmp_path):
    model = mlp_model()
    users = {"joint_names": ["hip", "knee", "ankle"], "action_scale": 0.25, "gains": {"hip": [20.0, 0.5]}}
    path = export_onnx(model, variables_of(model), tmp_path / "new" / "policy.onnx", metadata=users)
    metadata = session_of(path).get_modelmeta().custom_metadata_map
    assert metadata["observation_groups"] == "policy,command"
    assert metadata["observation_sizes"] == "5,2"
    assert metadata["action_size"] == str(ACTIONS)
    assert metadata["model_class"] == "MLPModel"
    assert metadata["jax_version"] == jax.__version__
    assert metadata["joint_names"].split(",") == users["joint_names"]
    assert float(metadata["action_scale"]) == 0.25
    everything = json.loads(metadata["metadata_json"])
    assert {key: everything[key] for key in users} == users


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (Deployable, {"policy": (3,), "camera": (1, 5, 6), "command": (2,)}),
        (GRULike, {"policy": (3,)}),
        (TwoLayerLSTM, {"policy": (3,), "camera": (2, 4, 4)}),
        (OwnMemory, {"policy": (3,)}),
    ],
)
def test_models_of_a_user(kind, groups, tmp_path):
    """A few steps in onnxruntime, memory included, as the model goes."""
    model = deployable(kind, **groups)
    variables = variables_of(model)
    session = session_of(export_onnx(model, variables, tmp_path / "policy.onnx"))
    images = [group for group, shape in groups.items() if len(shape) == 3]
    policy = plain_policy(model, variables)
    states = {t.name: np.zeros([2 if s == "batch" else s for s in t.shape], np.float32) for t in policy.inputs}
    states = {name: state for name, state in states.items() if name.endswith("_in")}
    carry = model.initial_carry(2)
    for step in range(4):
        observations = observations_of(model, 2, seed=step)
        vectors = np.concatenate([observations[group] for group in groups if group not in images], -1)
        inputs = {"obs": vectors, **{group: observations[group] for group in images}, **states}
        actions, *new_states = session.run(None, inputs)
        expected, carry = model.apply(variables, observations, carry, method="mode")
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))
        states = dict(zip(states, new_states, strict=True))


@pytest.mark.usefixtures("x64_everywhere")
def test_float64_parameters_and_x64(tmp_path):
    model = mlp_model(obs_normalization=True)
    variables = variables_of(model)
    assert jax.tree.leaves(variables["params"])[0].dtype == np.float64
    path = export_onnx(model, variables, tmp_path / "policy.onnx")
    assert jax.config.jax_enable_x64
    assert jnp.zeros(()).dtype == np.float64
    assert_same(model, variables, path)
    types = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert types == {onnx.TensorProto.FLOAT}


# --- what is refused --------------------------------------------------------------------------------------------------


def wrong_build(change):
    def build(policy, metadata, **kwargs):
        model = onnx.ModelProto.FromString(right_build(policy, metadata, **kwargs))
        change(model)
        return model.SerializeToString()

    right_build = onnx_export.build
    return build


def lose_an_activation(model):
    node = next(node for node in model.graph.node if node.op_type == "Elu")
    node.op_type = "Relu"
    del node.attribute[:]


def change_a_weight(model):
    tensor = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [7])
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[3] += 1e-3
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def return_nan(model):
    change = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [3])
    change.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), change.name))


@pytest.mark.parametrize("change", [lose_an_activation, change_a_weight, return_nan])
def test_export_that_differs_is_refused_and_writes_nothing(change, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "build", wrong_build(change))
    with pytest.raises(
        ExportError, match=r"refused and nothing was written: at batch size 1, onnxruntime gives 'actions'"
    ):
        export_onnx(mlp_model(), variables_of(mlp_model()), tmp_path / "new" / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_refused_export_leaves_the_last_one(tmp_path, monkeypatch):
    path = export_onnx(mlp_model(), variables_of(mlp_model()), tmp_path / "policy.onnx")
    content = path.read_bytes()
    monkeypatch.setattr(onnx_export, "build", wrong_build(lose_an_activation))
    with pytest.raises(ExportError):
        export_onnx(mlp_model(), variables_of(mlp_model(), seed=5), path)
    assert path.read_bytes() == content


def test_fixed_batch_is_refused(tmp_path, monkeypatch):
    right = onnx_export.build

    def at_batch_1(policy, metadata, **kwargs):
        return right(dataclasses.replace(policy, inputs=(Tensor("obs", (1, 7)),)), metadata, **kwargs)

    monkeypatch.setattr(onnx_export, "build", at_batch_1)
    with pytest.raises(ExportError, match=r"at batch size 3, onnxruntime fails:(?s:.*)Got: 3 Expected: 1"):
        export_onnx(mlp_model(), variables_of(mlp_model()), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


class Untranslatable(Deployable):
    def remember(self, x, carry):
        return jnp.real(jnp.linalg.eigvals(x[:, :, None] * x[:, None, :])), carry


def test_untranslatable_operation_is_named(tmp_path):
    model = deployable(Untranslatable, policy=(3,))
    with pytest.raises(ExportError, match=r"jax2onnx cannot translate this Untranslatable: (?s:.*eig.*)use export_jax"):
        export_onnx(model, variables_of(model), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


class AcrossRobots(Deployable):
    def remember(self, x, carry):
        return x - jnp.mean(x, 0, keepdims=True), carry


def test_robots_that_influence_each_other_are_refused(tmp_path):
    model = deployable(AcrossRobots, policy=(3,))
    with pytest.raises(ExportError, match="at batch size 1"):
        export_onnx(model, variables_of(model), tmp_path / "policy.onnx")


def test_failing_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        export_onnx(mlp_model(), variables_of(mlp_model()), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_file_is_readable_by_others(tmp_path):
    path = export_onnx(mlp_model(), variables_of(mlp_model()), tmp_path / "policy.onnx")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


# --- what is left alone -----------------------------------------------------------------------------------------------


def test_process_stays_as_it_was(first_export):
    _, before, after = first_export
    assert before == after


def test_quiet_unless_verbose(tmp_path, capfd, caplog):
    model = deployable(GRULike, policy=(3,))
    export_onnx(model, variables_of(model), tmp_path / "policy.onnx")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert not caplog.records
    export_onnx(model, variables_of(model), tmp_path / "policy.onnx", verbose=True)
    assert "policy.onnx: obs ['batch', 3], h_in [1, 'batch', 4] -> actions" in capfd.readouterr().out


def test_functions_traced_for_the_first_time_in_an_export_work_afterwards():
    """What jax2onnx replaces while it traces must not stay in the caches of ``jax.jit``."""
    dense = nn.Dense(4)
    kernel = jax.tree.map(np.asarray, dense.init(jax.random.key(0), jnp.ones((1, 4))))
    fixed = np.ones((2, 4), np.float32)

    @jax.jit
    def helper(x):
        return dense.apply(kernel, jax.nn.elu(jnp.tanh(x)))

    def body(carry, _):
        return helper(jax.nn.selu(carry)), None

    def scanned(x):
        return jax.lax.scan(body, x, None, 2)[0]

    def function(x):
        return (x * jnp.sum(helper(fixed)) + jnp.sum(scanned(jnp.asarray(fixed))),)

    policy = dataclasses.replace(
        plain_policy(mlp_model(), variables_of(mlp_model())),
        function=function,
        inputs=(Tensor("obs", ("batch", 4)),),
        outputs=(Tensor("actions", ("batch", 4)),),
    )
    run = onnx_export.onnxruntime_session(onnx_export.build(policy, {}))
    expected = dense.apply(kernel, jax.nn.elu(jnp.tanh(fixed)))
    np.testing.assert_allclose(helper(fixed), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: helper(x) * 2)(fixed), 2 * expected, rtol=1e-6)
    assert np.all(np.isfinite(jax.grad(lambda x: jnp.sum(scanned(x)))(jnp.asarray(fixed))))
    np.testing.assert_allclose(run(fixed)[0], function(fixed)[0], rtol=1e-5)


def test_two_threads_may_export_while_a_third_computes(tmp_path):
    model = mlp_model()
    seeds = (0, 1, 2)
    failures = []

    variables = [variables_of(model, seed) for seed in seeds]

    def export_seed(seed):
        try:
            export_onnx(model, variables[seed], tmp_path / f"{seed}.onnx")
        except Exception as error:
            failures.append(error)

    compiled = jax.jit(lambda x: jnp.tanh(x) @ x)
    x = jnp.ones((8, 8))
    expected = compiled(x)
    threads = [threading.Thread(target=export_seed, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        np.testing.assert_array_equal(compiled(x), expected)
    assert not failures
    for seed in seeds:
        assert_same(model, variables[seed], tmp_path / f"{seed}.onnx")
