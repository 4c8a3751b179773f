"""Training of all members of a sweep: one program after the other, each a block of iterations at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.interrupts import stop_on_signals
from rsl_jax.metadata import Metadata
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import Population, Program, traceable_paths
from rsl_jax.sweeps.progress import Progress, SweepConsole
from rsl_jax.sweeps.results import SweepResult
from rsl_jax.sweeps.settings import Member, Setting, list_seeds, list_settings, numeric_paths, shapes_of
from rsl_jax.training.iteration import spec_of
from rsl_jax.training.sharding import Devices

STRETCH_SECONDS = 2.0
"""Target duration of a block of iterations in seconds: the interval of progress reports, and how long Ctrl-C waits."""

LONGEST_STRETCH = 100
"""Maximum number of iterations of a block."""


class SweepStopped(KeyboardInterrupt):
    """Error for a sweep that a signal stopped before its end.

    Attributes:
        result: what was trained until then.
    """

    def __init__(self, result: SweepResult, message: str) -> None:
        """Keep the partial result."""
        super().__init__(message)
        self.result = result


def sweep(
    env: Env[Any] | str,
    cfg: BaseRunnerConfig | Mapping[str, Any],
    *,
    iterations: int,
    seeds: int | Iterable[int] = 16,
    settings: Sequence[Setting] | None = None,
    vary: Mapping[str, Iterable[Any]] | None = None,
    num_envs: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    devices: int | Sequence[jax.Device] | None = None,
    members_at_once: int | None = None,
    init_at_random_ep_len: bool = False,
    console: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    **varied: Iterable[Any],
) -> SweepResult:
    """Train many seeds of many settings, as many at once as fit into memory.

    Keys are given by their path in the config, or by its end where that is enough: ``learning_rate=[1e-4, 1e-3]``,
    ``vary={"actor.distribution_cfg.init_std": [0.5, 1.0]}``. Lists of values are combined. Members that differ in real
    numbers alone are one program, vectorised over them; each value of what shapes the program (sizes, epochs, names)
    is a separate program. Each member is the run of an ``OnPolicyRunner`` of its config and seed, up to the rounding
    of vectorised matrix products.

    Args:
        env: the environments of one member, or a name for :func:`rsl_jax.env.make_env`.
        cfg: the config, or RSL-RL's dict of it.
        iterations: of each member.
        seeds: how many seeds of each setting, or which.
        settings: the settings as a list of mappings, values by key, instead of lists of values.
        vary: lists of values by key, as ``varied``, for keys that contain a dot.
        num_envs: environments of one member, where ``env`` is a name.
        folder: where checkpoints of all members are written, every ``save_interval`` iterations; None writes nothing.
        resume: continue the sweep in ``folder``.
        devices: devices to spread the members over, or their number; all of JAX's if None.
        members_at_once: maximum number of members that one call trains; as many as fit into memory if None.
        init_at_random_ep_len: start every environment at a random step of its episode.
        console: whether to show progress.
        on_progress: called with the progress after every block of iterations.
        **varied: lists of values by key.

    Returns:
        curves by setting and seed, and the trained members.

    Raises:
        ValueError: if something does not fit together, or is out of range.
        TypeError: for a value of the wrong type.
        SweepStopped: when Ctrl-C or SIGTERM stopped it; what was trained is in its ``result``, and in the folder.
    """
    env = _environment(env, num_envs)
    cfg = BaseRunnerConfig.from_dict(cfg)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations must be a whole number of at least 1; got {iterations!r}.")
    chosen_settings = list_settings(cfg, {**(vary or {}), **varied}, settings)
    chosen_seeds = list_seeds(seeds)
    chosen_devices = Devices.choose(len(jax.devices()) if devices is None else devices).devices
    members = [
        Member(index, setting, seed)
        for index, (setting, seed) in enumerate((s, seed) for s in chosen_settings for seed in chosen_seeds)
    ]
    traced = traceable_paths(env, cfg, numeric_paths(cfg, chosen_settings))
    run = _Run(
        env=env,
        cfg=cfg,
        members=members,
        iterations=iterations,
        folder=None,
        members_at_once=members_at_once,
        on_progress=on_progress,
    )
    programs = [
        (
            Program(
                env,
                shape,
                traced,
                stretch=min(iterations, LONGEST_STRETCH),
                devices=chosen_devices[: len(own)],
                init_at_random_ep_len=init_at_random_ep_len,
            ),
            own,
        )
        for shape, own in shapes_of(cfg, members, traced)
    ]
    if folder is not None:
        run.folder = SweepFolder(folder, run.description(), resume=resume)
    elif resume:
        raise ValueError("resume=True continues the sweep in a folder; give folder=PATH.")
    title = f"Sweep of {len(members)} runs ({len(chosen_settings)} settings x {len(chosen_seeds)} seeds)"
    shown = SweepConsole(title) if console else contextlib.nullcontext()
    with shown as run.console, stop_on_signals(run.request_stop):
        run.train(programs)
    result = run.result()
    if run.stop_requested and not run.is_finished:
        go_on = f" Continue with sweep(..., folder='{folder}', resume=True)." if folder is not None else ""
        raise SweepStopped(result, f"The sweep was stopped; what was trained is in this error's 'result'.{go_on}")
    return result


@dataclass
class _Run:
    """Progress of a running sweep; the only mutable state.

    Attributes:
        env: the environments of one member.
        cfg: the config that settings change.
        members: all of them.
        iterations: of each.
        folder: where checkpoints are written, or None.
        members_at_once: maximum number of members of a call; None for as many as fit into memory.
        on_progress: called after every block of iterations.
        console: shows progress, or None.
        stop_requested: whether to end after the current block.
        is_finished: whether all are trained.
    """

    env: Env[Any]
    cfg: BaseRunnerConfig
    members: Sequence[Member]
    iterations: int
    folder: SweepFolder | None
    members_at_once: int | None
    on_progress: Callable[[Progress], None] | None
    console: SweepConsole | None = None
    stop_requested: bool = False
    is_finished: bool = False

    def __post_init__(self) -> None:
        self.metrics: dict[str, np.ndarray] = {}
        self.failed = np.full(len(self.members), -1)
        self.populations: list[tuple[Population, Sequence[int]]] = []
        self.began = time.perf_counter()
        self.done = 0
        self.spec = spec_of(self.env)  # once: it traces the reset of a simulator

    def request_stop(self) -> None:
        self.stop_requested = True

    def description(self) -> dict[str, Any]:
        spec = Metadata.of_run(self.cfg, self.spec, iteration=0).environment
        return {
            "cfg": self.cfg.to_dict(),
            "environment": spec,
            "iterations": self.iterations,
            "members": [{"setting": dict(member.setting), "seed": member.seed} for member in self.members],
        }

    def train(self, programs: Sequence[tuple[Program, Sequence[Member]]]) -> None:
        part = 0
        for program, members in programs:
            size = self.members_at_once or program.chunk_size(members)
            for start in range(0, len(members), size):
                self._train_part(part, program, members[start : start + size], size if start else 0)
                part += 1
                if self.stop_requested:
                    return
        self.is_finished = True

    def result(self) -> SweepResult:
        return SweepResult(
            cfg=self.cfg,
            members=self.members,
            metrics=self.metrics,
            failed=self.failed,
            steps_per_iteration=self.env.num_envs * self.cfg.num_steps_per_env,
            seconds=time.perf_counter() - self.began,
            populations=self.populations,
        )

    def _train_part(self, part: int, program: Program, members: Sequence[Member], size: int) -> None:
        population, numbers = program.init(program.padded(members, size))  # the last part, too, is of the same program
        rows, finished = [member.index for member in members], 0
        loaded = None if self.folder is None else self.folder.load(part, population)
        if loaded is not None:
            population, metrics, finished = loaded
            population = program.place(population)
            self.done += finished * len(rows)
            self._note(metrics, rows, 0, np.asarray(population.failed)[: len(rows)])
        for length in self._stretches(finished):
            population, metrics = program.train(population, numbers, length)
            self._note(metrics, rows, finished, np.asarray(population.failed)[: len(rows)])
            finished += length
            self.done += length * len(rows)
            self._report(rows, finished)
            ends = finished == self.iterations or self.stop_requested
            if self.folder is not None and (ends or finished % self.cfg.save_interval == 0):
                self._save(part, program, population, rows, finished)
            if self.stop_requested:
                break
        kept = jax.tree.map(lambda x: x[: len(rows)], population)
        self.populations.append((jax.device_put(kept, jax.devices("cpu")[0]), rows))  # the next part needs the room

    def _stretches(self, finished: int) -> Iterator[int]:
        """Yield the lengths of the coming blocks of iterations: the interval of reports, none beyond a checkpoint."""
        length, interval = 1, self.cfg.save_interval if self.folder is not None else self.iterations
        while finished < self.iterations:
            length = min(length, self.iterations - finished, interval - finished % interval)
            start = time.perf_counter()
            yield length
            each = (time.perf_counter() - start) / length
            finished += length
            length = max(1, min(2 * length, LONGEST_STRETCH, int(STRETCH_SECONDS / max(each, 1e-9))))

    def _note(self, metrics: Mapping[str, np.ndarray], rows: Sequence[int], start: int, failed: np.ndarray) -> None:
        for tag, values in metrics.items():
            if tag not in self.metrics:
                self.metrics[tag] = np.full((len(self.members), self.iterations), np.nan, np.float32)
            self.metrics[tag][rows, start : start + values.shape[1]] = values[: len(rows)]
        self.failed[rows] = failed

    def _report(self, rows: Sequence[int], finished: int) -> None:
        progress = Progress(
            members=self.members,
            training=rows,
            iteration=finished,
            iterations=self.iterations,
            metrics=self.metrics,
            failed=self.failed,
            finished=self.done,
            elapsed=time.perf_counter() - self.began,
        )
        if self.console is not None:
            self.console.update(progress)
        if self.on_progress is not None:
            self.on_progress(progress)

    def _save(self, part: int, program: Program, population: Population, rows: Sequence[int], finished: int) -> None:
        assert self.folder is not None
        run = Metadata.of_run(program.cfg, self.spec, iteration=finished - 1)
        width = len(population.failed)
        metrics = {}
        for tag, values in self.metrics.items():
            own = values[rows, :finished]
            metrics[tag] = np.concatenate([own, own[-1:].repeat(width - len(rows), 0)])
        self.folder.save(part, population, metrics, run)


def _environment(env: Any, num_envs: int | None) -> Env[Any]:
    if isinstance(env, str):
        from rsl_jax.env import make_env

        env = make_env(env, **({} if num_envs is None else {"num_envs": num_envs}))
    elif num_envs is not None and num_envs != env.num_envs:
        raise ValueError(f"num_envs is {num_envs}, but the environment that is given has {env.num_envs}.")
    if not isinstance(env, Env):
        raise TypeError(
            f"A sweep compiles its environments, so it needs a rsl_jax.env.Env; got {type(env).__name__}. Train an "
            "environment outside JAX by one OnPolicyRunner after another."
        )
    return env
