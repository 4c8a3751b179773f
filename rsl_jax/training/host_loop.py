"""The training loop for environments outside JAX."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.arrays import is_torch, kept, like, stack, to_jax, to_jax_observations, with_dtype_of
from rsl_jax.env.base import VecEnv
from rsl_jax.env.contract import CheckedEnv, complete_final_observations, floats_of_log, refuse_nan
from rsl_jax.env.limits import step_limit
from rsl_jax.ops import reset_carry
from rsl_jax.training.compiled_loop import Outcome
from rsl_jax.training.iteration import LoopState, environment_tags, init_loop, learn_from, make_rollout
from rsl_jax.training.sharding import EACH_ENV, EACH_STEP, EVERYWHERE, LOOP_SPECS, ROLLOUT_SPECS, STATE_SPECS, Devices
from rsl_jax.training.train import AlgorithmFactory
from rsl_jax.types import Carry, Key, Observations, Rollout, TimeStep, TrainState, default_dtype


class HostLoop:
    """Loop for an environment outside JAX: compiled acting, the environment's own step, compiled learning.

    Of several devices the first one acts, and all learn, each from a part of the environments. Of several processes
    each steps an environment of its own, of which its devices have the parts. No buffers are donated, so that whatever
    the environment raises leaves the states of before the iteration.
    """

    uses_up = False

    def __init__(self, env: VecEnv, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices):
        self.env, self._devices, self._num_steps = env, devices, cfg.num_steps_per_env
        self._checked, self._hands_over_finals = CheckedEnv(env), False
        self._algorithm = build(None)
        self._act = jax.jit(self._algorithm.act)
        self._reset_carry = jax.jit(reset_carry)
        self._split = jax.jit(lambda key: jax.random.split(key, 4))
        self._step_keys = jax.jit(lambda key: tuple(jax.random.split(key, self._num_steps)))
        self._limit = _limit(env)
        self._limits = self._limit if devices.axis_name is None else devices.join(self._limit, EACH_ENV)
        # Arrays that come through DLPack are bound to their device. Where they meet states that are not, everything
        # would be compiled again once these are the results of a call, so they are bound from the start.
        self._binds = any(is_torch(x) for x in self._checked.get_observations().values())
        part = build(devices.axis_name)

        def learn_part(state: TrainState, loop: LoopState, rollout: Rollout, key: Key, limit: Any) -> tuple[Any, ...]:
            options: dict[str, Any] = {"check_for_nan": cfg.check_for_nan, "axis_name": devices.axis_name}
            return learn_from(part, state, loop, rollout, key, max_episode_length=limit, **options)

        states = (STATE_SPECS, LOOP_SPECS)
        learn_all = devices.run(learn_part, (*states, ROLLOUT_SPECS, EVERYWHERE, EACH_ENV), (*states, EVERYWHERE))
        self._learn = jax.jit(
            lambda state, loop, collected, *rest: learn_all(state, loop, _rollout(loop.carry, *collected), *rest)
        )

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """Return the initial states of a run; the environment is not reset."""
        init_key, _, loop_key = jax.random.split(key, 3)
        num_envs = self.env.num_envs * self._devices.processes
        return self.take_over(self._algorithm.init(init_key), init_loop(self._algorithm, num_envs, loop_key))

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """Collect a rollout by acting and stepping, then learn from it."""
        start = time.perf_counter()
        key, env_key, act_key, update_key = self._split(loop.key)
        actor, first_carry, env_key, act_key = self._devices.on_first((state, loop.carry, env_key, act_key))
        env_key, act_key = map(self._devices.key_of_process, (env_key, act_key))
        if hasattr(self.env, "begin_iteration"):
            self.env.begin_iteration(env_key)
        carry, seen, answers, logs = self._collect(actor, first_carry, act_key)
        finished = time.perf_counter()
        collected = (*seen, first_carry), answers
        if self._devices.axis_name is not None:
            carry, collected = self._devices.join((carry, collected), (EACH_ENV, (EACH_ENV, EACH_STEP)))
        loop = LoopState(env_state=(), observations=(), carry=carry, episodes=loop.episodes, key=key)
        if self._devices.axis_name is not None:
            state, loop = self.take_over(state, loop)
        state, loop, metrics = self._learn(state, loop, collected, update_key, self._limits)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        fetched |= environment_tags(mean_of_logs(logs))
        return Outcome(state, loop, fetched, finished - start, time.perf_counter() - finished)

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Draw random values for the environment's ``episode_length_buf``, which keeps its dtype.

        Raises:
            ValueError: if it has none that can be set, or no time limit.
        """
        if not self.counts_episodes(loop):
            raise ValueError(
                "init_at_random_ep_len needs an environment with a max_episode_length and an episode_length_buf that "
                f"can be set; {type(self.env).__name__} has max_episode_length="
                f"{getattr(self.env, 'max_episode_length', None)} and an episode_length_buf that "
                f"{'cannot be set' if hasattr(self.env, 'episode_length_buf') else 'is missing'}."
            )
        key = self._devices.key_of_process(self._devices.on_first(key))
        drawn = jax.random.randint(key, (self.env.num_envs,), 0, self._limit)
        self.env.episode_length_buf = with_dtype_of(self.env.episode_length_buf, drawn)
        return loop

    def counts_episodes(self, loop: LoopState) -> bool:
        """Return whether the environment has a time limit, and lets its ``episode_length_buf`` be set."""
        del loop
        try:
            self.env.episode_length_buf = self.env.episode_length_buf
        except AttributeError:
            return False
        return self._limit is not None

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """Place the training state on all devices."""
        state, loop = self._devices.shard((state, loop), (STATE_SPECS, LOOP_SPECS))
        if self._binds and self._devices.axis_name is None:
            state, loop = jax.device_put((state, loop), self._devices.devices[0])
        return state, loop

    def _collect(
        self, state: TrainState, carry: Any, key: Key
    ) -> tuple[Any, tuple[Any, ...], tuple[Any, ...], list[Mapping[str, Any]]]:
        """Act and step; returns the final hidden states, the observations and actions, and the environment's answers.

        Data that only learning needs is kept as the environment gave it, and transferred once, for all steps.
        """
        given = self._checked.get_observations()
        observations = self._arrived(given)
        acted, finals, logs = [], [], []
        answers: dict[str, list[Any]] = {"rewards": [], "dones": [], "time_outs": []}
        remembers = bool(jax.tree.leaves(carry))
        for step_key in self._step_keys(key):
            carry, step = self._act(state, carry, observations, step_key)
            answer = self._checked.step(like(given, step.actions))
            acted.append((observations, step))
            for name, kinds in answers.items():
                if (array := getattr(answer, name)) is not None:
                    kinds.append(kept(array))
            final = answer.final_observations
            finals.append(None if final is None else self._arrived(final))
            logs.append(answer.log)
            given = answer.observations
            observations = self._arrived(given)
            if remembers:
                carry = self._reset_carry(carry, to_jax(answer.dones).astype(bool))
        if 0 < len(answers["time_outs"]) < self._num_steps:
            raise ValueError(
                f"The environment gave extras['time_outs'] in {len(answers['time_outs'])} of {self._num_steps} steps; "
                "it must give them in all steps, or in none."
            )
        stacked: dict[str, Any] = {name: stack(each) if each else None for name, each in answers.items()}
        for name in ("dones", "time_outs"):
            if stacked[name] is not None and jnp.issubdtype(stacked[name].dtype, jnp.floating):
                refuse_nan(name, stacked[name])
        following = [*(seen for seen, _ in acted[1:]), observations]
        finals = self._final_observations(finals, following, stacked["dones"])
        return carry, (acted, observations, finals), tuple(stacked.values()), logs

    def _final_observations(self, finals: list[Any], following: list[Any], dones: Any) -> list[Any]:
        """Return those of all steps, or None if the environment never provides them."""
        missing = sum(final is None for final in finals)
        self._hands_over_finals |= missing < len(finals)
        if missing and self._hands_over_finals:
            return complete_final_observations(finals, following, dones)
        return finals

    def _arrived(self, observations: Any) -> Observations:
        """Return observations as arrays on the device that acts."""
        arrays, device = to_jax_observations(observations), self._devices.local[0]
        return arrays if device in next(iter(arrays.values())).devices() else jax.device_put(arrays, device)


def _rollout(last_carry: Carry, seen: tuple[Any, ...], answers: tuple[Any, ...]) -> Rollout:
    """Build the rollout to learn from out of what was collected around the environment's steps."""
    acted, last_observations, finals, carry = seen
    rewards, dones, time_outs = answers
    observations, step = jax.tree.map(lambda *xs: jnp.stack(xs), *acted)
    timestep = TimeStep(
        observations=last_observations,
        rewards=rewards if jnp.issubdtype(rewards.dtype, jnp.floating) else rewards.astype(default_dtype()),
        dones=dones,
        time_outs=jnp.zeros_like(dones) if time_outs is None else time_outs,  # as given: NaN is counted where learned
        final_observations=None if finals[0] is None else jax.tree.map(lambda *xs: jnp.stack(xs), *finals),
    )
    around = {"carry": carry, "last_observations": last_observations, "last_carry": last_carry}
    return make_rollout(observations, step, timestep, **around)


def _limit(env: VecEnv) -> Any:
    """Return the time limit of each environment, ``[N]``; None if there is none."""
    limit = step_limit(getattr(env, "max_episode_length", None))
    if np.shape(limit) not in ((), (1,), (env.num_envs,)):
        raise ValueError(
            f"max_episode_length of the environment has the shape {list(np.shape(limit))}; expected one number, or "
            f"[{env.num_envs}], one for each environment."
        )
    return None if limit is None else np.broadcast_to(np.asarray(limit, np.int32), (env.num_envs,))


def mean_of_logs(logs: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of each entry over the logs of several steps."""
    values: dict[str, list[np.ndarray]] = {}
    for log in logs:
        for name, floats in floats_of_log(log).items():
            values.setdefault(name, []).append(floats)
    return {name: float(np.mean(np.concatenate(parts))) for name, parts in values.items()}
