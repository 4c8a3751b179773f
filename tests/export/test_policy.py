"""Policies as plain functions, and their metadata."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.export.metadata import JSON_KEY, merge, to_strings
from rsl_jax.export.policy import BATCH, plain_policy

from .models import (
    ACTIONS,
    Deployable,
    GRULike,
    OwnMemory,
    TwoLayerLSTM,
    deployable,
    mlp_model,
    observations_of,
    variables_of,
)


def test_mlp_inputs_outputs_and_values():
    model = mlp_model(obs_normalization=True)
    variables = variables_of(model)
    policy = plain_policy(model, variables)
    assert [tuple(tensor) for tensor in policy.inputs] == [("obs", (BATCH, 7), "float32")]
    assert [tuple(tensor) for tensor in policy.outputs] == [("actions", (BATCH, ACTIONS), "float32")]
    assert policy.facts["observation_groups"] == ["policy", "command"]
    assert policy.facts["observation_sizes"] == [5, 2]
    observations = observations_of(model, 4)
    expected, _ = model.apply(variables, observations, (), method="mode")
    (actions,) = policy.function(np.concatenate(list(observations.values()), -1))
    np.testing.assert_allclose(actions, expected, rtol=1e-6, atol=1e-6)


def test_order_of_groups_is_the_order_of_the_model():
    model = mlp_model(obs_groups=("command", "policy"))
    variables = variables_of(model)
    observations = observations_of(model, 2)
    expected, _ = model.apply(variables, observations, (), method="mode")
    x = np.concatenate([observations["command"], observations["policy"]], -1)
    np.testing.assert_allclose(plain_policy(model, variables).function(x)[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "states"),
    [(Deployable, {}), (GRULike, {"h": (1, BATCH, 4)}), (TwoLayerLSTM, {"h": (2, BATCH, 4), "c": (2, BATCH, 4)})],
)
def test_images_and_hidden_states_have_rsl_rls_names(kind, states):
    model = deployable(kind, policy=(3,), camera=(1, 5, 6))
    policy = plain_policy(model, variables_of(model))
    inputs = {tensor.name: tensor.shape for tensor in policy.inputs}
    outputs = {tensor.name: tensor.shape for tensor in policy.outputs}
    expected = {"obs": (BATCH, 3), "camera": (BATCH, 1, 5, 6), **{f"{k}_in": v for k, v in states.items()}}
    assert list(inputs.items()) == list(expected.items())  # in this order, h before c
    expected = {"actions": (BATCH, ACTIONS), **{f"{k}_out": v for k, v in states.items()}}
    assert list(outputs.items()) == list(expected.items())
    assert policy.facts["image_groups"] == ["camera"]
    assert policy.facts["image_shapes"] == [[1, 5, 6]]


def test_layers_of_hidden_states_keep_their_place():
    model = deployable(TwoLayerLSTM, policy=(3,))
    variables = variables_of(model)
    observations = observations_of(model, 2)
    carry = tuple(
        tuple(jax.random.normal(jax.random.key(10 * layer + part), (2, 4)) for part in range(2)) for layer in range(2)
    )
    actions, new_carry = model.apply(variables, observations, carry, method="mode")
    h, c = (jnp.stack([layer[part] for layer in carry]) for part in range(2))
    got = plain_policy(model, variables).function(observations["policy"], h, c)
    expected = (actions, *(jnp.stack([layer[part] for layer in new_carry]) for part in range(2)))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_model_contributes_its_own_memory():
    model = deployable(OwnMemory, policy=(3,))
    policy = plain_policy(model, variables_of(model))
    assert policy.inputs[1].name == "window_in"
    assert policy.inputs[1].shape == (3, BATCH, 3)


def test_only_images_need_no_obs():
    model = deployable(Deployable, camera=(1, 5, 6))
    assert [tensor.name for tensor in plain_policy(model, variables_of(model)).inputs] == ["camera"]


def test_computing_type_of_training_does_not_matter():
    model = mlp_model(dtype=jnp.bfloat16)
    variables = variables_of(model)
    x = np.ones((2, 7), np.float32)
    expected = plain_policy(mlp_model(), variables).function(x)[0]
    np.testing.assert_array_equal(plain_policy(model, variables).function(x)[0], expected)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_group_with_the_name_of_an_output_is_refused():
    model = deployable(Deployable, policy=(3,), actions=(1, 5, 6))
    with pytest.raises(ValueError, match="The observation group 'actions' has the name of another"):
        plain_policy(model, variables_of(model))


def test_lost_normalizer_is_named():
    model = mlp_model(obs_normalization=True)
    with pytest.raises(ValueError, match=r"missing \[.*normalizer.*mean"):
        plain_policy(model, {"params": variables_of(model)["params"]})


def test_stack_of_seeds_says_to_pick_one_and_one_of_them_works():
    model = mlp_model()
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), variables_of(model, 0), variables_of(model, 1))
    with pytest.raises(ValueError, match=r"Pick one of the seeds .*lambda x: x\[0\]"):
        plain_policy(model, stack)
    plain_policy(model, jax.tree.map(lambda x: x[1], stack))


def test_other_layers_are_named():
    with pytest.raises(ValueError, match=r"layer_0'\]\['bias'\] has the shape \(8,\); got \(9,\)\.$"):
        plain_policy(mlp_model(), variables_of(mlp_model(hidden_dims=(9, 7))))


def test_variables_that_are_not_finite_are_named():
    variables = variables_of(mlp_model())
    variables["params"]["mlp"]["layer_1"]["bias"] = jnp.full(7, jnp.nan)
    with pytest.raises(ValueError, match=r"layer_1.*contains NaN or infinity"):
        plain_policy(mlp_model(), variables)


class ThreeStates(Deployable):
    def initial_carry(self, num_envs):
        return (tuple(jnp.zeros((num_envs, self.hidden)) for _ in range(3)),)


def test_memory_without_names_says_how_to_name_it():
    model = deployable(ThreeStates, policy=(3,))
    with pytest.raises(ValueError, match=r"ThreeStates has 3 hidden states.*pack_carry"):
        plain_policy(model, variables_of(model))


# --- metadata ---------------------------------------------------------------------------------------------------------


def test_metadata_as_robots_read_it():
    import json

    ours = {"action_size": 2}
    users = {
        "joint_names": ("hip", "knee"),
        "gains": {"hip": [20.0, 0.5]},
        "scale": np.float32(0.1),
        "offsets": np.array([0.1, 2], np.float32),
        "limits": jnp.array([[0.0, 1.0]]),
        "steps": np.int64(4),
        "note": "a, b",
        "titles": ["a, b", "c"],
        "fast": True,
        "none": None,
    }
    metadata = merge(ours, users)
    strings = to_strings(metadata)
    assert strings["joint_names"].split(",") == ["hip", "knee"]
    assert strings["gains"] == '{"hip": [20.0, 0.5]}'
    assert strings["scale"] == "0.1"
    assert [float(x) for x in strings["offsets"].split(",")] == [0.1, 2.0]
    assert json.loads(strings["limits"]) == [[0.0, 1.0]]
    assert strings["steps"] == "4"
    assert strings["note"] == "a, b"
    assert json.loads(strings["titles"]) == ["a, b", "c"]
    assert strings["fast"] == "true"
    assert strings["none"] == "null"
    assert strings["action_size"] == "2"
    assert json.loads(strings[JSON_KEY]) == metadata
    assert metadata["offsets"] == [0.1, 2.0]


@pytest.mark.parametrize(
    ("users", "error", "message"),
    [
        ({"action_size": 3}, ValueError, "'action_size'.*written by the export itself"),
        ({JSON_KEY: 3}, ValueError, "written by the export itself"),
        ({"gains": [1.0, float("nan")]}, ValueError, "'gains'.*must be finite"),
        ({"env": object()}, TypeError, "'env'.*of type object"),
        ({1: 2}, TypeError, "Names of metadata must be strings"),
    ],
)
def test_bad_metadata(users, error, message):
    with pytest.raises(error, match=message):
        merge({"action_size": 2}, users)
