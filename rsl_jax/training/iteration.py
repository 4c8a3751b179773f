"""One iteration of training: collect a rollout, learn from it.

All training loops are built from the functions here: the compiled run scans :func:`make_iteration`, the runner calls it
once an iteration, and the host loop calls :func:`learn_from` on what it collected itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.env.base import Env
from rsl_jax.env.limits import step_limit
from rsl_jax.ops import key_of_device, mean_over_devices, reset_carry, sum_over_devices, to_rank
from rsl_jax.ops.guards import became_non_finite, has_failed, keep_if_finite, non_finite
from rsl_jax.training.episodes import EpisodeStatistics, episode_metrics, init_episodes, record_episodes
from rsl_jax.types import (
    Algorithm,
    Array,
    Carry,
    Key,
    Metrics,
    Observations,
    Rollout,
    Spec,
    Step,
    TimeStep,
    TrainState,
    default_dtype,
)

UNREPORTED_TIME_OUTS = "Unreported/time_outs"
"""Metric: number of episodes that reached the time limit without being flagged as ``time_outs``."""

REPORTED_TIME_OUTS = "Reported/time_outs"
"""Metric: number of episodes that were flagged as ``time_outs``."""


@struct.dataclass
class LoopState:
    """State of the rollout collection, beside the :class:`TrainState`.

    Attributes:
        env_state: state of the environments; ``()`` where they live outside JAX.
        observations: current observations, leaves ``[N, ...]``; ``()`` where the environments live outside JAX.
        carry: hidden states, leaves ``[N, ...]``.
        episodes: statistics of episodes.
        key: random key of the coming iterations.
    """

    env_state: Any
    observations: Any
    carry: Carry
    episodes: EpisodeStatistics
    key: Key


Iteration = Callable[[TrainState, LoopState], tuple[TrainState, LoopState, Metrics]]


def spec_of(env: Env[Any]) -> Spec:
    """Return the :class:`Spec` of a pure environment; nothing is executed."""
    _, observations = jax.eval_shape(env.reset, jax.random.key(0))
    return Spec(
        observations={name: tuple(x.shape[1:]) for name, x in observations.items()},
        num_actions=env.num_actions,
        num_envs=env.num_envs,
        step_dt=env.step_dt,
        discrete=env.discrete,
        env=env,
    )


def init_states(
    algorithm: Algorithm, env: Env[Any], key: Key, *, axis_name: str | None = None
) -> tuple[TrainState, LoopState]:
    """Return the initial training state and loop state."""
    init_key, reset_key, loop_key = jax.random.split(key, 3)
    env_state, observations = env.reset(key_of_device(reset_key, axis_name))
    return algorithm.init(init_key), init_loop(algorithm, env.num_envs, loop_key, env_state, observations)


def init_loop(algorithm: Algorithm, num_envs: int, key: Key, env_state: Any = (), observations: Any = ()) -> LoopState:
    """Return the loop's state for environments that have just been reset."""
    return LoopState(
        env_state=env_state,
        observations=observations,
        carry=algorithm.initial_carry(num_envs),
        episodes=init_episodes(num_envs, algorithm.reward_tags),
        key=key,
    )


def randomize_episode_lengths(env: Env[Any], loop: LoopState, key: Key) -> LoopState:
    """Set every environment to a random step of its episode, so that not all episodes end together.

    Raises:
        ValueError: if the environment does not count the steps of its episodes, or has no time limit.
    """
    limit, counted = limit_of_counted_episodes(env, loop.env_state), loop.env_state.episode_length
    lengths = jax.random.randint(key, counted.shape, 0, limit).astype(counted.dtype)
    return dataclasses.replace(loop, env_state=loop.env_state.replace(episode_length=lengths))


def can_start_at_random(env: Env[Any], env_state: Any) -> bool:
    """Return whether episodes can start at a random step: there is a time limit, and the state counts steps."""
    return step_limit(env.max_episode_length) is not None and hasattr(env_state, "episode_length")


def limit_of_counted_episodes(env: Env[Any], env_state: Any) -> int:
    """Return the time limit of an environment whose episodes can start at a random step; shapes of its state suffice.

    Raises:
        ValueError: if the environment does not count the steps of its episodes, or has no time limit.
    """
    limit = step_limit(env.max_episode_length)
    if limit is None or not can_start_at_random(env, env_state):
        raise ValueError(
            "init_at_random_ep_len needs an environment with a max_episode_length whose state counts episode_length, "
            "as those of rsl_jax.env.vectorize do."
        )
    return limit


def collect(
    algorithm: Algorithm, env: Env[Any], state: TrainState, loop: LoopState, key: Key, *, num_steps: int
) -> tuple[LoopState, Rollout, Metrics]:
    """Act for ``num_steps`` steps in a pure environment.

    Returns:
        the loop's state after them, the rollout, and the means of what the environment logs.
    """

    def act_and_step(current: tuple[Any, Observations, Carry], step_key: Key) -> tuple[Any, ...]:
        env_state, observations, carry = current
        carry, step = algorithm.act(state, carry, observations, step_key)
        env_state, timestep = env.step(env_state, step.actions)
        carry = reset_carry(carry, timestep.dones)
        return (env_state, timestep.observations, carry), (observations, step, timestep)

    start = (loop.env_state, loop.observations, loop.carry)
    steps: tuple[Observations, Step, TimeStep]
    (env_state, last, carry), steps = jax.lax.scan(act_and_step, start, jax.random.split(key, num_steps))
    rollout = make_rollout(*steps, carry=loop.carry, last_observations=last, last_carry=carry)
    log = {name: jnp.mean(values) for name, values in steps[-1].log.items()}
    return dataclasses.replace(loop, env_state=env_state, observations=last, carry=carry), rollout, log


def make_rollout(observations: Observations, step: Step, timestep: TimeStep, **around: Any) -> Rollout:
    """Build a rollout from the observations, actions and results of ``T`` steps; leaves ``[T, N, ...]``.

    ``around`` holds the values before the first step and after the last: ``carry``, ``last_observations``,
    ``last_carry``.
    """
    return Rollout(
        observations=observations,
        actions=step.actions,
        log_probs=step.log_probs,
        distribution_params=step.distribution_params,
        rewards=timestep.rewards,
        dones=timestep.dones,
        time_outs=timestep.time_outs,
        final_observations=timestep.final_observations,
        **around,
    )


def learn_from(
    algorithm: Algorithm,
    state: TrainState,
    loop: LoopState,
    rollout: Rollout,
    key: Key,
    *,
    max_episode_length: int | Array | None = None,
    check_for_nan: bool = True,
    axis_name: str | None = None,
) -> tuple[TrainState, LoopState, Metrics]:
    """Learn from a rollout, whichever loop collected it.

    If the rollout contains NaN or infinity, or learning would produce it, all of ``state`` but its iteration stays as
    it was; the metrics then count the NaN or infinite values, by name.

    Args:
        algorithm: the algorithm.
        state: the training state.
        loop: the loop's state after the rollout, with the statistics of episodes before it.
        rollout: the collected rollout.
        key: random key of the update, the same on all devices.
        max_episode_length: time limit of the environments in steps, one or ``[N]``.
        check_for_nan: whether to check what the environment returned.
        axis_name: mesh axis over which the environments are spread, or None.

    Returns:
        the new state, the loop's state with the hidden states to continue from and the episodes counted, and the
        metrics.
    """
    reports = _reports_of(rollout) if check_for_nan else {}
    rollout = dataclasses.replace(
        rollout,
        rewards=rollout.rewards.astype(default_dtype()),
        dones=rollout.dones.astype(bool),
        time_outs=rollout.time_outs.astype(bool),
    )
    prepared, prepared_rollout, rewards = algorithm.prepare(state, rollout)
    learned, carry, metrics = algorithm.update(prepared, prepared_rollout, key_of_device(key, axis_name))
    reports |= became_non_finite(learned, state) | non_finite({"learning_rate": learned.learning_rate})
    # Not decisive by themselves: values that nothing was learned from may be NaN.
    suspects = non_finite({f"added_rewards.{tag}": x for tag, x in rewards.items() if x is not rollout.rewards})
    suspects |= _reports_of_final_observations(rollout)
    reports, suspects = sum_over_devices((reports, suspects), axis_name)
    metrics |= reports
    failed = has_failed(metrics)
    suspects |= {name: x for name, x in _reports_of_losses(metrics).items() if name not in metrics}
    metrics |= {name: jnp.where(failed, count, 0) for name, count in suspects.items()}
    learned = dataclasses.replace(keep_if_finite(learned, state, metrics), iteration=learned.iteration)
    carry = keep_if_finite(carry, rollout.last_carry, metrics)
    episodes, lengths = record_episodes(loop.episodes, rewards, rollout.dones, axis_name=axis_name)
    metrics |= episode_metrics(episodes)
    if max_episode_length is not None:
        limit = to_rank(jnp.asarray(max_episode_length, lengths.dtype), lengths.ndim)
        late = rollout.dones & ~rollout.time_outs & (lengths >= limit)
        for tag, ends in ((UNREPORTED_TIME_OUTS, late), (REPORTED_TIME_OUTS, rollout.time_outs)):
            metrics[tag] = sum_over_devices(jnp.sum(ends, dtype=jnp.int32), axis_name)
    return learned, dataclasses.replace(loop, carry=_restarted(carry), episodes=episodes), metrics


def _reports_of(rollout: Rollout) -> Metrics:
    """Count NaN and infinity in what the environment returned, by name."""
    checked = {f"observations.{name}": x for name, x in rollout.observations.items()}
    checked |= {f"last_observations.{name}": x for name, x in rollout.last_observations.items()}
    flags = {"dones": rollout.dones, "time_outs": rollout.time_outs}
    # Flags may come as floats, where NaN would pass for true.
    checked |= {name: x for name, x in flags.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    return non_finite({**checked, "rewards": rollout.rewards})


def _reports_of_losses(metrics: Metrics) -> Metrics:
    """Count NaN and infinity in the losses that an algorithm logs, by name."""
    tag, rate = "Loss/", "Loss/learning_rate"
    return non_finite(
        {f"loss.{name.removeprefix(tag)}": x for name, x in metrics.items() if name.startswith(tag) and name != rate}
    )


def _reports_of_final_observations(rollout: Rollout) -> Metrics:
    """Count NaN and infinity in the final observations of timed-out episodes; those of other episodes are not used."""

    def looked_at(x: Array) -> Array:
        return jnp.where(jnp.expand_dims(rollout.time_outs, range(2, x.ndim)), x, jnp.zeros((), x.dtype))

    groups = rollout.final_observations or {}
    return non_finite({f"final_observations.{name}": looked_at(x) for name, x in groups.items()})


def _restarted(carry: Carry) -> Carry:
    """Zero hidden states in environments where they are NaN or infinite: no later step would make them finite again."""
    broken = [~jnp.all(jnp.isfinite(x), axis=range(1, x.ndim)) for x in jax.tree.leaves(carry)]
    return reset_carry(carry, jnp.any(jnp.stack(broken), axis=0)) if broken else carry


def make_iteration(
    algorithm: Algorithm, env: Env[Any], *, num_steps: int, check_for_nan: bool = True, axis_name: str | None = None
) -> Iteration:
    """Build one iteration on a pure environment as one pure function.

    Args:
        algorithm: the algorithm.
        env: the environments.
        num_steps: steps of a rollout.
        check_for_nan: whether to check what the environment returns.
        axis_name: mesh axis over which the environments are spread, or None.

    Returns:
        ``(state, loop) -> (state, loop, metrics)``, to be compiled.
    """

    def iteration(state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState, Metrics]:
        key, env_key, act_key, update_key = jax.random.split(loop.key, 4)
        env_key, act_key = (key_of_device(k, axis_name) for k in (env_key, act_key))
        loop = dataclasses.replace(loop, key=key, env_state=env.begin_iteration(loop.env_state, env_key))
        loop, rollout, log = collect(algorithm, env, state, loop, act_key, num_steps=num_steps)
        state, loop, metrics = learn_from(
            algorithm,
            state,
            loop,
            rollout,
            update_key,
            max_episode_length=step_limit(env.max_episode_length),
            check_for_nan=check_for_nan,
            axis_name=axis_name,
        )
        metrics |= mean_over_devices(environment_tags(log), axis_name)
        return state, loop, metrics

    return iteration


def environment_tags(log: Mapping[str, Any]) -> dict[str, Any]:
    """Prefix the tags of an environment's log with ``Episode/`` where they name no other section."""
    return {name if "/" in name else f"Episode/{name}": value for name, value in log.items()}
