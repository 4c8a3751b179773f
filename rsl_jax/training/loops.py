"""The two ways to drive an iteration from Python: one compiled call, or around the steps of a host environment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.arrays import groups, is_torch, kept, like, stack, to_jax, to_jax_observations
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
from rsl_jax.training.sharding import EACH_ENV, EACH_STEP, EVERYWHERE, LOOP_SPECS, ROLLOUT_SPECS, STATE_SPECS, Devices
from rsl_jax.training.train import AlgorithmFactory
from rsl_jax.types import Carry, Key, Observations, Rollout, Spec, TimeStep, TrainState


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

    def __init__(self, env: Env[Any], cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices):
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
        self._step_keys = jax.jit(lambda key: tuple(jax.random.split(key, self._num_steps)))
        self._limit = _limit(env)
        # Arrays that come through DLPack are bound to their device. Where they meet states that are not, everything
        # would be compiled again once these are the results of a call, so they are bound from the start.
        self._binds = any(is_torch(x) for x in jax.tree.leaves(dict(groups(env.get_observations()))))
        part = build(devices.axis_name)

        def learn_part(state: TrainState, loop: LoopState, rollout: Rollout, key: Key, limit: Any) -> tuple[Any, ...]:
            options: dict[str, Any] = {"check_for_nan": cfg.check_for_nan, "axis_name": devices.axis_name}
            return learn_from(part, state, loop, rollout, key, max_episode_length=limit, **options)

        states = (STATE_SPECS, LOOP_SPECS)
        learn_all = devices.run(learn_part, (*states, ROLLOUT_SPECS, EVERYWHERE, EACH_ENV), (*states, EVERYWHERE))
        self._learn = jax.jit(
            lambda state, loop, collected, *rest: learn_all(state, loop, _rollout(loop.carry, *collected), *rest),
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
        carry, seen, answers, logs = self._collect(actor, first_carry, act_key)
        finished = time.perf_counter()
        loop = LoopState(env_state=(), observations=(), carry=carry, episodes=loop.episodes, key=key)
        collected = (*seen, first_carry), answers
        if self._devices.axis_name is not None:
            collected = self._devices.shard(collected, (EACH_ENV, EACH_STEP))
            state, loop = self.take_over(state, loop)
        state, loop, metrics = self._learn(state, loop, collected, update_key, self._limit)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        fetched |= environment_tags(_mean_logs(logs))
        return Outcome(state, loop, fetched, finished - start, time.perf_counter() - finished)

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Draw the environment's ``episode_length_buf``."""
        key = self._devices.on_first(key)
        drawn = jax.random.randint(key, (self.env.num_envs,), 0, int(np.max(self._limit)))
        self.env.episode_length_buf = like(self.env.episode_length_buf, drawn)
        return loop

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """What learns goes to all devices."""
        state, loop = self._devices.shard((state, loop), (STATE_SPECS, LOOP_SPECS))
        if self._binds and self._devices.axis_name is None:
            state, loop = jax.device_put((state, loop), self._devices.devices[0])
        return state, loop

    def _collect(
        self, state: TrainState, carry: Any, key: Key
    ) -> tuple[Any, tuple[Any, ...], tuple[Any, ...], list[Mapping[str, Any]]]:
        """Act and step; gives the hidden states after it, what was seen and done, and what the environment answered.

        What only learning needs is kept as the environment gave it, and crosses over once, for all steps.
        """
        given = self.env.get_observations()
        observations = self._arrived(given)
        acted, finals, logs = [], [], []
        answers: dict[str, list[Any]] = {"rewards": [], "dones": [], "time_outs": []}
        remembers = bool(jax.tree.leaves(carry))
        for step_key in self._step_keys(key):
            carry, step = self._act(state, carry, observations, step_key)
            given, rewards, dones, extras = self.env.step(like(given, step.actions))
            acted.append((observations, step))
            for name, answer in (("rewards", rewards), ("dones", dones), ("time_outs", extras.get("time_outs"))):
                if answer is not None:
                    answers[name].append(kept(answer))
            finals.append(extras.get("final_observations"))
            finals[-1] = None if finals[-1] is None else self._arrived(finals[-1])
            logs.append(extras.get("episode") or extras.get("log") or {})
            observations = self._arrived(given)
            if remembers:
                carry = self._reset_carry(carry, to_jax(dones).astype(bool))
        if 0 < len(answers["time_outs"]) < self._num_steps:
            raise ValueError(
                f"The environment gave extras['time_outs'] in {len(answers['time_outs'])} of {self._num_steps} steps; "
                "it gives them in all, or in none."
            )
        stacked = tuple(stack(each) if each else None for each in answers.values())
        return carry, (acted, observations, finals), stacked, logs

    def _arrived(self, observations: Any) -> Observations:
        """Observations as arrays on the device that acts."""
        arrays, device = to_jax_observations(observations), self._devices.devices[0]
        return arrays if device in next(iter(arrays.values())).devices() else jax.device_put(arrays, device)


def make_loop(env: Env[Any] | VecEnv, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices) -> Loop:
    """The loop that fits an environment, on these devices, with the algorithms that ``build`` gives."""
    return CompiledLoop(env, cfg, build, devices) if isinstance(env, Env) else HostLoop(env, cfg, build, devices)


def spec_of_any(env: Env[Any] | VecEnv) -> Spec:
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


def _rollout(last_carry: Carry, seen: tuple[Any, ...], answers: tuple[Any, ...]) -> Rollout:
    """What was collected around the environment's steps, as it is learned from."""
    acted, last_observations, finals, carry = seen
    rewards, dones, time_outs = answers
    observations, step = jax.tree.map(lambda *xs: jnp.stack(xs), *acted)
    dones = dones.astype(bool)
    timestep = TimeStep(
        observations=last_observations,
        rewards=rewards,
        dones=dones,
        time_outs=jnp.zeros_like(dones) if time_outs is None else time_outs.astype(bool),
        final_observations=None if finals[0] is None else jax.tree.map(lambda *xs: jnp.stack(xs), *finals),
    )
    around = {"carry": carry, "last_observations": last_observations, "last_carry": last_carry}
    return make_rollout(observations, step, timestep, **around)


def _limit(env: VecEnv) -> Any:
    """The time limit of each environment, ``[N]``; None where there is none."""
    limit = getattr(env, "max_episode_length", None)
    if limit is None:
        return None
    if isinstance(limit, (int, float)):  # simulators that play without an end say 5e10 steps
        limit = min(limit, np.iinfo(np.int32).max)
    return np.broadcast_to(to_jax(limit), (env.num_envs,))


def _mean_logs(logs: list[Mapping[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(name for log in logs for name in log)
    values = {name: [np.ravel(np.asarray(to_jax(log[name]))) for log in logs if name in log] for name in names}
    return {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
