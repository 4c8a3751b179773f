"""From a checkpoint to something that acts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from rsl_jax.checkpoint import read_checkpoint, restore_state
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.extensions import without_extensions
from rsl_jax.training.train import build_algorithm
from rsl_jax.types import Algorithm, Spec, TrainState


def load_policy(path: Path, spec: Spec | None = None) -> tuple[Algorithm, TrainState]:
    """The algorithm of a checkpoint and its state.

    Args:
        path: the checkpoint.
        spec: the environment to act in; that of the training if None.

    Raises:
        ValueError: if the policy does not fit the environment; lists what differs.
    """
    checkpoint = read_checkpoint(path)
    # Acting needs no extension, which may need what only the training had: an environment, a function of the user's.
    cfg = without_extensions(BaseRunnerConfig.from_dict(checkpoint.metadata["config"]))
    algorithm = build_algorithm(cfg, spec or _spec(checkpoint.metadata["environment"]))
    template = algorithm.init(jax.random.key(0))
    return algorithm, restore_state(template, {**checkpoint.state, "extensions": {}, "memory": {}})


def _spec(environment: Mapping[str, Any]) -> Spec:
    return Spec(
        observations={name: tuple(shape) for name, shape in environment["observations"].items()},
        num_actions=environment["num_actions"],
        num_envs=environment["num_envs"],
        step_dt=environment["step_dt"],
        discrete=environment["discrete"],
    )
