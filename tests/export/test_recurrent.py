"""Exported recurrent policies: a hundred steps with resets, each side with its own hidden states."""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from rsl_jax.distributions import gaussian
from rsl_jax.export import ExportError, export_jax, export_onnx, plain_policy
from rsl_jax.export.onnx import build
from rsl_jax.export.stablehlo import load_jax
from rsl_jax.export.verify import verify
from rsl_jax.models import RNNModel
from rsl_jax.modules.rnn import CELLS, Cell
from rsl_jax.ops import reset_carry

from .models import ACTIONS, GROUPS, GRULike, deployable, observations_of, variables_of

pytestmark = pytest.mark.usefixtures("first_export")

ROBOTS, STEPS = 3, 100


def rnn_model(kind, num_layers=2):
    return RNNModel(
        obs_shapes=GROUPS,
        obs_groups=tuple(GROUPS),
        output_dim=ACTIONS,
        distribution=gaussian(ACTIONS),
        hidden_dims=(8,),
        obs_normalization=True,
        rnn_type=kind,
        rnn_hidden_dim=6,
        rnn_num_layers=num_layers,
    )


def operators(model):
    return [node.op_type for node in model.graph.node]


def in_onnxruntime(path, model):
    """Acts and remembers as the program in docs/export.md does; each layer is a node."""
    assert [op for op in operators(onnx.load(path)) if op in {"GRU", "LSTM", "Sigmoid", "Tanh"}] == [
        model.rnn_type.upper()
    ] * 2
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    states = {i.name: np.zeros((2, ROBOTS, 6), np.float32) for i in session.get_inputs() if i.name.endswith("_in")}
    assert list(states) == (["h_in"] if model.rnn_type == "gru" else ["h_in", "c_in"])

    def act(observations, ended):
        for state in states.values():
            state[:, ended] = 0.0
        obs = np.concatenate([observations[group] for group in model.obs_groups], -1)
        names = ["actions", *(name.replace("_in", "_out") for name in states)]
        actions, *after = session.run(names, {"obs": obs, **states})
        states.update(zip(states, after, strict=True))
        return actions

    return act


def in_jax(path, model):
    del model
    policy = load_jax(path)
    carry = policy.initial_carry(ROBOTS)

    def act(observations, ended):
        nonlocal carry
        carry = [np.where(ended[None, :, None], np.zeros_like(state), state) for state in carry]
        actions, carry = policy(observations, carry)
        return actions

    return act


@pytest.mark.parametrize("kind", ["gru", "lstm"])
@pytest.mark.parametrize(("export", "runtime"), [(export_onnx, in_onnxruntime), (export_jax, in_jax)])
def test_a_hundred_steps_with_resets(export, runtime, kind, tmp_path):
    model = rnn_model(kind)
    variables = variables_of(model)
    act = runtime(export(model, variables, tmp_path / "policy"), model)
    step = jax.jit(lambda *args: model.apply(variables, *args, method="mode"))
    generator = np.random.default_rng(0)
    carry, ended = model.initial_carry(ROBOTS), np.zeros(ROBOTS, bool)
    for index in range(STEPS):
        observations = observations_of(model, ROBOTS, seed=index)
        carry = reset_carry(carry, ended)
        expected, carry = step(observations, carry)
        scale = max(1.0, float(np.max(np.abs(expected))))
        np.testing.assert_allclose(act(observations, ended), expected, rtol=0, atol=1e-5 * scale, err_msg=str(index))
        ended = generator.random(ROBOTS) < 0.1


def test_what_goes_wrong_only_later_is_noticed():
    """An export that is right until its memory has come back forty times."""
    model = deployable(GRULike, policy=(3,))
    policy = plain_policy(model, variables_of(model))
    function, calls = jax.jit(policy.function), []

    def run(*inputs):
        calls.append(inputs)
        actions, h = function(*inputs)
        return actions, (h if len(calls) < 40 else h + 1e-3)

    with pytest.raises(ExportError, match="this gives 'h_out' with a relative difference"):
        verify(policy, run, runtime="this")
    zeroed = [np.any(np.all(inputs[1] == 0, axis=(0, 2))) for inputs in calls]
    assert any(zeroed), "no robot's hidden state was ever zeroed"


def test_names_mean_what_rsl_rl_means_by_them():
    """``c`` is what an LSTM keeps inside, and may be of any size; its output ``h`` lies within plus and minus 1."""
    model = rnn_model("lstm", num_layers=1)
    session = onnxruntime.InferenceSession(build(plain_policy(model, variables_of(model)), {}))
    large = np.full((1, ROBOTS, 6), 50.0, np.float32)
    inputs = {"obs": np.zeros((ROBOTS, 7), np.float32), "h_in": np.zeros_like(large), "c_in": large}
    h, c = session.run(["h_out", "c_out"], inputs)
    assert np.max(np.abs(h)) <= 1.0 < np.max(np.abs(c))


def test_a_layer_that_onnx_does_not_have_is_exported_operation_by_operation(monkeypatch, tmp_path):
    def minimal_step(from_input, from_hidden, states):
        gate, new = jnp.split(from_input + from_hidden, 2, axis=-1)
        return (states[0] + jax.nn.sigmoid(gate) * (jnp.tanh(new) - states[0]),)

    monkeypatch.setitem(CELLS, "minimal", Cell(1, 2, minimal_step))
    model = rnn_model("minimal")
    path = export_onnx(model, variables_of(model), tmp_path / "policy.onnx")
    assert [op for op in operators(onnx.load(path)) if op in {"Sigmoid", "Tanh"}] == ["Sigmoid", "Tanh"] * 2
