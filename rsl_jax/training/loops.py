"""The two ways to drive an iteration from Python: one compiled call, or around the steps of a host environment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.arrays import like, to_jax, to_jax_observations
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.ops import reset_carry
from rsl_jax.training.iteration import (
    LoopState,
    environment_tags,
    init_loop,
    init_states,
    learn_from,
    make_iteration,
    make_rollout,
    randomize_episode_lengths,
    spec_of,
)
from rsl_jax.training.sharding import EACH_ENV, EVERYWHERE, LOOP_SPECS, ROLLOUT_SPECS, STATE_SPECS, Devices
from rsl_jax.training.train import AlgorithmFactory
from rsl_jax.types import Carry, Key, Rollout, Spec, TimeStep, TrainState


class Outcome(NamedTuple):
    """What an iteration gives to its caller.

    Attributes:
        state: what learning changed.
        loop: what collecting changed.
        metrics: on the host, by tag.
        collection_time: seconds spent collecting; None where collecting and learning are one call.
        learning_time: seconds of the rest.
    """

    state: TrainState
    loop: LoopState
    metrics: dict[str, float]
    collection_time: float | None
    learning_time: float


class Loop(Protocol):
    """Drives iterations."""

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """The states a run starts from."""
        ...

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """Collect and learn once. The states given are used up: their buffers are donated."""
        ...

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Pretend that every environment is somewhere within its episode."""
        ...

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """Put states that come from elsewhere on the devices of the run."""
        ...


class CompiledLoop:
    """An iteration on a pure environment: one compiled call, one fetch of metrics."""

    def __init__(self, env: Env, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices):
        self.env, self._devices = env, devices
        axis_name, part = devices.axis_name, devices.part_of_env(env)
        algorithm = build(axis_name)
        iteration = make_iteration(
            algorithm, part, num_steps=cfg.num_steps_per_env, check_for_nan=cfg.check_for_nan, axis_name=axis_name
        )
        states = (STATE_SPECS, LOOP_SPECS)
        self._init = jax.jit(
            devices.run(lambda key: init_states(algorithm, part, key, axis_name=axis_name), EVERYWHERE, states)
        )
        self._iteration = jax.jit(devices.run(iteration, states, (*states, EVERYWHERE)), donate_argnums=(0, 1))

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """The states a run starts from."""
        # Leaves that start as one buffer (an observation that is also a part of the state) must not be donated twice.
        return self.take_over(*jax.tree.map(jnp.copy, self._init(key)))

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """One compiled call."""
        start = time.perf_counter()
        state, loop, metrics = self._iteration(state, loop)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        return Outcome(state, loop, fetched, None, time.perf_counter() - start)

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Draw the episode lengths that the environment counts.

        Raises:
            ValueError: if it counts none, or has no time limit.
        """
        return self._devices.shard(randomize_episode_lengths(self.env, loop, key), LOOP_SPECS)

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """Spread them over the devices."""
        return self._devices.shard((state, loop), (STATE_SPECS, LOOP_SPECS))


class HostLoop:
    """An iteration around an environment outside JAX: compiled acting, its own step, compiled learning.

    Of several devices the first one acts, and all learn, each from a part of the environments.
    """

    def __init__(self, env: VecEnv, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices):
        self.env, self._devices, self._num_steps = env, devices, cfg.num_steps_per_env
        self._algorithm = build(None)
        self._act = jax.jit(self._algorithm.act)
        self._reset_carry = jax.jit(reset_carry)
        self._split = jax.jit(lambda key: jax.random.split(key, 4))
        self._limit = _limit(env)
        part = build(devices.axis_name)

        def learn_part(state: TrainState, loop: LoopState, rollout: Rollout, key: Key, limit: Any) -> tuple:
            options: dict[str, Any] = {"check_for_nan": cfg.check_for_nan, "axis_name": devices.axis_name}
            return learn_from(part, state, loop, rollout, key, max_episode_length=limit, **options)

        states = (STATE_SPECS, LOOP_SPECS)
        learn_all = devices.run(learn_part, (*states, ROLLOUT_SPECS, EVERYWHERE, EACH_ENV), (*states, EVERYWHERE))
        self._learn = jax.jit(
            lambda state, loop, steps, *rest: learn_all(state, loop, _rollout(loop.carry, *steps), *rest),
            donate_argnums=(0, 1),
        )

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """The states a run starts from; the environment is as its maker left it."""
        init_key, _, loop_key = jax.random.split(key, 3)
        return self.take_over(self._algorithm.init(init_key), init_loop(self._algorithm, self.env.num_envs, loop_key))

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """Act and step, then learn."""
        start = time.perf_counter()
        key, env_key, act_key, update_key = self._split(loop.key)
        actor, first_carry, env_key, act_key = self._devices.on_first((state, loop.carry, env_key, act_key))
        if hasattr(self.env, "begin_iteration"):
            self.env.begin_iteration(env_key)
        carry, steps, logs = self._collect(actor, first_carry, act_key)
        collected = time.perf_counter()
        steps = self._devices.shard((*steps, first_carry), EACH_ENV)
        loop = LoopState(env_state=(), observations=(), carry=carry, episodes=loop.episodes, key=key)
        state, loop, metrics = self._learn(*self.take_over(state, loop), steps, update_key, self._limit)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        fetched |= environment_tags(_mean_logs(logs))
        return Outcome(state, loop, fetched, collected - start, time.perf_counter() - collected)

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Draw the environment's ``episode_length_buf``."""
        key = self._devices.on_first(key)
        drawn = jax.random.randint(key, (self.env.num_envs,), 0, int(np.max(self.env.max_episode_length)))
        self.env.episode_length_buf = like(self.env.episode_length_buf, drawn)
        return loop

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """What learns goes to all devices."""
        return self._devices.shard((state, loop), (STATE_SPECS, LOOP_SPECS))

    def _collect(self, state: TrainState, carry: Any, key: Key) -> tuple[Any, tuple, list[Mapping[str, Any]]]:
        given = self.env.get_observations()
        observations = to_jax_observations(given)
        acted, answered, logs = [], [], []
        for step_key in jax.random.split(key, self._num_steps):
            carry, step = self._act(state, carry, observations, step_key)
            given, rewards, dones, extras = self.env.step(like(given, step.actions))
            acted.append((observations, step))
            timestep = _timestep(given, rewards, dones, extras)
            answered.append(timestep)
            logs.append(extras.get("episode") or extras.get("log") or {})
            observations = timestep.observations
            carry = self._reset_carry(carry, timestep.dones)
        return carry, (acted, answered), logs


def make_loop(env: Env | VecEnv, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices) -> Loop:
    """The loop that fits an environment, on these devices, with the algorithms that ``build`` gives."""
    return CompiledLoop(env, cfg, build, devices) if isinstance(env, Env) else HostLoop(env, cfg, build, devices)


def spec_of_any(env: Env | VecEnv) -> Spec:
    """What an algorithm must know about an environment, pure or not."""
    if isinstance(env, Env):
        return spec_of(env)
    return Spec(
        observations={name: tuple(x.shape[1:]) for name, x in to_jax_observations(env.get_observations()).items()},
        num_actions=env.num_actions,
        num_envs=env.num_envs,
        step_dt=getattr(env, "step_dt", getattr(getattr(env, "unwrapped", None), "step_dt", None)),
        discrete=getattr(env, "discrete", False),
        env=env,
    )


def _timestep(observations: Any, rewards: Any, dones: Any, extras: Mapping[str, Any]) -> TimeStep:
    done = to_jax(dones).astype(bool)
    final = extras.get("final_observations")
    return TimeStep(
        observations=to_jax_observations(observations),
        rewards=to_jax(rewards),
        dones=done,
        time_outs=to_jax(extras["time_outs"]).astype(bool) if "time_outs" in extras else jnp.zeros_like(done),
        final_observations=None if final is None else to_jax_observations(final),
    )


def _rollout(last_carry: Carry, acted: list, answered: list[TimeStep], carry: Carry) -> Rollout:
    observations, step = jax.tree.map(lambda *xs: jnp.stack(xs), *acted)
    timestep = jax.tree.map(lambda *xs: jnp.stack(xs), *answered)
    return make_rollout(
        observations,
        step,
        timestep,
        carry=carry,
        last_observations=answered[-1].observations,
        last_carry=last_carry,
    )


def _limit(env: VecEnv) -> Any:
    limit = getattr(env, "max_episode_length", None)
    return None if limit is None else np.broadcast_to(to_jax(limit), (env.num_envs,))


def _mean_logs(logs: list[Mapping[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(name for log in logs for name in log)
    values = {name: [np.ravel(np.asarray(to_jax(log[name]))) for log in logs if name in log] for name in names}
    return {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
