"""Export by jax.export."""

import json
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.export import ExportError, export_jax, load_jax
from rsl_jax.export import stablehlo as stablehlo_export

from .models import (
    ACTIONS,
    Deployable,
    GRULike,
    TwoLayerLSTM,
    actions_of,
    deployable,
    mlp_model,
    observations_of,
    variables_of,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = mlp_model(obs_normalization=True)
    variables = variables_of(model)
    path = tmp_path_factory.mktemp("jax") / "new" / "policy.jaxpolicy"
    return model, variables, export_jax(model, variables, path, metadata={"joint_names": ["hip", "knee"]})


def test_round_trip(exported):
    model, variables, path = exported
    policy = load_jax(path)
    observations = observations_of(model, 17)
    expected = actions_of(model, variables, observations)
    scale = max(1.0, float(np.max(np.abs(expected))))
    for batch in (1, 3, 17):
        some = {group: values[:batch] for group, values in observations.items()}
        actions, carry = policy({**some, "privileged": np.zeros(batch)}, policy.initial_carry(batch))
        assert carry == ()
        np.testing.assert_allclose(actions, expected[:batch], rtol=0, atol=1e-6 * scale)
    actions, _ = policy(np.concatenate(list(observations.values()), -1))
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-6 * scale)


def test_metadata_travels_along(exported):
    metadata = load_jax(exported[2]).metadata
    assert metadata["joint_names"] == ["hip", "knee"]
    assert metadata["observation_sizes"] == [5, 2]
    assert metadata["action_size"] == ACTIONS
    assert metadata["jax_version"] == jax.__version__
    with zipfile.ZipFile(exported[2]) as archive:
        assert json.loads(archive.read("metadata.json")) == metadata


def test_is_lowered_for_cuda_without_a_gpu(exported):
    with zipfile.ZipFile(exported[2]) as archive:
        artefact = jax.export.deserialize(bytearray(archive.read("policy.bin")))
    assert artefact.platforms == ("cpu", "cuda")
    assert load_jax(exported[2]).metadata["platforms"] == ["cpu", "cuda"]
    # Accelerators round the factors of a matrix product unless they are told not to.
    assert "precision = [HIGHEST, HIGHEST]" in artefact.mlir_module()


def test_equal_policies_are_equal_files(exported, tmp_path):
    model, variables, path = exported
    again = export_jax(model, variables, tmp_path / "again", metadata={"joint_names": ["hip", "knee"]})
    assert again.read_bytes() == path.read_bytes()
    assert b".py" not in path.read_bytes()  # no paths of the computer it was made on
    assert jax.config.jax_traceback_in_locations_limit != 0


LOAD = """
import sys
from rsl_jax.export.stablehlo import load_jax
policy = load_jax(sys.argv[1])
print(policy({"policy": [[0.5] * 5], "command": [[1.0] * 2]})[0].tolist())
"""


def test_loading_needs_no_flax(exported):
    model, variables, path = exported
    forbidden = "bad = {'flax', 'onnx', 'optax', 'distrax'} & set(sys.modules); assert not bad, bad\n"
    arguments = [sys.executable, "-c", LOAD + forbidden, str(path)]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    observations = {"policy": jnp.full((1, 5), 0.5), "command": jnp.ones((1, 2))}
    expected = actions_of(model, variables, observations)
    np.testing.assert_allclose(json.loads(output), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [GRULike, TwoLayerLSTM])
def test_memory_and_images_inside_a_compiled_loop(kind, tmp_path):
    model = deployable(kind, policy=(3,), camera=(1, 4, 4))
    variables = variables_of(model)
    policy = load_jax(export_jax(model, variables, tmp_path / "policy"))
    observations = [observations_of(model, 2, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *steps: jnp.stack(steps), *observations)

    def step(carry, seen):
        actions, carry = policy(seen, carry)
        return carry, actions

    _, actions = jax.jit(lambda carry: jax.lax.scan(step, carry, stacked))(policy.initial_carry(2))
    carry = model.initial_carry(2)
    for seen, got in zip(observations, actions, strict=True):
        expected, carry = model.apply(variables, seen, carry, method="mode")
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.usefixtures("x64_everywhere")
def test_float64_parameters_and_x64(tmp_path):
    model = mlp_model(obs_normalization=True)
    variables = variables_of(model)
    assert jax.tree.leaves(variables["params"])[0].dtype == np.float64
    policy = load_jax(export_jax(model, variables, tmp_path / "policy"))
    observations = observations_of(model, 3)
    actions, _ = policy(observations)
    expected = actions_of(model, variables, observations)
    assert actions.dtype == np.float32
    assert jnp.zeros(()).dtype == np.float64
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))


def test_artefact_that_differs_is_refused_and_writes_nothing(tmp_path, monkeypatch):
    wrong = variables_of(mlp_model(), seed=7)
    right = stablehlo_export.serialize

    def serialize(policy, platforms):
        from rsl_jax.export import plain_policy

        del policy
        return right(plain_policy(mlp_model(), wrong), platforms)

    monkeypatch.setattr(stablehlo_export, "serialize", serialize)
    with pytest.raises(ExportError, match="refused and nothing was written: at batch size 1, the jax artefact gives"):
        export_jax(mlp_model(), variables_of(mlp_model()), tmp_path / "new" / "policy")
    assert not list(tmp_path.iterdir())


# --- bad input --------------------------------------------------------------------------------------------------------


def test_wrong_observations_are_named(exported):
    policy = load_jax(exported[2])
    with pytest.raises(ValueError, match=r"observes \['policy', 'command'\]; missing \['command'\], got \['policy'\]"):
        policy({"policy": np.zeros((1, 5))})
    with pytest.raises(ValueError, match=r"'obs' has the shape \['batch', 7\]; got \[7\]"):
        policy(np.zeros(7))


def test_forgotten_memory_says_where_to_get_it(tmp_path):
    model = deployable(GRULike, policy=(3,))
    policy = load_jax(export_jax(model, variables_of(model), tmp_path / "policy"))
    with pytest.raises(ValueError, match=r"takes \['obs', 'h_in'\]; got 1 arrays.*initial_carry"):
        policy(np.zeros((1, 3)))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "policy.pt").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not a policy that export_jax wrote"):
        load_jax(tmp_path / "policy.pt")


def test_images_alone(tmp_path):
    model = deployable(Deployable, camera=(1, 4, 4))
    variables = variables_of(model)
    observations = observations_of(model, 2)
    expected = actions_of(model, variables, observations)
    actions, _ = load_jax(export_jax(model, variables, tmp_path / "policy"))(observations)
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


def rewritten(path, folder, *, compression=zipfile.ZIP_STORED, **members):
    """A copy of an artefact with other members, by their names without endings; their checksums are right."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content |= {name: members[name.partition(".")[0]] for name in content if name.partition(".")[0] in members}
    copy = folder / "policy.jax"
    with zipfile.ZipFile(copy, "w", compression) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return copy


def test_damage_is_named_before_anything_is_run(exported, tmp_path):
    content = exported[2].read_bytes()
    metadata = load_jax(exported[2]).metadata

    def of(**changes):
        return rewritten(exported[2], tmp_path, metadata=json.dumps({**metadata, **changes}).encode())

    def flipped(place):
        damaged = bytearray(content)
        damaged[place] ^= 4
        (tmp_path / "policy.jax").write_bytes(damaged)
        return tmp_path / "policy.jax"

    def cut():
        (tmp_path / "policy.jax").write_bytes(content[: len(content) // 2])
        return tmp_path / "policy.jax"

    cases = {
        "not a zip file": cut,
        "Bad CRC-32 for file 'policy.bin'": lambda: flipped(1000),
        "cannot read its policy.bin, of JAX": lambda: rewritten(exported[2], tmp_path, policy=b"\0" * 64),
        "metadata.json is not JSON": lambda: rewritten(exported[2], tmp_path, metadata=b"{"),
        "does not consist of keys and values": lambda: rewritten(exported[2], tmp_path, metadata=b"[]"),
        "policy.bin is compressed": lambda: rewritten(exported[2], tmp_path, compression=zipfile.ZIP_DEFLATED),
        "input_names are the 1 inputs": lambda: of(input_names=["obs", "more"]),
        "output_names are its 1 outputs": lambda: of(output_names="actions"),
        "input_shapes are lists of sizes": lambda: of(input_shapes={"obs": "many"}),
        "observation_groups are names": lambda: of(observation_groups=None),
    }
    for says, damage in cases.items():
        with pytest.raises(ValueError, match=says):
            load_jax(damage())


def test_a_program_may_call_no_native_functions_but_those_that_are_named(exported, tmp_path):
    def function(x):
        return (jax.ffi.ffi_call("os_system", jax.ShapeDtypeStruct(x.shape, x.dtype))(x),)

    unchecked = [jax.export.DisabledSafetyCheck.custom_call("os_system")]
    program = jax.export.export(jax.jit(function), disabled_checks=unchecked)(jax.ShapeDtypeStruct((2, 7), jnp.float32))
    path = rewritten(exported[2], tmp_path, policy=bytes(program.serialize()))
    with pytest.raises(ValueError, match=r"calls native functions .*: os_system"):
        load_jax(path)
    assert load_jax(path, custom_calls=["os_system"]).metadata["action_size"] == ACTIONS  # loaded, and not run
