"""The interface of loops that run iterations from Python, and the loop that runs each as one compiled call."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.training.compiling import jit_once
from rsl_jax.training.iteration import (
    LoopState,
    can_start_at_random,
    init_states,
    make_iteration,
    randomize_episode_lengths,
)
from rsl_jax.training.sharding import EVERYWHERE, LOOP_SPECS, STATE_SPECS, Devices
from rsl_jax.training.train import AlgorithmFactory
from rsl_jax.types import Key, TrainState


class Outcome(NamedTuple):
    """Result of an iteration.

    Attributes:
        state: the training state after it.
        loop: the rollout state after it.
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
    """Interface of the loops that run iterations.

    Attributes:
        uses_up: whether :meth:`iterate` donates the buffers of the loop's state that it is given, so that it
            must not be interrupted before its results are kept. The training state is never donated.
    """

    uses_up: bool

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """Return the initial training state and loop state."""
        ...

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """Collect a rollout and learn from it, once."""
        ...

    def counts_episodes(self, loop: LoopState) -> bool:
        """Return whether episodes can start at a random step."""
        ...

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Set every environment to a random step of its episode."""
        ...

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """Place states that come from elsewhere on the devices of the run."""
        ...


class CompiledLoop:
    """Loop for a pure environment: an iteration is one compiled call and one fetch of metrics.

    The loop's state is donated, because environments may be large. The training state is not: the update needs the old
    parameters until its end anyway, to keep them where it diverges.
    """

    uses_up = True

    def __init__(self, env: Env[Any], cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices):
        self.env, self._devices = env, devices
        axis_name, part = devices.axis_name, devices.part_of_env(env)
        algorithm = build(axis_name)
        iteration = make_iteration(
            algorithm, part, num_steps=cfg.num_steps_per_env, check_for_nan=cfg.check_for_nan, axis_name=axis_name
        )
        states = (STATE_SPECS, LOOP_SPECS)

        def init(key: Key) -> tuple[TrainState, LoopState]:
            # Leaves that start as one buffer (an observation that is also a part of the state) must not be donated
            # twice.
            return jax.tree.map(jnp.copy, init_states(algorithm, part, key, axis_name=axis_name))

        self._init = jit_once(devices.run(init, EVERYWHERE, states), devices.devices[0])
        results = (*states, EVERYWHERE)
        self._iteration = jax.jit(
            devices.run(iteration, states, results), donate_argnums=1, out_shardings=devices.shardings(results)
        )

    def init(self, key: Key) -> tuple[TrainState, LoopState]:
        """Return the initial training state and loop state."""
        return self.take_over(*self._init(key))

    def iterate(self, state: TrainState, loop: LoopState) -> Outcome:
        """Run the compiled iteration."""
        start = time.perf_counter()
        state, loop, metrics = self._iteration(state, loop)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        return Outcome(state, loop, fetched, None, time.perf_counter() - start)

    def counts_episodes(self, loop: LoopState) -> bool:
        """Return whether the environment has a time limit, and a state that counts steps."""
        return can_start_at_random(self.env, loop.env_state)

    def randomize_episode_lengths(self, loop: LoopState, key: Key) -> LoopState:
        """Draw random values for the episode lengths that the environment counts.

        Raises:
            ValueError: if it counts none, or has no time limit.
        """
        return self._devices.shard(randomize_episode_lengths(self.env, loop, key), LOOP_SPECS)

    def take_over(self, state: TrainState, loop: LoopState) -> tuple[TrainState, LoopState]:
        """Spread the states over the devices."""
        return self._devices.shard((state, loop), (STATE_SPECS, LOOP_SPECS))
