"""Training of all members of a sweep: one program after the other, each in blocks of iterations."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from signal import SIGINT
from typing import Any

import jax
import numpy as np

from rsl_jax.checkpoint import lock_log_dir
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.interrupts import stop_on_signals
from rsl_jax.metadata import Metadata
from rsl_jax.sweeps.exchange import Exchange, Replacement, lineage_from_json, lineage_to_json
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import Population, Program
from rsl_jax.sweeps.progress import Progress, SweepConsole
from rsl_jax.sweeps.results import SweepResult
from rsl_jax.sweeps.settings import Member
from rsl_jax.sweeps.statistics import SCORE, latest
from rsl_jax.types import Spec

STRETCH_SECONDS = 2.0
"""Target duration of a block of iterations in seconds: the interval of progress reports, and how long Ctrl-C waits."""

LONGEST_STRETCH = 100
"""Maximum number of iterations of a block."""

Programs = Sequence[tuple[Program, Sequence[Member]]]
"""All programs of a sweep, with the members of each."""


@dataclass(frozen=True)
class Part:
    """Part of a sweep: members that one program trains at once.

    Attributes:
        index: its place in the sweep.
        program: index of the program.
        members: the members.
        size: number of members that the program trains at once; the last part of a program is filled up to it.
    """

    index: int
    program: int
    members: Sequence[Member]
    size: int


class SweepStopped(KeyboardInterrupt):
    """Error for a sweep that a signal stopped before its end.

    Attributes:
        result: results up to then.
        signal: number of the signal.
    """

    def __init__(self, result: SweepResult, message: str, signal: int = SIGINT) -> None:
        """Keep the partial result."""
        super().__init__(message)
        self.result, self.signal = result, signal


def check_number(name: str, value: Any) -> None:
    """Reject an invalid number of something, such as iterations.

    Raises:
        ValueError: says what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")


@dataclass
class Run:
    """Progress of a running sweep; the only mutable state.

    Attributes:
        env: the environments of one member.
        cfg: the config that settings change.
        members: all of them, with their current numbers.
        iterations: number of iterations of each member.
        on_progress: called after every block of iterations.
        members_at_once: maximum number of members that are trained at once; as many as fit into memory if None.
        exchange: rules by which members are replaced, or None.
        lineage: replacements so far.
        folder: folder of the checkpoints, or None.
        console: display of the progress, or None.
        stop_requested: whether to stop after the current block.
        is_finished: whether all members are trained.
        score: tag by which members are ranked.
    """

    env: Env[Any]
    cfg: BaseRunnerConfig
    members: list[Member]
    iterations: int
    on_progress: Callable[[Progress], None] | None
    members_at_once: int | None = None
    exchange: Exchange | None = None
    lineage: list[Replacement] = field(default_factory=list)
    folder: SweepFolder | None = None
    console: SweepConsole | None = None
    stop_requested: bool = False
    is_finished: bool = False
    score: str = SCORE

    def __post_init__(self) -> None:
        self.metrics: dict[str, np.ndarray] = {}
        self.failed = np.full(len(self.members), -1)
        self.populations: list[tuple[Population, Sequence[int]]] = []
        self.began = time.perf_counter()
        self.done = 0

    def request_stop(self) -> None:
        """Stop after the current block of iterations."""
        self.stop_requested = True

    def description(self, spec: Spec) -> dict[str, Any]:
        """Describe the sweep as JSON values; two sweeps with the same description are the same.

        Args:
            spec: static properties of the environment.
        """
        exchange = {} if self.exchange is None else {"population_based_training": self.exchange.to_json()}
        return {
            "cfg": self.cfg.to_dict(),
            "environment": Metadata.of_run(self.cfg, spec, iteration=0).environment,
            "iterations": self.iterations,
            "members": [{"setting": dict(member.setting), "seed": member.seed} for member in self.members],
            **exchange,
        }

    def train(
        self,
        programs: Programs,
        console: SweepConsole | None,
        train_all: Callable[[Run, Programs], None] | None = None,
    ) -> SweepResult:
        """Train all members.

        Args:
            programs: all programs, with the members of each.
            console: shows progress, or None.
            train_all: trains all members until ``stop_requested``; this process does if None.

        Raises:
            SweepStopped: if a signal stopped it before the end.
            RuntimeError: if another process trains in the folder.
        """
        folder = None if self.folder is None else self.folder.path
        with (
            lock_log_dir(folder),
            console or contextlib.nullcontext(),
            stop_on_signals(self.request_stop) as stopped,
        ):
            self.console = console
            self.score = programs[0][0].score_tag if self.exchange is None else self.exchange.score
            (train_all or _train_here)(self, programs)
        self.is_finished = self.done == len(self.members) * self.iterations
        if self.stop_requested and not self.is_finished:
            again = "resume it by the same call with resume=True"
            saved = f" All members are saved in '{self.folder.path}'; {again}." if self.folder is not None else ""
            text = f"The sweep was stopped; the results so far are in the 'result' of this error.{saved}"
            raise SweepStopped(self.result(), text, stopped.signal or SIGINT)
        return self.result()

    def result(self) -> SweepResult:
        """Return the results so far."""
        return SweepResult(
            cfg=self.cfg,
            members=self.members,
            metrics=self.metrics,
            failed=self.failed,
            steps_per_iteration=self.env.num_envs * self.cfg.num_steps_per_env,
            seconds=time.perf_counter() - self.began,
            populations=self.populations,
            score=self.score,
        )

    def parts(self, programs: Programs, choose: Callable[[Program, Sequence[Member]], int]) -> Iterator[Part]:
        """Split the members into parts; the same ones as before if the sweep is resumed.

        Args:
            programs: all programs, with the members of each.
            choose: chooses how many members of a program are trained at once.
        """
        count = itertools.count()
        for index, (program, members) in enumerate(programs):
            size = self._part_size(index, functools.partial(choose, program, members))
            for start in range(0, len(members), size):
                yield Part(next(count), index, members[start : start + size], min(size, len(members)))

    def _part_size(self, index: int, choose: Callable[[], int]) -> int:
        return choose() if self.folder is None else self.folder.part_size(index, choose)

    def train_part(self, program: Program, part: Part) -> Iterator[int]:
        """Train a part, from its checkpoint if there is one, until ``stop_requested``.

        Yields:
            number of completed iterations: at the start, and after each block of iterations.
        """
        members = program.padded(part.members, part.size)  # so that the last part uses the same program
        population, numbers = program.init(members)
        rows, finished = [member.index for member in part.members], 0
        saved = None if self.folder is None else self.folder.load(part.index, _resized(population, len(rows)))
        if saved is not None:
            finished = saved.iterations
            population = program.place(_resized(saved.population, len(members)))
            self.note(saved.metrics, rows, 0, np.asarray(saved.population.failed))
            self.done += finished * len(rows)
            if self.exchange is not None:
                self._go_on_with(lineage_from_json((saved.infos or {})["lineage"]))
                numbers = self._numbers(program)
        yield finished
        for length in self._stretches(finished):
            if self.exchange is not None and self.exchange.is_due(finished):
                population, numbers = self._exchange(program, population, finished)
            population, metrics = program.train(population, numbers, length, finished=finished)
            self.note(metrics, rows, finished, np.asarray(population.failed)[: len(rows)])
            finished += length
            self.done += length * len(rows)
            yield finished
            ends = finished == self.iterations or self.stop_requested
            if self.folder is not None and (ends or finished % self.cfg.save_interval == 0):
                self._save(part.index, program, population, rows, finished)
            if self.stop_requested:
                break
        kept = _resized(population, len(rows))
        self.populations.append((jax.device_put(kept, jax.devices("cpu")[0]), rows))  # the next part needs the memory

    # --- population-based training -----------------------------------------------------------------------------------

    def _exchange(self, program: Program, population: Population, finished: int) -> tuple[Population, Any]:
        """Replace members. Checkpoints hold the state before it, so a resumed population repeats this identically."""
        assert self.exchange is not None
        scores = latest(self.metrics[self.exchange.score][:, finished - self.exchange.interval : finished])
        settings = [member.setting for member in self.members]
        replacements = self.exchange.replacements(finished, scores, self.failed >= 0, settings)
        self._go_on_with(replacements)
        numbers = self._numbers(program)
        if replacements:
            parents = np.arange(len(population.failed))
            for each in replacements:
                parents[each.member] = each.parent
            population = program.exchange(population, numbers, parents)
        return population, numbers

    def _go_on_with(self, replacements: Sequence[Replacement]) -> None:
        self.lineage += replacements
        for each in replacements:
            self.members[each.member] = dataclasses.replace(self.members[each.member], setting=each.after)

    def _numbers(self, program: Program) -> Any:
        return program.place(program.numbers_of(program.padded(self.members)))

    # --- blocks, reports, checkpoints --------------------------------------------------------------------------------

    def _stretches(self, finished: int) -> Iterator[int]:
        """Yield the lengths of the next blocks of iterations; a block ends at every checkpoint and exchange."""
        length, intervals = 1, [self.iterations]
        intervals += [self.cfg.save_interval] if self.folder is not None else []
        intervals += [self.exchange.interval] if self.exchange is not None else []
        while finished < self.iterations:
            length = min(length, *(interval - finished % interval for interval in intervals))
            start = time.perf_counter()
            yield length
            each = (time.perf_counter() - start) / length
            finished += length
            length = max(1, min(2 * length, LONGEST_STRETCH, int(STRETCH_SECONDS / max(each, 1e-9))))

    def note(self, metrics: Mapping[str, np.ndarray], rows: Sequence[int], start: int, failed: np.ndarray) -> None:
        """Keep metrics of some members.

        Args:
            metrics: by tag, ``[members, iterations]``; there may be more members, which are copies of the last one.
            rows: indices of the members.
            start: number of iterations before these.
            failed: iteration in which NaN or infinity appeared, ``[members]``; -1 for none.
        """
        for tag, values in metrics.items():
            if tag not in self.metrics:
                self.metrics[tag] = np.full((len(self.members), self.iterations), np.nan, np.float32)
            self.metrics[tag][rows, start : start + values.shape[1]] = values[: len(rows)]
        self.failed[rows] = failed

    def report(self, rows: Sequence[int], finished: int) -> None:
        """Show the progress.

        Args:
            rows: indices of the members that are currently trained.
            finished: how many iterations all of these have finished.
        """
        progress = Progress(
            members=self.members,
            training=rows,
            iteration=finished,
            iterations=self.iterations,
            metrics=self.metrics,
            failed=self.failed,
            finished=self.done,
            elapsed=time.perf_counter() - self.began,
            score=self.score,
        )
        if self.console is not None:
            self.console.update(progress)
        if self.on_progress is not None:
            self.on_progress(progress)

    def _save(self, part: int, program: Program, population: Population, rows: Sequence[int], finished: int) -> None:
        assert self.folder is not None
        infos = None if self.exchange is None else {"lineage": lineage_to_json(self.lineage)}
        run = Metadata.of_run(program.cfg, program.spec, iteration=finished - 1, infos=infos)
        metrics = {tag: values[rows, :finished] for tag, values in self.metrics.items()}
        self.folder.save(part, _resized(population, len(rows)), metrics, run)


def _train_here(run: Run, programs: Programs) -> None:
    """Train all members in this process, one part after the other."""

    def choose(program: Program, members: Sequence[Member]) -> int:
        return run.members_at_once or program.chunk_size(members)

    for part in run.parts(programs, choose):
        blocks = run.train_part(programs[part.program][0], part)
        next(blocks)  # what its checkpoint holds
        for finished in blocks:
            run.report([member.index for member in part.members], finished)
        if run.stop_requested:
            break


def _resized(population: Population, size: int) -> Population:
    """Return the first members, or all with the last one repeated, as :meth:`Program.padded` does."""
    given = len(population.failed)
    rows = np.minimum(np.arange(size), given - 1)
    return population if size == given else jax.tree.map(lambda x: x[rows], population)
