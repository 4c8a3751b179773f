"""Checks of a runner before it trains."""

from __future__ import annotations

from collections.abc import Collection

from rsl_jax.config import BaseRunnerConfig, DistillationRunnerConfig
from rsl_jax.config.runner import models_of
from rsl_jax.types import Algorithm


def refuse_other_kind(cfg: BaseRunnerConfig, expected: type[BaseRunnerConfig], runner: str) -> None:
    """Reject a config that another runner trains.

    Raises:
        ValueError: if it is one; names the runner to use.
    """
    if not isinstance(cfg, expected):
        models = " and ".join(f"'{name}'" for name in models_of(type(cfg)))
        other = "DistillationRunner" if isinstance(cfg, DistillationRunnerConfig) else "OnPolicyRunner"
        raise ValueError(
            f"This is a config with the models {models} (algorithm {cfg.algorithm.class_name}), which {runner} does "
            f"not train; use {other}."
        )


def refuse_without_models(algorithm: Algorithm, loaded: Collection[str]) -> None:
    """Reject learning before the models that do not learn here have been loaded.

    Raises:
        ValueError: if one is missing; says how to load it.
    """
    for name in algorithm.given:
        if name not in loaded:
            theirs = " or ".join(f"an '{model}'" for model, ours in algorithm.adopts.items() if ours == name)
            raise ValueError(
                f"There is no {name} yet, only an untrained one. Load one first: runner.load(PATH) takes it "
                f"from a checkpoint with {theirs} (PPO's), or continues from one that has a '{name}'."
            )
