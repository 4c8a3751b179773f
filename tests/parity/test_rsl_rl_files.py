"""RSL-RL's checkpoint files: each library continues from the other's, and both learn the same."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.interop import read_rsl_rl_checkpoint, write_rsl_rl_checkpoint
from rsl_jax.types import TrainState

from .cases import CASES, NUM_ACTIONS, NUM_ENVS, Case
from .checks import assert_agreement
from .comparison import (
    AS_USERS,
    TOLERANCES,
    TRACED,
    UNOPTIMIZED,
    Arrays,
    Replay,
    build,
    compiled_iteration,
    is_optimized,
    our_rollout,
    section,
    structure_of,
    with_moments,
)
from .distillation import cases as distillation_cases
from .distillation import comparison as distillation_comparison
from .oracle import require_oracle

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)
from rsl_rl.algorithms import PPO, Distillation  # noqa: E402

from .distillation import reference as distillation_reference  # noqa: E402
from .reference import (  # noqa: E402
    MODELS,
    SyntheticEnv,
    build_ppo,
    construct,
    default_dtype,
    learning_parameters,
    prefixed,
    record_iteration,
    state_dicts,
    to_array,
)

INFOS = {"env_state": {"common_step_counter": 7}, "names": ["hip", "knee"], "tensor": torch.arange(3)}
ITERATION = 0
"""What RSL-RL's runner counts the one iteration as that it has finished."""


def environment(case: Case) -> SyntheticEnv:
    return SyntheticEnv(NUM_ENVS, NUM_ACTIONS, case.observation_shapes)


def empty(algorithm: Any) -> TrainState:
    """A state in which nothing that RSL-RL saves has its value yet."""
    state = jax.tree.map(lambda x: jnp.full(x.shape, 77, x.dtype), jax.eval_shape(algorithm.init, jax.random.key(0)))
    if "rnd" not in state.extensions:
        return state
    rnd = dataclasses.replace(state.extensions["rnd"], steps=jnp.zeros((), jnp.int32))
    return dataclasses.replace(
        state, extensions={**state.extensions, "rnd": rnd}, memory=algorithm.extension.init_memory()
    )


def there_and_back(saved: dict[str, Any], algorithm: Any, cfg: BaseRunnerConfig, folder: Path) -> TrainState:
    """Through RSL-RL's file into our state, and out of it into another file."""
    torch.save({**saved, "iter": ITERATION, "infos": INFOS}, folder / "theirs.pt")
    loaded = read_rsl_rl_checkpoint(folder / "theirs.pt", empty(algorithm), cfg=cfg)
    assert loaded.iteration == ITERATION
    write_rsl_rl_checkpoint(folder / "ours.pt", loaded.state, cfg, iteration=ITERATION, infos=loaded.infos)
    return loaded.state


def assert_same_file(folder: Path) -> None:
    """The two files hold the same, in the same order, tensor by tensor."""
    theirs, ours = (torch.load(folder / f"{name}.pt", weights_only=True) for name in ("theirs", "ours"))
    assert list(ours) == list(theirs)
    assert_same(ours, theirs, "")


def assert_same(ours: Any, theirs: Any, what: str) -> None:
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), what
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{what}/{key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), what
        for index, value in enumerate(theirs):
            assert_same(ours[index], value, f"{what}/{index}")
    elif isinstance(theirs, torch.Tensor):
        assert ours.dtype == theirs.dtype, what
        if not what.endswith("num_batches_tracked"):  # counted by PyTorch, and used for nothing
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, msg=lambda text: f"{what}: {text}")
    elif what.endswith("/lr"):
        assert ours == pytest.approx(theirs, rel=1e-7), what
    else:
        assert ours == theirs, what


def assert_same_optimizer(ours: dict[str, Any], theirs: dict[str, Any], dtype: str) -> None:
    """After one more update: the same moments, but for rounding."""
    assert ours["state"].keys() == theirs["state"].keys()
    for index, state in theirs["state"].items():
        for key, value in state.items():
            distance = torch.linalg.vector_norm(ours["state"][index][key] - value)
            limit = TOLERANCES[dtype] * torch.linalg.vector_norm(value)
            assert distance <= limit, f"{key} of parameter {index}: apart by {distance}, allowed are {limit}"


SEEDS = {"symmetry_both_rnd_normalized": 2}
"""Another rollout, where a gradient of the first one cancels down to the rounding of float32."""

PPO_CASES = (
    "adaptive_adam",
    "rmsprop_normalized_asymmetric",
    "adaptive_log_std_normalized",
    "adamw_advantage_per_mini_batch",
    "fixed_sgd_unclipped_value",
    "fixed_std_remainder_dropped",
    "heteroscedastic",
    "beta",
    "gru",
    "lstm_two_layers_normalized",
    "cnn_batch_norm",
    "cnn_shared_encoders",
    "cnn_encoder_by_group",
    "symmetry_both_rnd_normalized",
    "symmetry_logged_rnd_reward_normalized",
)


IN_FLOAT32 = ("adaptive_adam", "rmsprop_normalized_asymmetric", "gru", "cnn_shared_encoders")
"""Those that are also tried in float32: compiling all of them in both takes minutes."""


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "float64") for name in PPO_CASES), *((name, "float32") for name in IN_FLOAT32)],
    indirect=["dtype"],
)
def test_ppo_goes_on_from_either_file(name: str, dtype: str, tmp_path: Path) -> None:
    case = dataclasses.replace(CASES[name], seed=SEEDS.get(name, 0))
    generator = np.random.default_rng(case.seed)
    with default_dtype(dtype):
        torch.manual_seed(case.seed)
        trained = build_ppo(case.train_cfg, environment(case))
        record_iteration(trained, case, generator)
        trained.optimizer.param_groups[0]["params"] = all_parameters(trained)  # as RSL-RL lists them
        ours, cfg = build(case), BaseRunnerConfig.from_dict(case.train_cfg)
        state = there_and_back(trained.save(), ours, cfg, tmp_path)
        assert_same_file(tmp_path)

        again = construct(PPO, case.train_cfg, environment(case))
        assert again.load(torch.load(tmp_path / "ours.pt", weights_only=True), None, strict=True)
        group = again.optimizer.param_groups[0]
        group["params"] = list(dict.fromkeys(group["params"]))  # see build_ppo
        recorded = prefixed("initial", state_dicts(again))
        recorded |= {f"order/{model}": np.array(list(learning_parameters(again, model))) for model in MODELS}
        recorded |= prefixed("rollout_0", record_iteration(again, case, generator))
        replayed = next_iteration(case, state, section(recorded, "rollout_0"))
        assert_agreement(case, recorded, dtype, [replayed])

        group["params"] = all_parameters(again)
        write_rsl_rl_checkpoint(tmp_path / "next.pt", replayed.state, cfg, iteration=ITERATION + 1)
        updated = torch.load(tmp_path / "next.pt", weights_only=True)
        assert_same_optimizer(updated["optimizer_state_dict"], again.optimizer.state_dict(), dtype)


def all_parameters(algorithm: Any) -> list[torch.nn.Parameter]:
    """Those of RSL-RL's optimiser, in which what both models share stands twice."""
    return [*algorithm.actor.parameters(), *algorithm.critic.parameters()]


def next_iteration(case: Case, state: TrainState, rollout: Arrays) -> Replay:
    """Our update from a state that was loaded, on a rollout of the reference."""
    numbers = {name: jnp.asarray(case.train_cfg["algorithm"][name]) for name in TRACED}
    iteration = compiled_iteration(structure_of(case), is_optimized(case))
    permutation = jnp.asarray(rollout.get("permutation", np.arange(0)))
    state = with_moments(state, section(rollout, "moments_before"))
    carry = build(case).initial_carry(NUM_ENVS)
    return jax.tree.map(np.asarray, iteration(numbers, state, our_rollout(rollout, carry), permutation))


@pytest.mark.filterwarnings("ignore:gradient_length", "ignore:The product of 'num_learning_epochs'")
@pytest.mark.parametrize("name", ["mlp_two_epochs", "lstm_two_layers_adamw_remainder", "cnn"])
def test_distillation_goes_on_from_either_file(name: str, dtype: str, tmp_path: Path) -> None:
    case = distillation_cases.CASES[name]
    generator = np.random.default_rng(case.seed)
    with default_dtype(dtype):
        torch.manual_seed(case.seed)
        trained = distillation_reference.build_reference(case.train_cfg, environment(case))
        distillation_reference.record_iteration(trained, case, generator)
        ours, cfg = distillation_comparison.build(case), BaseRunnerConfig.from_dict(case.train_cfg)
        state = there_and_back(trained.save(), ours, cfg, tmp_path)
        assert_same_file(tmp_path)

        again = construct(Distillation, case.train_cfg, environment(case))
        assert again.load(torch.load(tmp_path / "ours.pt", weights_only=True), None, strict=True)
        recorded = {
            f"initial/{model}/{key}": to_array(value)
            for model in distillation_reference.MODELS
            for key, value in getattr(again, model).state_dict().items()
        }
        names = [name for name, _ in again.student.named_parameters()]
        recorded["order/all"] = np.array(names)
        recorded["order/student"] = np.array([name for name in names if not name.startswith("distribution")])
        rollout = distillation_reference.record_iteration(again, case, generator)
        inputs = distillation_comparison.our_rollout(rollout, ours.initial_carry(NUM_ENVS))
        options = AS_USERS if dtype == "float32" else UNOPTIMIZED
        iteration = jax.jit(functools.partial(distillation_comparison.replay_iteration, ours), compiler_options=options)
        replayed = jax.tree.map(np.asarray, iteration(state, inputs))
        recorded |= prefixed("rollout_0", rollout)
        distillation_comparison.assert_agreement(recorded, dtype, [replayed])
