"""rsl-rl-lib and rsl_jax build the same from the same dict, and rsl-rl-lib builds migrated configs with equal sizes."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np
import pytest

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.migration import migrate
from rsl_jax.training.train import build_algorithm
from rsl_jax.types import Spec
from tests.core.old_configs import OBSERVATIONS, OF_CLIENTS, OLD, TODAY

from .oracle import require_oracle

require_oracle()

from rsl_rl.algorithms import PPO, Distillation  # noqa: E402 (needs what the line above looks for)

from .reference import SyntheticEnv, construct  # noqa: E402

NUM_ACTIONS, NUM_ENVS = 3, 8


def theirs(cfg: dict[str, Any]) -> Any:
    """The reference's algorithm for a config."""
    kind = Distillation if "student" in cfg else PPO
    return construct(kind, {"obs_groups": {}, **cfg}, SyntheticEnv(NUM_ENVS, NUM_ACTIONS, OBSERVATIONS))


def sizes_of_theirs(algorithm: Any) -> dict[str, int]:
    """How many numbers each model learns."""
    names = ("student", "teacher") if hasattr(algorithm, "student") else ("actor", "critic")
    return {name: sum(p.numel() for p in getattr(algorithm, name).parameters()) for name in names}


def sizes_of_ours(cfg: dict[str, Any]) -> dict[str, int]:
    """The same of ours, without computing any of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        algorithm = build_algorithm(
            BaseRunnerConfig.from_dict(cfg),
            Spec(OBSERVATIONS, num_actions=NUM_ACTIONS, num_envs=NUM_ENVS, step_dt=0.02),
        )
        params = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    return {name: sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(model)) for name, model in params.items()}


@pytest.mark.parametrize("name", TODAY)
def test_todays_configs_are_built_by_both(name: str) -> None:
    reference = sizes_of_theirs(theirs(TODAY[name]))
    ours = sizes_of_ours(TODAY[name])
    if TODAY[name]["algorithm"].get("share_cnn_encoders"):
        assert sum(ours.values()) < sum(reference.values())  # encoders that are shared are counted once here
    elif "distribution_cfg" in TODAY[name].get("critic", {}):  # its deviation has no gradient there, and is left out
        assert ours == {**reference, "critic": reference["critic"] - bool(TODAY[name]["critic"]["distribution_cfg"])}
    else:
        assert ours == reference


@pytest.mark.parametrize("cfg", [*OLD.values(), *OF_CLIENTS.values()], ids=[*OLD, *OF_CLIENTS])
def test_what_is_migrated_is_built_by_both(cfg: dict[str, Any]) -> None:
    migrated, _ = migrate(cfg)
    assert sizes_of_ours(cfg) == sizes_of_theirs(theirs(migrated))
