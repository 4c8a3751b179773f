"""The runner's logger: writers for the scalars, the console, the state of the code."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rsl_jax.logging.console import TrainingConsole
from rsl_jax.logging.events import iteration_times, read_scalars
from rsl_jax.logging.git_state import store_git_state
from rsl_jax.logging.several import choose_writers, logger_type, open_writers
from rsl_jax.logging.status import Status
from rsl_jax.logging.writer import LogWriter

_VIDEO_SETTLED_AFTER = 2.0

_GONE = (OSError, SystemExit)
"""Exceptions of printing when the terminal was closed or the pipe has no reader any more (rich then asks the program to
end); training needs neither."""


class Logger:
    """Logger of a run: scalars to one or more writers, progress to the console, git state to ``log_dir/git``.

    The caller starts it, logs every iteration, and stops it; as a context manager it stops by itself::

        with logger.start(0, 500):
            for it in range(500):
                ...
                logger.log(it, metrics, collection_time=None, learning_time=seconds)

    Attributes:
        log_dir: folder of the run, None if nothing is written.
        writer: the writer of scalars while the logger is started, otherwise None. It neither raises nor waits.
        logger_type: name of the writer in the config, as in RSL-RL 5.4.2; of several, the first that is not
            TensorBoard's. None if nothing is written.
        elapsed: seconds of training so far; continues in a resumed run.
        cfg: the training config.
        env_cfg: the environment's config.
        num_envs: environments on all devices together.
        git_status_repos: files or folders in the repositories whose state is recorded.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None,
        train_cfg: Mapping[str, Any],
        env_cfg: object = None,
        *,
        num_envs: int,
        num_steps_per_env: int,
        title: str | None = None,
        console: bool = True,
    ) -> None:
        """Set up; nothing is opened or shown before :meth:`start`, but requirements are checked.

        Args:
            log_dir: folder of the run. None: nothing is written, the console works anyway.
            train_cfg: the training config; ``logger`` says which writers (see :func:`choose_writers`), and
                ``upload_model: false`` keeps checkpoints and policies from them.
            env_cfg: the environment's config, saved by writers that save configs.
            num_envs: environments on all devices together.
            num_steps_per_env: steps of each environment in one iteration.
            title: name of the run on the console; by default its ``run_name`` or the name of ``log_dir``.
            console: whether to show progress. Processes other than the first switch it off and pass no ``log_dir``.

        Raises:
            ValueError: for an unknown name under ``logger``; with a ``log_dir`` also where a tracker's key is missing.
            TypeError: for an argument that a writer does not have, or something that cannot be a writer.
            ImportError: with a ``log_dir``, where a tracker's package is missing.
        """
        self.log_dir = None if log_dir is None else Path(log_dir)
        self.writer: LogWriter | None = None
        self.elapsed = 0.0
        self.cfg = train_cfg
        self.env_cfg = env_cfg
        self.num_envs = num_envs
        self._choices = choose_writers(train_cfg, will_open=log_dir is not None)
        self.logger_type = logger_type(self._choices) if log_dir is not None else None
        self._steps_per_iteration = num_envs * num_steps_per_env
        self._title = title or train_cfg.get("run_name") or (self.log_dir.name if self.log_dir else "") or "rsl_jax"
        self._show_console = console
        self._console: TrainingConsole | None = None
        self.git_status_repos: list[str | os.PathLike[str]] = [Path(__file__).parent]
        self._videos: set[Path] = set()
        self._total_it = 0
        self._last_it = 0
        self._was_started = False
        self._done = 0
        self._first_finished: tuple[int, float] | None = None

    def add_git_repo(self, path: str | os.PathLike[str]) -> None:
        """Also record the git state of the repository that holds ``path``; call before :meth:`start`."""
        self.git_status_repos.append(path)

    @property
    def tot_timesteps(self) -> int:
        """Number of steps of all environments so far."""
        return self._done * self._steps_per_iteration

    @property
    def tot_time(self) -> float:
        """Alias of ``elapsed``, by RSL-RL's name."""
        return self.elapsed

    def start(self, start_it: int, total_it: int) -> Logger:
        """Open the writers and the console.

        Args:
            start_it: the first iteration; above zero in a resumed run.
            total_it: number of iterations at the end.
        """
        self.stop()
        self._total_it, self._first_finished, self._done = total_it, None, start_it
        self._was_started = True
        if self.log_dir is not None:
            if start_it > 0 and self.elapsed == 0.0:
                self.elapsed = _elapsed_before(self.log_dir, start_it)
            self.writer = open_writers(self._choices, self.log_dir)
            if self.writer is not None:
                self.writer.store_config(self.env_cfg, self.cfg)
            for repo in self.git_status_repos:
                stored = store_git_state(repo, self.log_dir / "git")
                if stored is not None:
                    self.save_file(stored)
        if self._show_console:
            status = Status(self._title, start_it, total_it, start_it * self._steps_per_iteration, self.elapsed)
            self._console = TrainingConsole(status).start()
        return self

    def log(
        self, it: int, metrics: Mapping[str, float], *, collection_time: float | None, learning_time: float
    ) -> None:
        """Log one iteration.

        Args:
            it: the iteration, counted from 0 over all sessions of the run.
            metrics: scalars by tag, on the host. NaN means that there is no value (no episode has ended yet) and is not
                written. Tags without a slash belong to the environment's log and get the prefix ``Episode/``.
            collection_time: seconds spent collecting; None where collecting and learning are one compiled call.
            learning_time: seconds spent learning, or in the whole iteration where ``collection_time`` is None.
        """
        iteration_time = learning_time + (collection_time or 0.0)
        self.elapsed += iteration_time
        self._last_it, self._done = it, it + 1
        scalars = {tag if "/" in tag else f"Episode/{tag}": float(value) for tag, value in metrics.items()}
        scalars["Perf/total_fps"] = self._steps_per_iteration / max(iteration_time, 1e-9)
        if collection_time is None:
            scalars["Perf/iteration_time"] = iteration_time
        else:
            scalars["Perf/collection_time"] = collection_time
            scalars["Perf/learning_time"] = learning_time
        self._write(it, scalars)
        if self._console is not None:
            steps = (it + 1) * self._steps_per_iteration
            left = self._time_left(it)
            try:
                self._console.update(Status(self._title, it + 1, self._total_it, steps, self.elapsed, left, scalars))
            except _GONE:
                self._stop_console()

    def flush(self) -> None:
        """Flush the writers, so that the log is complete up to a checkpoint that follows."""
        if self.writer is not None:
            self.writer.flush()

    def save_model(self, path: str | os.PathLike[str], it: int) -> None:
        """Pass a checkpoint to the writers, unless the config says ``upload_model: false``.

        They may read it later: it must not be removed. Without writers nothing happens. After the end trackers are
        opened once more, and add it to the same run.
        """
        if self.cfg.get("upload_model", True):
            self._hand_over("save_model", str(path), it)

    def save_policy(self, path: str | os.PathLike[str]) -> None:
        """Pass an exported policy to the writers, as :meth:`save_model` does with a checkpoint."""
        if self.cfg.get("upload_model", True):
            self.save_file(path)

    def save_file(self, path: str | os.PathLike[str]) -> None:
        """Pass a file to the writers, as :meth:`save_model` does with a checkpoint, whatever the config says."""
        self._hand_over("save_file", str(path))

    def stop(self) -> None:
        """Close the console and the writers; a second call does nothing.

        Writers in the background have a limited time for what they still hold.
        """
        self._stop_console()
        if self.writer is not None:
            try:
                self._save_new_videos(self._last_it, settled_after=0.0)
            finally:
                writer, self.writer = self.writer, None
                writer.stop()

    def stop_logging_writer(self) -> None:
        """Stop logging; an alias of :meth:`stop` by RSL-RL's name."""
        self.stop()

    def __enter__(self) -> Logger:
        """Return the logger itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, whatever happened."""
        self.stop()

    def _hand_over(self, method: str, *args: Any) -> None:
        if self.writer is not None:
            getattr(self.writer, method)(*args)
        elif self._was_started and self.log_dir is not None:
            trackers = open_writers([choice for choice in self._choices if choice.is_tracker], self.log_dir)
            if trackers is not None:
                getattr(trackers, method)(*args)
                trackers.stop()

    def _stop_console(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            with contextlib.suppress(*_GONE):
                console.stop()

    def _write(self, it: int, scalars: Mapping[str, float]) -> None:
        if self.writer is None:
            return
        there = {tag: value for tag, value in scalars.items() if not math.isnan(value)}
        self.writer.add_iteration(there, it, int(self.elapsed))
        self._save_new_videos(it, settled_after=_VIDEO_SETTLED_AFTER)

    def _save_new_videos(self, it: int, *, settled_after: float) -> None:
        """Pass each video below ``log_dir/videos`` to the writers once, after some seconds without a change to it."""
        folder = self.log_dir / "videos" if self.log_dir is not None else None
        if self.writer is None or folder is None or not folder.is_dir():
            return
        for video in sorted(set(folder.rglob("*.mp4")) - self._videos):
            try:
                age = time.time() - video.stat().st_mtime
            except OSError:  # it was moved or removed in the meantime
                continue
            if age >= settled_after:
                self._videos.add(video)
                self.writer.save_video(video, it)

    def _time_left(self, it: int) -> float | None:
        """Estimate the seconds to the end, from the wall-clock time since the first iteration (no compilation)."""
        now = time.monotonic()
        if self._first_finished is None:
            self._first_finished = (it, now)
        first_it, first_time = self._first_finished
        if it + 1 >= self._total_it:
            return 0.0
        return None if it == first_it else (now - first_time) / (it - first_it) * (self._total_it - it - 1)


def _elapsed_before(log_dir: Path, start_it: int) -> float:
    """Return the seconds of the iterations before ``start_it``, as far as ``log_dir`` records them."""
    times = iteration_times(read_scalars(log_dir))
    return 0.0 if times is None else float(times.values[times.steps < start_it].sum())
