"""Loading of policies from checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax

from rsl_jax.algorithms.loading import restore_state
from rsl_jax.checkpoint import Checkpoint, read_checkpoint
from rsl_jax.extensions import to_act
from rsl_jax.training.train import build_algorithm
from rsl_jax.trees import restore
from rsl_jax.trusted import reading_run
from rsl_jax.types import Algorithm, Spec, TrainState


def load_policy(path: Path, spec: Spec | None = None) -> tuple[Algorithm, TrainState]:
    """Load the algorithm of a checkpoint and its state.

    Args:
        path: the checkpoint.
        spec: the environment to act in; that of the training if None.

    Raises:
        ValueError: if the policy does not fit the environment; lists the differences.
        UntrustedNameError: if the checkpoint's config names components that it may not.
    """
    checkpoint = read_checkpoint(path)
    run = checkpoint.run
    # Acting needs no extensions, which may depend on the training: an environment, a function of the user.
    with reading_run(path / "metadata"):
        cfg = dataclasses.replace(run, config=to_act(run.config)).cfg
    algorithm = build_algorithm(cfg, spec or dataclasses.replace(run.spec, num_envs=1))
    check_sizes(algorithm, checkpoint)
    template = algorithm.init(jax.random.key(0))
    return algorithm, restore_state(template, {**checkpoint.state, "extensions": {}, "memory": {}})


def check_sizes(algorithm: Algorithm, checkpoint: Checkpoint) -> None:
    """Compare the networks of a config with the saved ones, before any array is allocated.

    Raises:
        ValueError: if they differ; lists the differences.
    """
    wanted = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    restore({"params": wanted}, {"params": checkpoint.state.get("params", {})})
