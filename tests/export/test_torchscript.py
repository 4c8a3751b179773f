"""Policies as TorchScript, as users of RSL-RL load them on robots."""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import CNNConfig
from rsl_jax.distributions import beta, categorical, gaussian, heteroscedastic_gaussian
from rsl_jax.export import ExportError, export_compiled, export_torchscript, load_jax
from rsl_jax.export.torchscript import torch_policy
from rsl_jax.models import CNNModel, MLPModel, RNNModel
from rsl_jax.modules.activations import ACTIVATIONS
from tests.parity.oracle import require_oracle

from .models import ACTIONS, GROUPS, actions_of, mlp_model, observations_of, variables_of

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)

IMAGES = {"camera": (2, 9, 8), "depth": (1, 6, 7)}


def tensors_of(model: Any, observations: dict[str, np.ndarray]) -> list[Any]:
    """Arguments of ``forward`` as RSL-RL has them."""
    size = len(next(iter(observations.values())))
    vectors = [observations[group] for group in model.groups_1d] or [np.zeros((size, 0), np.float32)]
    images = [torch.from_numpy(observations[g]) for g in model.obs_groups if g not in model.groups_1d]
    return [torch.from_numpy(np.concatenate(vectors, -1)), *([images] if images else [])]


def assert_acts_alike(model: Any, path: Any, variables: Any, batch: int = 5) -> None:
    observations = observations_of(model, batch)
    actions = torch.jit.load(path)(*tensors_of(model, observations)).numpy()
    expected = np.asarray(actions_of(model, variables, observations))
    assert actions.dtype == expected.dtype
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "distribution",
    [gaussian(ACTIONS), heteroscedastic_gaussian(ACTIONS), beta(ACTIONS, action_range=(-2.0, 5.0)), None],
    ids=["gaussian", "heteroscedastic", "beta", "none"],
)
def test_normaliser_and_deterministic_head_are_baked_in(distribution, tmp_path):
    model = mlp_model(distribution=distribution, obs_normalization=True)
    variables = variables_of(model)
    path = export_torchscript(model, variables, tmp_path / "new" / "policy.pt", metadata={"joint_names": ["hip"]})
    assert_acts_alike(model, path, variables)
    files = {"metadata.json": ""}
    torch.jit.load(path, _extra_files=files).reset()
    metadata = json.loads(files["metadata.json"])
    assert metadata["joint_names"] == ["hip"]
    assert metadata["observation_groups"] == list(GROUPS)


def test_choices_are_whole_numbers(tmp_path):
    model = mlp_model(distribution=categorical(ACTIONS))
    variables = variables_of(model)
    assert_acts_alike(model, export_torchscript(model, variables, tmp_path / "policy.pt"), variables)


def test_every_activation_is_the_same_function():
    inputs = np.linspace(-4, 4, 41, dtype=np.float32)
    for name, ours in ACTIVATIONS.items():
        model = MLPModel(obs_shapes={"a": (1,)}, obs_groups=("a",), output_dim=1, hidden_dims=(1,), activation=name)
        one = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
        policy = torch_policy(model, {"params": {"mlp": {"layer_0": one, "layer_1": one}}})
        theirs = policy(torch.from_numpy(inputs[:, None]))[:, 0].numpy()
        np.testing.assert_allclose(theirs, ours(jnp.asarray(inputs)), rtol=1e-6, atol=1e-6, err_msg=name)


ENCODER = CNNConfig(output_channels=(3, 4), kernel_size=3, padding="reflect", norm=("batch", "layer"), stride=(1, 2))


@pytest.mark.parametrize(
    ("groups", "encoder"),
    [
        ({**GROUPS, **IMAGES}, ENCODER),
        (
            IMAGES,
            {
                "camera": CNNConfig(output_channels=(3,), kernel_size=2, dilation=2, global_pool="max"),
                "depth": CNNConfig(output_channels=(2,), kernel_size=3, padding="circular", max_pool=True),
            },
        ),
        ({"camera": IMAGES["camera"]}, CNNConfig(output_channels=(3,), kernel_size=3, global_pool="avg")),
    ],
    ids=["vectors_and_images", "images_only", "one_image"],
)
def test_images_go_in_as_a_list_beside_the_vectors(groups, encoder, tmp_path):
    model = CNNModel(
        obs_shapes=groups,
        obs_groups=tuple(groups),
        output_dim=ACTIONS,
        hidden_dims=(6,),
        obs_normalization="policy" in groups,
        distribution=gaussian(ACTIONS),
        cnn_cfg=encoder,
    )
    variables = variables_of(model)
    if "batch_statistics" in variables:
        variables["batch_statistics"] = jax.tree.map(jnp.abs, variables["batch_statistics"])
    assert_acts_alike(model, export_torchscript(model, variables, tmp_path / "policy.pt"), variables)


def rnn_model(kind: str) -> RNNModel:
    return RNNModel(
        obs_shapes=GROUPS,
        obs_groups=tuple(GROUPS),
        output_dim=ACTIONS,
        distribution=gaussian(ACTIONS),
        hidden_dims=(8,),
        obs_normalization=True,
        rnn_type=kind,
        rnn_hidden_dim=6,
        rnn_num_layers=2,
    )


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_memory_is_inside_and_reset_forgets(kind, tmp_path):
    model = rnn_model(kind)
    variables = variables_of(model)
    policy = torch.jit.load(export_torchscript(model, variables, tmp_path / "policy.pt"))
    step = jax.jit(lambda observations, carry: model.apply(variables, observations, carry, method="mode"))
    carry = model.initial_carry(1)
    for index in range(12):
        if index == 7:
            policy.reset()
            carry = model.initial_carry(1)
        observations = observations_of(model, 1, seed=index)
        actions = policy(*tensors_of(model, observations)).numpy()
        expected, carry = step({group: jnp.asarray(x) for group, x in observations.items()}, carry)
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)
    buffers = {name: tuple(buffer.shape) for name, buffer in policy.named_buffers() if "state" in name}
    assert buffers == dict.fromkeys(("hidden_state", "cell_state")[: len(carry[0])], (2, 1, 6))


def theirs(kind: str) -> Any:
    """RSL-RL's own model of a kind, ready to be exported."""
    import rsl_rl.models
    from tensordict import TensorDict

    shapes = {"policy": (5,), **({"camera": IMAGES["camera"]} if kind == "CNNModel" else {})}
    obs = TensorDict({group: torch.zeros(1, *shape) for group, shape in shapes.items()}, 1)
    cnn = {"cnn_cfg": {"output_channels": [3], "kernel_size": 3}} if kind == "CNNModel" else {}
    class_name, _, rnn_type = kind.partition(" ")
    rnn = {"rnn_type": rnn_type, "rnn_hidden_dim": 6} if rnn_type else {}
    model_class = getattr(rsl_rl.models, class_name)
    return model_class(obs, {"actor": list(shapes)}, "actor", ACTIONS, [8], obs_normalization=True, **cnn, **rnn)


@pytest.mark.parametrize("kind", ["MLPModel", "CNNModel", "RNNModel gru", "RNNModel lstm"])
def test_the_interface_is_rsl_rls(kind):
    class_name, _, rnn_type = kind.partition(" ")
    shapes = {"policy": (5,), **({"camera": IMAGES["camera"]} if class_name == "CNNModel" else {})}
    model_class = {"MLPModel": MLPModel, "CNNModel": CNNModel, "RNNModel": RNNModel}[class_name]
    cnn = {"cnn_cfg": CNNConfig(output_channels=(3,), kernel_size=3)} if class_name == "CNNModel" else {}
    rnn = {"rnn_type": rnn_type, "rnn_hidden_dim": 6} if rnn_type else {}
    settings = {"hidden_dims": (8,), "obs_normalization": True, "output_dim": ACTIONS, **cnn, **rnn}
    model = model_class(obs_shapes=shapes, obs_groups=tuple(shapes), **settings)
    ours = torch.jit.script(torch_policy(model, variables_of(model)))
    reference = torch.jit.script(theirs(kind).as_jit())

    def interface(module: Any) -> Any:
        calls = {name: getattr(module, name).schema for name in ("forward", "reset")}
        types = {name: [str(argument.type) for argument in schema.arguments[1:]] for name, schema in calls.items()}
        states = {name: tuple(buffer.shape) for name, buffer in module.named_buffers() if name.endswith("_state")}
        return types, states

    assert interface(ours) == interface(reference)


def test_what_is_not_made_of_known_parts_is_refused_with_the_way_out(tmp_path):
    class Own(MLPModel):
        pass

    settings = {"obs_shapes": GROUPS, "obs_groups": tuple(GROUPS), "output_dim": ACTIONS, "hidden_dims": (8,)}
    own = Own(**settings)
    with pytest.raises(ExportError, match=r"Own is a custom class.*export_policy_to_onnx"):
        export_torchscript(own, variables_of(own), tmp_path / "policy.pt")
    unknown = mlp_model(distribution=gaussian(ACTIONS)._replace(readout=None))
    with pytest.raises(ExportError, match=r"distribution.*readout.*export_policy_to_onnx"):
        export_torchscript(unknown, variables_of(unknown), tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_a_wrong_translation_is_not_written(tmp_path):
    squashed = mlp_model(distribution=gaussian(ACTIONS)._replace(mode=lambda params: jnp.tanh(params[0])))
    with pytest.raises(ExportError, match="TorchScript gives 'actions'"):
        export_torchscript(squashed, variables_of(squashed), tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_the_ending_says_what_is_written(tmp_path):
    model = mlp_model()
    variables = variables_of(model)
    assert_acts_alike(model, export_compiled(model, variables, tmp_path / "policy.pt"), variables)
    assert (
        "policy" in load_jax(export_compiled(model, variables, tmp_path / "policy.jax")).metadata["observation_groups"]
    )
    with pytest.raises(ValueError, match=r"'policy\.pth'.*'\.pt' is TorchScript.*'\.jax' is a program for JAX.*onnx"):
        export_compiled(model, variables, tmp_path / "policy.pth")


def test_without_pytorch_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install torch.*rsl-jax\[torch\]"):
        export_torchscript(mlp_model(), {}, tmp_path / "policy.pt")
