"""RSL-RL's state dicts and checkpoints as our training states."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.interop import params_from_state_dict, train_state_from_checkpoint
from rsl_jax.types import TrainState

from .cases import CASES, NUM_ACTIONS, NUM_ENVS, Case
from .comparison import Arrays, assert_close, build, load, section
from .oracle import require_oracle

NORMALIZED = "adaptive_log_std_normalized"


@pytest.fixture(scope="module")
def recorded() -> Arrays:
    return load(NORMALIZED, "float32")


@pytest.fixture(scope="module")
def state() -> TrainState:
    return build(CASES[NORMALIZED]).init(jax.random.key(0))


@pytest.fixture
def actor(state: TrainState) -> dict:
    return {"params": state.params["actor"], **state.statistics["actor"]}


@pytest.fixture
def state_dict(recorded: Arrays) -> Arrays:
    return section(recorded, "initial/actor")


def test_layers_are_transposed_and_moments_lose_their_batch_axis(actor: dict, state_dict: Arrays) -> None:
    state_dict["obs_normalizer._mean"] = np.arange(5.0)[None]
    variables = params_from_state_dict(state_dict, actor)
    chex.assert_trees_all_equal_shapes_and_dtypes(variables, actor)
    kernel = variables["params"]["mlp"]["layer_1"]["kernel"]
    np.testing.assert_array_equal(kernel, state_dict["mlp.2.weight"].T)
    np.testing.assert_array_equal(variables["normalizer"]["obs"].mean, np.arange(5.0))
    assert variables["normalizer"]["obs"].mean.dtype == actor["normalizer"]["obs"].mean.dtype


def test_missing_and_superfluous_arrays_are_named(actor: dict, state_dict: Arrays) -> None:
    del state_dict["mlp.2.bias"]
    state_dict["mlp.6.bias"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"no place for 'mlp\.6\.bias'.*not have 'params/mlp/layer_1/bias'"):
        params_from_state_dict(state_dict, actor)


def test_unknown_names_are_named(actor: dict, state_dict: Arrays) -> None:
    with pytest.raises(ValueError, match=r"no place for 'rnn\.weight_ih_l0'"):
        params_from_state_dict({**state_dict, "rnn.weight_ih_l0": np.zeros(3)}, actor)


def test_another_size_is_refused(actor: dict, state_dict: Arrays) -> None:
    state_dict["mlp.0.weight"] = np.zeros((16, 6))
    with pytest.raises(ValueError, match=r"'mlp\.0\.weight'.*\(6, 16\).*\(5, 16\)"):
        params_from_state_dict(state_dict, actor)


def test_a_standard_deviation_is_not_taken_for_its_logarithm(actor: dict, state_dict: Arrays) -> None:
    state_dict["distribution.std_param"] = state_dict.pop("distribution.log_std_param")
    with pytest.raises(ValueError, match=r"no place for 'distribution\.std_param'"):
        params_from_state_dict(state_dict, actor)


def test_checkpoint_without_a_model_is_refused(state: TrainState) -> None:
    with pytest.raises(ValueError, match=r"no 'actor_state_dict', only 'model_state_dict'"):
        train_state_from_checkpoint({"model_state_dict": {}}, state)


def test_error_in_a_checkpoint_names_the_model(state: TrainState, recorded: Arrays) -> None:
    checkpoint = {"actor_state_dict": section(recorded, "initial/actor"), "critic_state_dict": {}}
    with pytest.raises(ValueError, match="critic_state_dict: This state dict does not fit"):
        train_state_from_checkpoint(checkpoint, state)


@pytest.mark.parametrize(
    "name",
    [
        NORMALIZED,
        "rmsprop_normalized_asymmetric",
        "fixed_std_remainder_dropped",
        "cnn_batch_norm",
        "cnn_shared_encoders",
    ],
)
def test_a_checkpoint_acts_as_it_did_in_rsl_rl(name: str, tmp_path: Path) -> None:
    require_oracle()
    import torch
    from tensordict import TensorDict

    case = dataclasses.replace(CASES[name], seed=3)
    expected = train_and_save(case, tmp_path / "model_7.pt")
    checkpoint = torch.load(tmp_path / "model_7.pt", weights_only=True)
    ppo = build(case)
    state = train_state_from_checkpoint(checkpoint, ppo.init(jax.random.key(1)))

    generator = np.random.default_rng(0)
    shapes = case.observation_shapes
    observations = {key: generator.normal(size=(NUM_ENVS, *shape)).astype(np.float32) for key, shape in shapes.items()}
    with torch.inference_mode():
        batch = TensorDict({key: torch.as_tensor(array) for key, array in observations.items()}, NUM_ENVS)
        expected.eval_mode()
        actions = expected.actor(batch).numpy()
    ours, _ = jax.jit(ppo.policy)(state, (), {key: jnp.asarray(array) for key, array in observations.items()})
    assert_close(ours, actions, "float32", "deterministic actions")
    assert int(state.iteration) == 7
    assert float(state.learning_rate) == pytest.approx(expected.learning_rate)


def test_encoders_of_the_critics_own_are_not_taken_for_shared_ones() -> None:
    recorded = load("cnn_shared_encoders", "float32")
    checkpoint = {f"{name}_state_dict": section(recorded, f"initial/{name}") for name in ("actor", "critic")}
    checkpoint["critic_state_dict"]["cnns.camera.0.bias"] = np.ones(3, np.float32)
    state = build(CASES["cnn_shared_encoders"]).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"critic_state_dict: .*no place for 'cnns\.camera\.0\.bias'"):
        train_state_from_checkpoint(checkpoint, state)


@pytest.mark.filterwarnings("ignore:symmetry_cfg switches on neither")
def test_curiosity_goes_on_as_it_was_in_rsl_rl(tmp_path: Path) -> None:
    require_oracle()
    import torch
    from tensordict import TensorDict

    case = CASES["symmetry_both_rnd_normalized"]
    expected = train_and_save(case, tmp_path / "model_7.pt")
    checkpoint = torch.load(tmp_path / "model_7.pt", weights_only=True)
    ppo = build(case)
    fresh = ppo.init(jax.random.key(1))
    state = train_state_from_checkpoint(checkpoint, fresh)

    generator = np.random.default_rng(0)
    observations = {
        key: generator.normal(size=(NUM_ENVS, *shape)).astype(np.float32)
        for key, shape in case.observation_shapes.items()
    }
    with torch.inference_mode():
        batch = TensorDict({key: torch.as_tensor(array) for key, array in observations.items()}, NUM_ENVS)
        loss = expected.rnd.compute_loss(batch).numpy()
    _, losses = jax.jit(ppo.extension.optimize)(state.extensions, {k: jnp.asarray(x) for k, x in observations.items()})
    assert_close(losses["rnd"], loss, "float32", "what the predictor does not know")
    moments = state.extensions["rnd"].normalizers["reward"]
    assert_close(moments.var, expected.rnd.reward_normalizer.emp_norm._var.numpy()[0], "float32", "of the rewards")

    del checkpoint["rnd_state_dict"]
    kept = train_state_from_checkpoint(checkpoint, fresh).extensions["rnd"]
    np.testing.assert_array_equal(
        kept.predictor["layer_0"]["kernel"], fresh.extensions["rnd"].predictor["layer_0"]["kernel"]
    )
    checkpoint["rnd_state_dict"] = {"predictor.0.weight": np.zeros((8, 8))}
    with pytest.raises(ValueError, match=r"rnd_state_dict: "):
        train_state_from_checkpoint(checkpoint, fresh)


def train_and_save(case: Case, path: Path):
    """The reference's PPO after an update, saved as its runner saves it."""
    import torch

    from .reference import SyntheticEnv, build_ppo, record_iteration

    torch.manual_seed(case.seed)
    ppo = build_ppo(case.train_cfg, SyntheticEnv(NUM_ENVS, NUM_ACTIONS, case.observation_shapes))
    record_iteration(ppo, case, np.random.default_rng(case.seed))
    torch.save({**ppo.save(), "iter": 7, "infos": None}, path)
    return ppo
