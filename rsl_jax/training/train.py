"""A whole training run as one pure function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from rsl_jax.algorithms.loading import with_variables
from rsl_jax.config import BaseRunnerConfig, all_arguments_of, build_part, structural_fields, with_arguments
from rsl_jax.config.keys import LARGEST_INT
from rsl_jax.env.base import Env
from rsl_jax.ops import key_of_device
from rsl_jax.registry import nearest
from rsl_jax.training.evaluation import make_evaluation
from rsl_jax.training.iteration import (
    LoopState,
    init_states,
    limit_of_counted_episodes,
    make_iteration,
    randomize_episode_lengths,
    spec_of,
)
from rsl_jax.training.progress import ProgressCallback, Reporter
from rsl_jax.training.sharding import EVERYWHERE, STATE_SPECS, Devices
from rsl_jax.types import Algorithm, Array, Key, Metrics, Spec, TrainState

AlgorithmFactory = Callable[[str | None], Algorithm]

NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def make_train(
    env: Env[Any],
    cfg: BaseRunnerConfig | Mapping[str, Any],
    num_iterations: int,
    *,
    init_at_random_ep_len: bool = False,
    devices: int | Sequence[jax.Device] | None = None,
    eval_env: Env[Any] | None = None,
    progress: ProgressCallback | None = None,
    report_every: int | None = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Return a training run as a pure function that can be compiled and vectorised.

    ``jax.jit(train)(key)`` is one program; ``jax.vmap(train)(keys)`` trains many seeds at once, and
    ``jax.vmap(lambda rate: train(key, learning_rate=rate))(rates)`` many settings.

    Args:
        env: a pure environment.
        cfg: the config, or RSL-RL's dict of it.
        num_iterations: number of iterations to train.
        init_at_random_ep_len: start every environment at a random step of its episode, so that not all end together.
        devices: number of devices to spread the environments over, or a list of them; one if None.
        eval_env: the environments to evaluate in, with the config's ``eval_interval``; if None, those of ``env``
            without what is random only in training.
        progress: called with a :class:`rsl_jax.types.Report` while the run goes on, from another thread; once for all
            runs under ``vmap``. :class:`rsl_jax.logging.LiveProgress` shows a table. If it fails, its error is printed,
            it is not called again, and the run goes on. ``KeyboardInterrupt`` in it ends a run on one device: JAX
            raises a ``JaxRuntimeError``. None leaves the run a pure function.
        report_every: number of iterations between two reports; a hundredth of all if None.

    Returns:
        ``train(key, start={}, **overrides) -> (state, metrics)``. Overrides are floats of the ``algorithm`` section.
        ``start`` holds variables of models, by name, to start from in place of randomly initialised ones, as
        :func:`rsl_jax.training.variables_of` returns them: ``{"teacher": variables_of(state, "actor")}``. All may be
        traced. Metrics have the log's tags, one value an iteration: each ``[num_iterations]``; those of evaluations are
        NaN in iterations without one. An update that met NaN or infinity is skipped;
        :func:`rsl_jax.training.warn_of_failures` reports these.

    Raises:
        TypeError: if the environment is not pure.
        ValueError: if config, environment and devices do not fit together.
    """
    if not isinstance(env, Env):
        raise TypeError(
            f"make_train compiles the environment into the run, so it needs a rsl_jax.env.Env; got "
            f"{type(env).__name__}. An "
            "environment outside JAX (a VecEnv) is trained by rsl_jax.runners.OnPolicyRunner."
        )
    cfg = BaseRunnerConfig.from_dict(cfg)
    chosen = Devices.choose(devices)
    axis_name, part, whole = chosen.axis_name, chosen.part_of_env(env), spec_of(env)
    spec = chosen.part_of_spec(whole)
    # What does not fit together is refused here, before anything is traced.
    built = build_algorithm(cfg, spec, axis_name=axis_name)
    check_training(built, num_envs=spec.num_envs, num_steps=cfg.num_steps_per_env)
    evaluation = make_evaluation(env, cfg, eval_env, spec=whole)
    tried_out = dataclasses.replace(spec, tried_out=True)
    report = None
    if progress is not None:
        report = Reporter(progress, num_iterations, every=report_every, axis_name=axis_name)
    if init_at_random_ep_len:
        limit_of_counted_episodes(env, jax.eval_shape(env.reset, jax.random.key(0))[0])

    def begin(algorithm: Algorithm, key: Key) -> tuple[TrainState, LoopState]:
        state, loop = init_states(algorithm, part, key, axis_name=axis_name)
        if not init_at_random_ep_len:
            return state, loop
        loop_key, length_key = jax.random.split(loop.key)
        loop = dataclasses.replace(loop, key=loop_key)
        return state, randomize_episode_lengths(part, loop, key_of_device(length_key, axis_name))

    def train_part(key: Key, start: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[TrainState, Metrics]:
        algorithm = built
        if overrides:
            algorithm = build_algorithm(override(cfg, overrides), tried_out, axis_name=axis_name)
        iteration = make_iteration(
            algorithm, part, num_steps=cfg.num_steps_per_env, check_for_nan=cfg.check_for_nan, axis_name=axis_name
        )

        def scanned(states: tuple[Any, ...], it: Array) -> tuple[tuple[Any, ...], Metrics]:
            state, loop, metrics = iteration(*states)
            if evaluation is not None:
                metrics |= evaluation.metrics_after(it + 1, algorithm, state)
            if report is not None:
                report(it, metrics)
            return (state, loop), metrics

        state, loop = begin(algorithm, key)
        for name, variables in start.items():
            state = with_variables(state, name, variables)
        (state, _), metrics = jax.lax.scan(scanned, (state, loop), jnp.arange(num_iterations))
        return state, metrics

    def train(
        key: Key, start: Mapping[str, Mapping[str, Any]] = NOTHING, **overrides: Any
    ) -> tuple[TrainState, Metrics]:
        refuse_missing_models(built.given, start)
        return chosen.run(train_part, EVERYWHERE, (STATE_SPECS, EVERYWHERE))(key, dict(start), overrides)

    return train


def build_algorithm(cfg: BaseRunnerConfig, spec: Spec, *, axis_name: str | None = None) -> Algorithm:
    """Build the algorithm that a config names; for environments spread over devices, that of each device.

    Raises:
        TypeError: if what was built is not an algorithm.
    """
    built = build_part(cfg.algorithm, "algorithm", cfg=cfg, spec=spec, axis_name=axis_name)
    built = built.algorithm() if hasattr(built, "algorithm") else built
    missing = [name for name in ("init", "initial_carry", "act", "prepare", "update") if not hasattr(built, name)]
    if missing:
        raise TypeError(
            f"algorithm.class_name {cfg.algorithm.class_name!r} returned a {type(built).__name__} without "
            f"{', '.join(missing)}; it must return a rsl_jax.types.Algorithm."
        )
    return built


def algorithm_factory(cfg: BaseRunnerConfig, spec: Spec, devices: Devices) -> AlgorithmFactory:
    """Return a function that builds a run's algorithms, each once, when it is first needed.

    Returns:
        ``axis_name -> algorithm``: with None the one for all environments, with the axis of the devices the one for the
        part of the environments that each device has.
    """
    built: dict[str | None, Algorithm] = {}

    def build(axis_name: str | None) -> Algorithm:
        if axis_name not in built:
            part = spec if axis_name is None else devices.part_of_spec(spec)
            part = dataclasses.replace(part, tried_out=bool(built))
            built[axis_name] = build_algorithm(cfg, part, axis_name=axis_name)
        return built[axis_name]

    return build


def check_training(algorithm: Algorithm, *, num_envs: int, num_steps: int) -> None:
    """Reject rollouts that an algorithm cannot learn from, where it defines which.

    Args:
        algorithm: the algorithm; of several devices, that on each of them.
        num_envs: number of environments that it learns from.
        num_steps: steps of a rollout.

    Raises:
        ValueError: if they are too small; says which number to change.
    """
    if num_envs * num_steps > LARGEST_INT:
        raise ValueError(
            f"num_steps_per_env ({num_steps}) x {num_envs} environments are more samples than fit into 32 bits. Choose "
            "shorter rollouts."
        )
    if hasattr(algorithm, "check_training"):
        algorithm.check_training(num_envs=num_envs, num_steps=num_steps)


def refuse_missing_models(given: Sequence[str], start: Mapping[str, Any]) -> None:
    """Reject a start without the variables of a model that is not trained here.

    Raises:
        ValueError: if any are missing; says how to give them.
    """
    for name in given:
        if name not in start:
            raise ValueError(
                f"train() needs the {name}'s variables, because the {name} is not trained here: train(key, "
                f"start={{'{name}': variables}}), for example those of a PPO run, rsl_jax.training.variables_of(state, "
                "'actor')."
            )


def override(cfg: BaseRunnerConfig, overrides: Mapping[str, Any]) -> BaseRunnerConfig:
    """Return the config with other floats in its ``algorithm`` section.

    Raises:
        ValueError: for a name that is not such a float.
    """
    fixed = structural_fields(cfg.algorithm)
    allowed = sorted({*all_arguments_of(cfg.algorithm)} - fixed)
    for name in overrides:
        if name not in allowed:
            reason = "shapes the program, so it belongs into the config" if name in fixed else "is not known"
            raise ValueError(
                f"train() cannot override '{name}': it {reason}. Allowed: {', '.join(allowed)}.{nearest(name, allowed)}"
            )
    return dataclasses.replace(cfg, algorithm=with_arguments(cfg.algorithm, **overrides))
