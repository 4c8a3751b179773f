"""Exported policies with every distribution."""

import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from rsl_jax.distributions import beta, categorical, heteroscedastic_gaussian
from rsl_jax.export import export_jax, export_onnx, load_jax
from rsl_jax.export import onnx as onnx_export
from rsl_jax.export.verify import ExportError

from .models import ACTIONS, actions_of, mlp_model, observations_of, variables_of

pytestmark = pytest.mark.usefixtures("first_export")

VECTORS = {
    "heteroscedastic": heteroscedastic_gaussian(ACTIONS, std_type="log"),
    "beta": beta(ACTIONS, action_range=(-2.0, 5.0)),
}


def run_onnx(path, observations):
    obs = np.concatenate(list(observations.values()), -1)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["actions"], {"obs": obs})[0]


@pytest.mark.parametrize("name", VECTORS)
def test_deterministic_actions_of_vectors(name, tmp_path):
    model = mlp_model(distribution=VECTORS[name], obs_normalization=True)
    variables = variables_of(model)
    observations = observations_of(model, 17)
    expected = actions_of(model, variables, observations)
    actions = run_onnx(export_onnx(model, variables, tmp_path / "policy.onnx"), observations)
    assert actions.dtype == np.float32
    tolerance = 1e-5 * max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(actions, expected, rtol=0, atol=tolerance)
    actions, _ = load_jax(export_jax(model, variables, tmp_path / "policy.jax"))(observations)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def choosing():
    model = mlp_model(distribution=categorical(ACTIONS))
    return model, variables_of(model)


def test_choices_are_whole_numbers(choosing, tmp_path):
    model, variables = choosing
    observations = observations_of(model, 64)
    expected = actions_of(model, variables, observations)
    assert len(np.unique(expected)) > 1, "the test would not see a difference"
    path = export_onnx(model, variables, tmp_path / "policy.onnx")
    actions = run_onnx(path, observations)
    assert (actions.dtype, actions.shape) == (np.int32, (64,))
    np.testing.assert_array_equal(actions, expected)
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert (metadata["action_size"], metadata["num_choices"]) == ("1", str(ACTIONS))
    policy = load_jax(export_jax(model, variables, tmp_path / "policy.jax"))
    actions, _ = policy(observations)
    assert (actions.dtype, actions.shape) == (jnp.int32, (64,))
    np.testing.assert_array_equal(actions, expected)
    assert policy.metadata["num_choices"] == ACTIONS


def test_choices_of_other_weights_are_refused(choosing, tmp_path, monkeypatch):
    model, variables = choosing
    right = onnx_export.build

    def wrong_build(policy, metadata, **kwargs):
        proto = onnx.ModelProto.FromString(right(policy, metadata, **kwargs))
        bias = next(tensor for tensor in proto.graph.initializer if list(tensor.dims) == [ACTIONS])
        values = onnx.numpy_helper.to_array(bias)
        bias.CopyFrom(onnx.numpy_helper.from_array(values + np.float32([0, 0.5, 0]), bias.name))
        return proto.SerializeToString()

    monkeypatch.setattr(onnx_export, "build", wrong_build)
    with pytest.raises(ExportError, match="onnxruntime gives 'actions'"):
        export_onnx(model, variables, tmp_path / "policy.onnx")
