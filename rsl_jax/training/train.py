"""A whole training run as one pure function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from rsl_jax.algorithms import ALGORITHMS
from rsl_jax.config import RunnerConfig, structural_fields
from rsl_jax.env.base import Env
from rsl_jax.registry import nearest, resolve_callable
from rsl_jax.training.iteration import init_states, make_iteration, spec_of
from rsl_jax.types import Algorithm, Key, Metrics, Spec, TrainState


def make_train(
    env: Env, cfg: RunnerConfig | Mapping[str, Any], num_iterations: int
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Make a training run that can be compiled and vectorised.

    ``jax.jit(train)(key)`` is one program; ``jax.vmap(train)(keys)`` trains many seeds at once, and
    ``jax.vmap(lambda rate: train(key, learning_rate=rate))(rates)`` many settings.

    Args:
        env: a pure environment.
        cfg: the config, or RSL-RL's dict of it.
        num_iterations: how long to train.

    Returns:
        ``train(key, **overrides) -> (state, metrics)``. Overrides are floats of the ``algorithm`` section and may be
        traced. Metrics carry the log's tags, one row an iteration: each ``[num_iterations]``.

    Raises:
        TypeError: if the environment is not pure.
    """
    if not isinstance(env, Env):
        raise TypeError(
            f"make_train compiles the environment into the run, so it needs a rsl_jax.env.Env; got "
            f"{type(env).__name__}. An "
            "environment outside JAX (a VecEnv) is trained by rsl_jax.runners.OnPolicyRunner."
        )
    cfg = RunnerConfig.from_dict(cfg)
    spec = spec_of(env)
    build_algorithm(cfg, spec)  # what does not fit together is refused here, before anything is traced

    def train(key: Key, **overrides: Any) -> tuple[TrainState, Metrics]:
        algorithm = build_algorithm(override(cfg, overrides), spec)
        iteration = make_iteration(algorithm, env, num_steps=cfg.num_steps_per_env, check_for_nan=cfg.check_for_nan)

        def scanned(states: tuple, _: None) -> tuple[tuple, Metrics]:
            state, loop, metrics = iteration(*states)
            return (state, loop), metrics

        (state, _), metrics = jax.lax.scan(scanned, init_states(algorithm, env, key), None, num_iterations)
        return state, metrics

    return train


def build_algorithm(cfg: RunnerConfig, spec: Spec, *, axis_name: str | None = None) -> Algorithm:
    """The algorithm that a config names."""
    return resolve_callable(cfg.algorithm.class_name, ALGORITHMS, "algorithm")(cfg, spec, axis_name=axis_name)


def override(cfg: RunnerConfig, overrides: Mapping[str, Any]) -> RunnerConfig:
    """The config with other floats in its ``algorithm`` section.

    Raises:
        ValueError: for a name that is no such float.
    """
    fixed = structural_fields(cfg.algorithm)
    allowed = sorted({field.name for field in dataclasses.fields(cfg.algorithm)} - fixed)
    for name in overrides:
        if name not in allowed:
            reason = "shapes the program, so it belongs into the config" if name in fixed else "is not known"
            raise ValueError(
                f"train() cannot override '{name}': it {reason}. Allowed: {', '.join(allowed)}.{nearest(name, allowed)}"
            )
    return dataclasses.replace(cfg, algorithm=dataclasses.replace(cfg.algorithm, **overrides))
