"""From a checkpoint to something that acts."""

from __future__ import annotations

from pathlib import Path

import jax

from rsl_jax.algorithms.loading import restore_state
from rsl_jax.checkpoint import read_checkpoint
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
    run = checkpoint.run
    # Acting needs no extension, which may need what only the training had: an environment, a function of the user's.
    algorithm = build_algorithm(without_extensions(run.cfg), spec or run.spec)
    template = algorithm.init(jax.random.key(0))
    return algorithm, restore_state(template, {**checkpoint.state, "extensions": {}, "memory": {}})
