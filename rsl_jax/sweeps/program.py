"""One compiled program that trains many members of a sweep, a block of iterations at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsl_jax.compilation_cache import disable_for_several
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.modules import default_dtype
from rsl_jax.ops.guards import has_failed
from rsl_jax.sweeps.settings import Member, apply_setting
from rsl_jax.training.compiling import jit_once
from rsl_jax.training.evaluation import REWARD, make_evaluation
from rsl_jax.training.iteration import (
    LoopState,
    init_states,
    limit_of_counted_episodes,
    make_iteration,
    randomize_episode_lengths,
    spec_of,
)
from rsl_jax.training.train import build_algorithm, check_training
from rsl_jax.types import Algorithm, Array, Key, Metrics, TrainState

AXIS = "members"
"""Name of the mesh axis over which members are distributed."""

LEARNING_RATE = "algorithm.learning_rate"

MEMORY_SHARE = 0.8
"""Fraction of a device's memory that a program may use."""


@struct.dataclass
class Population:
    """Training states of several members; all leaves have a leading axis of members.

    Attributes:
        state: training states.
        loop: rollout states.
        failed: iteration in which NaN or infinity occurred, after which the state stays unchanged; -1 for none, and
            if the config's ``on_non_finite`` is skip.
    """

    state: TrainState
    loop: LoopState
    failed: Array


class Program:
    """Program that trains members which differ only in seeds and traced numbers.

    Attributes:
        cfg: their config, without the traced numbers.
        traced: paths of the traced numbers.
        devices: devices over which the members are distributed.
        init_at_random_ep_len: whether every environment starts at a random step of its first episode.
        spec: static properties of the environment.
    """

    def __init__(
        self,
        env: Env[Any],
        cfg: BaseRunnerConfig,
        traced: Sequence[str],
        *,
        stretch: int,
        devices: Sequence[jax.Device],
        init_at_random_ep_len: bool = False,
    ) -> None:
        """Set up the program; it is compiled when it is first called.

        Args:
            env: the environments of one member.
            cfg: the config.
            traced: paths of the numbers that are arguments of the program.
            stretch: maximum number of iterations of one call.
            devices: devices over which the members are distributed.
            init_at_random_ep_len: start every environment at a random step of its first episode.

        Raises:
            ValueError: if config and environment do not match.
        """
        self.cfg, self.traced, self.devices = cfg, tuple(traced), tuple(devices)
        self._env, self._stretch, self.init_at_random_ep_len = env, stretch, init_at_random_ep_len
        self.spec = spec_of(env)
        self._built = build_algorithm(cfg, self.spec)
        check_training(self._built, num_envs=env.num_envs, num_steps=cfg.num_steps_per_env)
        if init_at_random_ep_len:
            limit_of_counted_episodes(env, jax.eval_shape(env.reset, jax.random.key(0))[0])
        self._evaluation = make_evaluation(env, cfg, spec=self.spec)
        self._mesh, members = Mesh(np.array(self.devices), (AXIS,)), P(AXIS)
        # Stated, because XLA reports arrays without elements, which simulators' states have, as not sharded.
        self._placed = None if len(self.devices) == 1 else NamedSharding(self._mesh, members)
        begin = self._spread(jax.vmap(self._begin), (members, members), members)
        self._init = jit_once(begin, self.devices[0], out_shardings=self._placed)
        self._compiled: dict[int, Any] = {}
        many = self._spread(self._many, (members, members, P(), P()), (members, members))
        self._train = jax.jit(many, donate_argnums=(0,), out_shardings=self._placed)
        # Parents and copies may be on different devices, so that this is one program on global arrays.
        self._exchange = jax.jit(self._exchanged, donate_argnums=(0,), out_shardings=self._placed)

    @property
    def score_tag(self) -> str:
        """Tag that determines the best state: that of evaluations, if there are any."""
        return self._built.score_tag if self._evaluation is None else REWARD

    def init(self, members: Sequence[Member]) -> tuple[Population, Array]:
        """Return the initial states of members, the same as of an ``OnPolicyRunner`` with each seed, and their numbers.

        Args:
            members: a multiple of the number of devices, see :meth:`padded`.

        Returns:
            the population, and the traced numbers ``[members, len(traced)]``.
        """
        keys = jnp.stack([jax.random.key(member.seed) for member in members])
        numbers = self.place(self.numbers_of(members))
        return self._init(self.place(keys), numbers), numbers

    def numbers_of(self, members: Sequence[Member]) -> np.ndarray:
        """Return the traced numbers of members, ``[members, len(traced)]``."""
        rows = [[float(member.setting[path]) for path in self.traced] for member in members]
        return np.asarray(rows, default_dtype()).reshape(len(members), len(self.traced))

    def train(
        self, population: Population, numbers: Array, iterations: int, *, finished: int = 0
    ) -> tuple[Population, dict[str, np.ndarray]]:
        """Train all members for some iterations; the given population's buffers are donated.

        Args:
            population: all members.
            numbers: their traced numbers.
            iterations: number of iterations, at most ``stretch``.
            finished: number of iterations before these, which determines when an evaluation is due.

        Returns:
            the population after it, and metrics by tag, each ``[members, iterations]``.
        """
        train = self._compiled.get(len(population.failed), self._train)
        population, metrics = train(population, numbers, *_int32(iterations, finished))
        return population, {tag: rows[:, :iterations] for tag, rows in jax.device_get(metrics).items()}

    def place(self, tree: Any) -> Any:
        """Place arrays of members on the devices."""
        if self._placed is None:
            return jax.device_put(tree, None if self.devices[0] == jax.devices()[0] else self.devices[0])
        return jax.device_put(tree, self._placed)

    def padded(self, members: Sequence[Member], size: int = 0) -> list[Member]:
        """Repeat the last member until there are at least ``size``, and equally many on each device."""
        size = max(size, len(members))
        missing = size + -size % len(self.devices) - len(members)
        return [*members, *[members[-1]] * missing]

    def chunk_size(self, members: Sequence[Member], memory: float | None = None) -> int:
        """Return how many members fit into memory at once, according to XLA; the program compiled for this is kept.

        Args:
            members: all of them.
            memory: bytes that may be used on each device; a fraction of the free memory if None. The devices of a CPU
                share their memory.
        """
        free = memory_of(self.devices[0])
        limit = memory if memory is not None else None if free is None else MEMORY_SHARE * free
        sharing = len(self.devices) if self.devices[0].platform == "cpu" else 1
        size = len(members)
        while limit is not None and size > 1:
            needed = sharing * self._compile(*self.init(self.padded(members[:size])))
            if needed <= limit:
                break
            size = max(1, min(size - 1, int(size * limit / needed)))
        return size

    def trace(self) -> tuple[Any, list[str]]:
        """Trace an iteration without running or compiling anything.

        Returns:
            the jaxpr, whose last inputs are the traced numbers, and the tags of the metrics.

        Raises:
            Exception: whatever JAX raises if a traced number determines the structure of the program.
        """
        numbers = [jnp.zeros((), default_dtype())] * len(self.traced)
        population = jax.eval_shape(self._begin, jax.random.key(0), numbers)
        trace = jax.make_jaxpr(lambda p, n: self._iterate(p, n), return_shape=True)
        jaxpr, (_, metrics) = trace(population, numbers)
        evaluated = jax.eval_shape(self._evaluated, population, numbers, population.state.iteration)
        return jaxpr, sorted({*metrics, *evaluated})

    def exchange(self, population: Population, numbers: Array, parents: np.ndarray) -> Population:
        """Replace members by copies of others; the given population's buffers are donated.

        A copy takes over the whole state of its parent (parameters, optimiser, statistics, environments with their
        hidden states and episodes) except for the random key.

        Args:
            population: all members.
            numbers: their new traced numbers.
            parents: index of each member's parent, its own index if it is not replaced, ``[members]``.
        """
        disable_for_several(self.devices)
        return self._exchange(population, numbers, self.place(np.asarray(parents, np.int32)))

    # --- within ------------------------------------------------------------------------------------------------------

    def _exchanged(self, population: Population, numbers: Array, parents: Array) -> Population:
        copied = jax.tree.map(lambda x: x[parents], population)
        state, loop = copied.state, dataclasses.replace(copied.loop, key=population.loop.key)
        if LEARNING_RATE in self.traced:  # the only number in a state; an adaptive schedule continues from it
            rates = numbers[:, self.traced.index(LEARNING_RATE)].astype(state.learning_rate.dtype)
            is_copy = parents != jnp.arange(len(parents), dtype=parents.dtype)
            state = dataclasses.replace(state, learning_rate=jnp.where(is_copy, rates, state.learning_rate))
        return dataclasses.replace(copied, state=state, loop=loop)

    def _spread(self, function: Any, in_specs: Any, out_specs: Any) -> Any:
        if len(self.devices) == 1:
            return function
        # Members do not communicate: each device runs the program on its own members.
        return jax.shard_map(function, mesh=self._mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    def _algorithm(self, numbers: Array | Sequence[Array]) -> Algorithm:
        if not self.traced:
            return self._built
        cfg = apply_setting(self.cfg, {path: numbers[index] for index, path in enumerate(self.traced)})
        return build_algorithm(cfg, dataclasses.replace(self.spec, tried_out=True))

    def _begin(self, key: Key, numbers: Array | Sequence[Array]) -> Population:
        state, loop = init_states(self._algorithm(numbers), self._env, key)
        if self.init_at_random_ep_len:
            length_key, rest = jax.random.split(loop.key)
            loop = randomize_episode_lengths(self._env, dataclasses.replace(loop, key=rest), length_key)
        return Population(state, loop, jnp.asarray(-1, jnp.int32))

    def _iterate(self, population: Population, numbers: Array | Sequence[Array]) -> tuple[Population, Metrics]:
        iteration = make_iteration(
            self._algorithm(numbers),
            self._env,
            num_steps=self.cfg.num_steps_per_env,
            check_for_nan=self.cfg.check_for_nan,
        )
        state, loop, metrics = iteration(population.state, population.loop)
        fails = has_failed(metrics) & (self.cfg.on_non_finite == "stop") & (population.failed < 0)
        failed = jnp.where(fails, population.state.iteration, population.failed)
        # Once a member has failed, its state stays the last good one, whatever its environments do afterwards.
        state = jax.tree.map(lambda new, old: jnp.where(failed < 0, new, old), state, population.state)
        return Population(state, loop, failed), metrics

    def _evaluated(self, population: Population, numbers: Array | Sequence[Array], finished: Array) -> Metrics:
        if self._evaluation is None:
            return {}
        return self._evaluation.metrics_after(finished, self._algorithm(numbers), population.state)

    def _iterate_all(self, population: Population, numbers: Array, finished: Array) -> tuple[Population, Metrics]:
        population, metrics = jax.vmap(self._iterate)(population, numbers)
        return population, metrics | jax.vmap(self._evaluated, (0, 0, None))(population, numbers, finished)

    def _many(
        self, population: Population, numbers: Array, iterations: Array, finished: Array
    ) -> tuple[Population, Metrics]:
        shapes = jax.eval_shape(self._iterate_all, population, numbers, finished)[1]
        rows = {tag: jnp.zeros((*x.shape, self._stretch), x.dtype) for tag, x in shapes.items()}

        # The number of iterations is an argument, so that the last, shorter block needs no separate program.
        def body(i: Array, carry: tuple[Population, Metrics]) -> tuple[Population, Metrics]:
            population, rows = carry
            population, metrics = self._iterate_all(population, numbers, finished + i + 1)
            return population, {tag: rows[tag].at[:, i].set(x) for tag, x in metrics.items()}

        return jax.lax.fori_loop(0, iterations, body, (population, rows))

    def _compile(self, population: Population, numbers: Array) -> int:
        """Compile the program for this number of members; returns the bytes that it needs on each device."""
        compiled = self._train.lower(population, numbers, *_int32(1, 0)).compile()
        self._compiled = {len(population.failed): compiled}
        analysis: Any = compiled.memory_analysis()
        return int(analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes)


def _int32(*values: int) -> list[Array]:
    return [jnp.asarray(value, jnp.int32) for value in values]


def memory_of(device: jax.Device) -> int | None:
    """Return the memory of a device in bytes, as far as it reports it; for a CPU the free memory of the machine."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
