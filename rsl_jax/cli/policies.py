"""From a checkpoint to something that acts."""

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
    """The algorithm of a checkpoint and its state.

    Args:
        path: the checkpoint.
        spec: the environment to act in; that of the training if None.

    Raises:
        ValueError: if the policy does not fit the environment; lists what differs.
        UntrustedNameError: if the checkpoint's config names parts that it may not.
    """
    checkpoint = read_checkpoint(path)
    run = checkpoint.run
    # Acting needs no extension, which may need what only the training had: an environment, a function of the user's.
    with reading_run(path / "metadata"):
        cfg = dataclasses.replace(run, config=to_act(run.config)).cfg
    algorithm = build_algorithm(cfg, spec or dataclasses.replace(run.spec, num_envs=1))
    check_sizes(algorithm, checkpoint)
    template = algorithm.init(jax.random.key(0))
    return algorithm, restore_state(template, {**checkpoint.state, "extensions": {}, "memory": {}})


def check_sizes(algorithm: Algorithm, checkpoint: Checkpoint) -> None:
    """Compare the networks that a config describes with those that were saved, before anything of their size is made.

    Raises:
        ValueError: if they are not the same; lists what differs.
    """
    wanted = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    restore({"params": wanted}, {"params": checkpoint.state.get("params", {})})
