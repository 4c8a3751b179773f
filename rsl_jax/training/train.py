"""A whole training run as one pure function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from rsl_jax.algorithms import ALGORITHMS
from rsl_jax.algorithms.variables import with_variables
from rsl_jax.config import BaseRunnerConfig, structural_fields
from rsl_jax.env.base import Env
from rsl_jax.registry import nearest, resolve_callable
from rsl_jax.training.iteration import init_states, make_iteration, spec_of
from rsl_jax.types import Algorithm, Key, Metrics, Spec, TrainState

NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def make_train(
    env: Env, cfg: BaseRunnerConfig | Mapping[str, Any], num_iterations: int
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Make a training run that can be compiled and vectorised.

    ``jax.jit(train)(key)`` is one program; ``jax.vmap(train)(keys)`` trains many seeds at once, and
    ``jax.vmap(lambda rate: train(key, learning_rate=rate))(rates)`` many settings.

    Args:
        env: a pure environment.
        cfg: the config, or RSL-RL's dict of it.
        num_iterations: how long to train.

    Returns:
        ``train(key, start={}, **overrides) -> (state, metrics)``. Overrides are floats of the ``algorithm`` section.
        ``start`` are variables of models, by name, in place of drawn ones, as :func:`rsl_jax.training.variables_of`
        takes them from a state: ``{"teacher": variables_of(state, "actor")}``. All may be traced. Metrics carry the
        log's tags, one row an iteration: each ``[num_iterations]``.

    Raises:
        TypeError: if the environment is not pure.
    """
    if not isinstance(env, Env):
        raise TypeError(
            f"make_train compiles the environment into the run, so it needs a rsl_jax.env.Env; got "
            f"{type(env).__name__}. An "
            "environment outside JAX (a VecEnv) is trained by rsl_jax.runners.OnPolicyRunner."
        )
    cfg = BaseRunnerConfig.from_dict(cfg)
    spec = spec_of(env)
    build_algorithm(cfg, spec)  # what does not fit together is refused here, before anything is traced

    def train(
        key: Key, start: Mapping[str, Mapping[str, Any]] = NOTHING, **overrides: Any
    ) -> tuple[TrainState, Metrics]:
        algorithm = build_algorithm(override(cfg, overrides), spec)
        refuse_missing_models(algorithm, start)
        iteration = make_iteration(algorithm, env, num_steps=cfg.num_steps_per_env, check_for_nan=cfg.check_for_nan)

        def scanned(states: tuple, _: None) -> tuple[tuple, Metrics]:
            state, loop, metrics = iteration(*states)
            return (state, loop), metrics

        state, loop = init_states(algorithm, env, key)
        for name, variables in start.items():
            state = with_variables(state, name, variables)
        (state, _), metrics = jax.lax.scan(scanned, (state, loop), None, num_iterations)
        return state, metrics

    return train


def build_algorithm(cfg: BaseRunnerConfig, spec: Spec, *, axis_name: str | None = None) -> Algorithm:
    """The algorithm that a config names."""
    return resolve_callable(cfg.algorithm.class_name, ALGORITHMS, "algorithm")(cfg, spec, axis_name=axis_name)


def refuse_missing_models(algorithm: Algorithm, start: Mapping[str, Any]) -> None:
    """Refuse to start without the variables of a model that does not learn here.

    Raises:
        ValueError: says how to give them.
    """
    for name in algorithm.given:
        if name not in start:
            raise ValueError(
                f"train() needs the {name}'s variables, because the {name} does not learn here: train(key, "
                f"start={{'{name}': variables}}), for example those of a PPO run, rsl_jax.training.variables_of(state, "
                "'actor')."
            )


def override(cfg: BaseRunnerConfig, overrides: Mapping[str, Any]) -> BaseRunnerConfig:
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
