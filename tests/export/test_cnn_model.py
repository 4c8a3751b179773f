"""The convolutional model in onnxruntime and as a jax artefact."""

import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from rsl_jax.config import CNNConfig
from rsl_jax.distributions import gaussian
from rsl_jax.export import export_jax, export_onnx, load_jax
from rsl_jax.models import CNNModel

from .models import ACTIONS, actions_of, observations_of, variables_of

pytestmark = pytest.mark.usefixtures("first_export")

SHAPES = {"policy": (3,), "camera": (2, 8, 9), "depth": (1, 7, 8)}
ENCODERS = {
    "zeros, layer norm, max pool": CNNConfig((3, 4), 3, padding="zeros", norm="layer", max_pool=(True, False)),
    "reflect, batch norm": CNNConfig((3, 4), 3, stride=2, padding="reflect", norm="batch", activation="relu"),
    "replicate, dilation, average": CNNConfig((3,), 3, dilation=2, padding="replicate", global_pool="avg"),
    "circular, maximum": CNNConfig((3,), (3,), padding="circular", global_pool="max", activation="mish"),
}


def make(*groups, cnn_cfg, **changes):
    return CNNModel(
        obs_shapes={group: SHAPES[group] for group in groups},
        obs_groups=groups,
        output_dim=ACTIONS,
        distribution=gaussian(ACTIONS),
        hidden_dims=(6,),
        cnn_cfg=cnn_cfg,
        **changes,
    )


def variables_for(model):
    """Random ones, whose running variances are positive."""
    variables = variables_of(model)
    for layers in variables.get("batch_statistics", {}).get("cnns", {}).values():
        for moments in layers.values():
            moments["var"] = jnp.abs(moments["var"]) + 0.1
    return variables


def check_onnx(model, variables, path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    vectors = [group for group in model.obs_groups if len(SHAPES[group]) == 1]
    images = [group for group in model.obs_groups if group not in vectors]
    assert [tensor.name for tensor in session.get_inputs()] == [*(["obs"] if vectors else []), *images]
    observations = observations_of(model, 5)
    expected = actions_of(model, variables, observations)
    inputs = {group: observations[group] for group in images}
    if vectors:
        inputs["obs"] = np.concatenate([observations[group] for group in vectors], -1)
    for batch in (1, 5):
        (actions,) = session.run(["actions"], {name: array[:batch] for name, array in inputs.items()})
        np.testing.assert_allclose(actions, expected[:batch], rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_padding_norm_and_pool(kind, tmp_path):
    model = make("camera", "policy", cnn_cfg=ENCODERS[kind], obs_normalization=True)
    variables = variables_for(model)
    check_onnx(model, variables, export_onnx(model, variables, tmp_path / "policy.onnx"))


def test_two_images_and_nothing_beside_them(tmp_path):
    model = make("depth", "camera", cnn_cfg={"depth": CNNConfig((2,), 3), "camera": CNNConfig((3,), 2, stride=2)})
    variables = variables_for(model)
    check_onnx(model, variables, export_onnx(model, variables, tmp_path / "policy.onnx"))


def test_jax_artefact(tmp_path):
    model = make("camera", "policy", cnn_cfg=ENCODERS["reflect, batch norm"])
    variables = variables_for(model)
    policy = load_jax(export_jax(model, variables, tmp_path / "policy.jax"))
    observations = observations_of(model, 4)
    actions, _ = policy(observations)
    expected = actions_of(model, variables, observations)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
