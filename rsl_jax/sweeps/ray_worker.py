"""What runs in a worker of Ray: one part of a sweep after the other, a block of iterations for each call."""

from __future__ import annotations

import dataclasses
import os
import pickle
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from rsl_jax.compilation_cache import default_folder, use_compilation_cache
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import MEMORY_SHARE, Population, Program, memory_of
from rsl_jax.sweeps.running import LONGEST_STRETCH, Part, Run

OPTIONS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
"""JAX's options that workers take over: those that decide the numbers, and those of the compilation cache."""

LEAST_THREADS = 3
"""Minimum number of XLA's threads: LAPACK's batched decompositions need two more than there are devices."""

GPU_MEMORY = 0.75
"""Fraction of a GPU's memory that JAX reserves, for one process."""


@dataclass(frozen=True)
class Surroundings:
    """Settings of the process that a sweep is started from, which hold in its workers too.

    Attributes:
        path: folders in which modules are searched.
        folder: the working directory.
        options: JAX's options.
        cache: folder of compiled programs, or None; ``""`` for the user's own on each machine.
        num_cpus: CPU cores of a worker.
        num_gpus: GPUs of a worker.
    """

    path: Sequence[str]
    folder: str
    options: Mapping[str, Any]
    cache: str | None
    num_cpus: float
    num_gpus: float

    @classmethod
    def here(cls, *, num_cpus: float, num_gpus: float) -> Surroundings:
        """Return those of this process."""
        cache: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
        return cls(
            path=[os.path.abspath(folder) for folder in sys.path],
            folder=os.getcwd(),
            options={name: getattr(jax.config, name) for name in OPTIONS},
            cache="" if cache == str(default_folder()) else cache,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )

    def enter(self) -> None:
        """Take them over, before JAX starts in this process."""
        sys.path += [folder for folder in self.path if folder not in sys.path]
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        os.environ["NPROC"] = str(max(LEAST_THREADS, int(self.num_cpus)))
        if 0 < self.num_gpus < 1:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{GPU_MEMORY * self.num_gpus:.3f}")
        jax.config.update("jax_platforms", "" if self.num_gpus else "cpu")
        for name, value in self.options.items():
            jax.config.update(name, value)
        if self.cache is not None:
            use_compilation_cache(self.cache or default_folder())


@dataclass(frozen=True)
class Job:
    """What a worker needs to know of a sweep.

    Attributes:
        env: the environments of one member.
        cfg: the config that settings change.
        shapes: config of each program.
        traced: paths of the traced numbers.
        iterations: of each member.
        init_at_random_ep_len: start every environment at a random step of its episode.
        check_memory: whether to check that a part fits into memory.
        neighbours: maximum number of workers of a machine, which share its memory.
        folder: the sweep's folder, or None.
        description: the sweep, as the folder holds it.
    """

    env: Env[Any]
    cfg: BaseRunnerConfig
    shapes: Sequence[BaseRunnerConfig]
    traced: Sequence[str]
    iterations: int
    init_at_random_ep_len: bool
    check_memory: bool
    neighbours: int
    folder: str | None
    description: Mapping[str, Any]


class Block(NamedTuple):
    """What a worker has done since it was last asked.

    Attributes:
        start: number of iterations before these.
        finished: number of iterations after them.
        metrics: by tag, ``[members, finished - start]``.
        failed: iteration in which NaN or infinity appeared, ``[members]``; -1 for none.
        population: the members, once their training is over, else None.
    """

    start: int
    finished: int
    metrics: Mapping[str, np.ndarray]
    failed: np.ndarray
    population: Population | None


class Worker:
    """Actor that trains parts of a sweep, one after the other.

    It does nothing on its own: its calls are a block of iterations each, so that the process that started the sweep
    decides after every block whether to go on, and notices soon that a worker is lost.
    """

    def prepare(self, surroundings: Surroundings, job: bytes) -> str:
        """Start JAX and read what is to be done; returns the worker's name.

        Args:
            surroundings: settings of the process that the sweep is started from.
            job: the pickled :class:`Job`.

        Raises:
            ImportError: if a module that the environment needs is missing on this machine.
            RuntimeError: if JAX does not find the GPUs.
        """
        surroundings.enter()
        name = f"process {os.getpid()} on {platform.node()}"
        if surroundings.num_gpus and jax.default_backend() == "cpu":
            raise RuntimeError(f"JAX finds no GPU in {name}. Install it for GPUs there, or choose num_gpus=0.")
        try:
            self._job: Job = pickle.loads(job)
        except ImportError as error:
            raise ImportError(
                f"{error}, in {name}. What the environment and the config need must be installed on every machine of "
                "the cluster, or be in a folder that all of them see."
            ) from error
        self._program: tuple[int, Program] | None = None
        return name

    def begin(self, part: Part) -> Block:
        """Begin a part, from its checkpoint if there is one; returns what that holds.

        Raises:
            FileNotFoundError: if the sweep's folder is not shared with this machine.
            ValueError: if the part does not fit into memory.
        """
        job = self._job
        program = self._program_of(part)
        own = [dataclasses.replace(member, index=index) for index, member in enumerate(part.members)]
        self._run = Run(job.env, job.cfg, own, job.iterations, None)
        if job.folder is not None:
            try:
                self._run.folder = SweepFolder(job.folder, job.description, resume=True)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"The folder of the sweep, '{job.folder}', is not on {platform.node()}. It must be on a file "
                    "system that all machines of the cluster share."
                ) from error
        self._finished = 0
        self._blocks = self._run.train_part(program, dataclasses.replace(part, members=own))
        return self.proceed(stop=False)

    def proceed(self, *, stop: bool) -> Block:
        """Train for a block of iterations.

        Args:
            stop: whether to save and end instead.
        """
        self._run.stop_requested = stop
        is_over = next(self._blocks, None) is None
        start, self._finished = self._finished, self._run.done // len(self._run.members)
        metrics = {tag: rows[:, start : self._finished] for tag, rows in self._run.metrics.items()}
        population = self._run.populations[0][0] if is_over else None
        return Block(start, self._finished, metrics, self._run.failed, population)

    def _program_of(self, part: Part) -> Program:
        """Return the program of a part; the one before is kept, because most parts share it."""
        if self._program is not None and self._program[0] == part.program:
            return self._program[1]
        job, devices = self._job, jax.devices()
        program = Program(
            job.env,
            job.shapes[part.program],
            job.traced,
            stretch=min(job.iterations, LONGEST_STRETCH),
            devices=devices[: 1 if devices[0].platform == "cpu" else part.size],
            init_at_random_ep_len=job.init_at_random_ep_len,
        )
        if job.check_memory:
            self._check_memory(program, part)
        self._program = (part.program, program)
        return program

    def _check_memory(self, program: Program, part: Part) -> None:
        free = memory_of(program.devices[0]) if program.devices[0].platform == "cpu" else None
        limit = None if free is None else MEMORY_SHARE * free / self._job.neighbours
        fitting = program.chunk_size(part.members, limit)
        if fitting < len(part.members):
            raise ValueError(
                f"{len(part.members)} members are trained at once by each worker, but only {fitting} fit into memory "
                f"on {platform.node()}. Start again with members_at_once={fitting}, in a new folder, or use more "
                "machines."
            )
