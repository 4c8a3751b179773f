"""Wrappers that keep writers from stopping or slowing down the training."""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rsl_jax.logging.writer import LogWriter, scalars_one_by_one


class Troubles:
    """Errors of a writer: recorded in any thread, reported as warnings in the training's, once for each cause."""

    def __init__(self, name: str) -> None:
        """Start without errors; ``name`` is the writer's name in the config."""
        self._name = name
        self._causes: set[object] = set()
        self._unwarned: deque[str] = deque()

    def note(self, cause: object, text: str) -> None:
        """Record ``text`` for a warning, unless the same cause has been recorded before."""
        if cause not in self._causes:
            self._causes.add(cause)
            self._unwarned.append(f"The log writer '{self._name}' {text}")

    def note_error(self, method: str, error: BaseException) -> None:
        """Record an exception of a method of the writer."""
        self.note(
            (method, type(error)),
            f"failed in {method}: {type(error).__name__}: {error}. Training continues. The writer is called again the "
            "next time; the same failure is not reported again.",
        )

    def warn(self) -> None:
        """Warn of what has been recorded since the last call."""
        while self._unwarned:
            warnings.warn(self._unwarned.popleft(), RuntimeWarning, stacklevel=2)


class _Delivery:
    """Calls of a writer that record its exceptions."""

    def __init__(
        self,
        writer: LogWriter,
        troubles: Troubles,
        caught: type[BaseException],
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer, self._troubles, self._caught, self._is_late = writer, troubles, caught, is_late
        own = getattr(type(writer), "add_iteration", None)
        self._takes_iterations = own not in (None, LogWriter.add_iteration)

    def __call__(self, method: str, *args: Any) -> None:
        """Call a method; scalars of an iteration one by one, if the writer has no better method, until it is late."""
        if method == "flush" and not hasattr(self._writer, "flush"):
            return
        if method != "add_iteration" or self._takes_iterations:
            self._attempt(method, args)
            return
        for call in scalars_one_by_one(*args):
            if not self._is_late():
                self._attempt("add_scalar", call)

    def _attempt(self, method: str, args: tuple[Any, ...]) -> None:
        try:
            getattr(self._writer, method)(*args)
        except self._caught as error:
            self._troubles.note_error(method, error)


class _Forwarding(LogWriter):
    """Writer whose methods all call a single one."""

    def _call(self, method: str, *args: Any) -> None:
        raise NotImplementedError

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        self._call("add_scalar", tag, value, global_step)

    def add_iteration(self, scalars: Mapping[str, float], it: int, seconds: int) -> None:
        self._call("add_iteration", scalars, it, seconds)

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        self._call("store_config", env_cfg, train_cfg)

    def save_model(self, path: str, it: int) -> None:
        self._call("save_model", path, it)

    def save_file(self, path: str) -> None:
        self._call("save_file", path)

    def save_video(self, path: Path, it: int) -> None:
        self._call("save_video", path, it)

    def flush(self) -> None:
        self._call("flush")


class GuardedWriter(_Forwarding):
    """Writer that is called directly, and whose errors become warnings.

    Attributes:
        writer: the wrapped writer.
    """

    def __init__(self, writer: LogWriter, name: str) -> None:
        """Wrap ``writer``, which the config calls ``name``."""
        self.writer = writer
        self._troubles = Troubles(name)
        self._deliver = _Delivery(writer, self._troubles, Exception)

    def stop(self) -> None:
        """Stop the writer."""
        self._call("stop")

    def _call(self, method: str, *args: Any) -> None:
        self._deliver(method, *args)
        self._troubles.warn()


class BackgroundWriter(_Forwarding):
    """Writer that is constructed, called and stopped in a separate thread.

    Calls return at once: they wait in a queue. When it is full, new entries are dropped; scalars may fill nine tenths
    of it, so that there is always room for a checkpoint. Exceptions of the writer become one warning for each cause,
    and it is called again the next time. All warnings come from the thread that logs.

    Attributes:
        writer: the wrapped writer; None before it is constructed, or if that failed.
        dropped: number of entries that were dropped for lack of room, or of time at the end.
    """

    def __init__(
        self,
        make: Callable[[], LogWriter],
        name: str,
        *,
        queue_size: int = 1000,
        open_timeout: float = 10.0,
        stop_timeout: float = 15.0,
    ) -> None:
        """Begin to construct the writer; :meth:`wait_until_open` waits for it.

        Args:
            make: constructs the writer.
            name: its name in the config.
            queue_size: maximum number of queued entries: an iteration with all its scalars, a file, a video, a config.
            open_timeout: maximum time in seconds that :meth:`wait_until_open` waits.
            stop_timeout: maximum time in seconds that :meth:`stop` takes: one half for queued entries, the other for
                the writer's own ``stop()``. Then it is abandoned.
        """
        self.writer: LogWriter | None = None
        self.dropped = 0
        self._troubles = Troubles(name)
        self._queue: deque[tuple[Any, ...]] = deque()
        self._queue_size, self._open_timeout, self._stop_timeout = queue_size, open_timeout, stop_timeout
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._unusable = False
        self._closed_at: float | None = None
        # A daemon: a writer that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, args=(make,), name=f"log writer {name}", daemon=True)
        self._thread.start()

    def wait_until_open(self, since: float | None = None) -> None:
        """Wait until the writer is constructed, has failed, or has timed out; training can then begin.

        Args:
            since: start of the timeout, by ``time.monotonic()``; now, if None.
        """
        left = self._open_timeout - (0.0 if since is None else time.monotonic() - since)
        if not self._opened.wait(max(left, 0.0)):
            self._troubles.note(
                "slow to open",
                f"is not ready after {self._open_timeout:g} s. Training begins; entries wait for it, up to "
                f"{self._queue_size} entries.",
            )
        self._troubles.warn()

    def close(self) -> None:
        """Accept no more entries; :meth:`stop` then waits for the end. The timeout of both begins here."""
        with self._changed:
            if self._closed_at is None:
                self._closed_at = time.monotonic()
                self._changed.notify()

    def stop(self) -> None:
        """Deliver queued entries and stop the writer, within the timeout; a second call does nothing."""
        self.close()
        assert self._closed_at is not None
        self._thread.join(max(self._closed_at + self._stop_timeout - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._troubles.note(
                "abandoned",
                f"did not end within {self._stop_timeout:g} s and is abandoned, with {len(self._queue)} entries not "
                "yet delivered. More time is 'stop_timeout' in the logger's 'background' section.",
            )
        self._troubles.warn()

    def _call(self, method: str, *args: Any) -> None:
        room = self._queue_size if method not in ("add_scalar", "add_iteration") else 0.9 * self._queue_size
        with self._changed:
            if self._unusable or self._closed_at is not None:
                pass
            elif len(self._queue) < room:
                self._queue.append((method, *args))
                if len(self._queue) == 1:
                    self._changed.notify()
            else:
                self.dropped += 1
                self._troubles.note(
                    "full",
                    f"is slower than the training: {len(self._queue)} entries wait for it, and new ones are "
                    "dropped while that many wait.",
                )
        self._troubles.warn()

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self, make: Callable[[], LogWriter]) -> None:
        try:
            self.writer = make()
        except BaseException as error:
            self._give_up(error)
            return
        finally:
            self._opened.set()
        deliver = _Delivery(self.writer, self._troubles, BaseException, self._is_late)
        while (entry := self._next_entry()) is not None:
            deliver(*entry)
        deliver("stop")

    def _next_entry(self) -> tuple[Any, ...] | None:
        """Return the next entry to deliver, or None at the end."""
        with self._changed:
            while not self._queue and self._closed_at is None:
                self._changed.wait()
            if self._queue and not self._is_late():
                return self._queue.popleft()
            if self._queue:
                self.dropped += len(self._queue)
                self._troubles.note("late", f"had no time for the last {len(self._queue)} entries; they are dropped.")
                self._queue.clear()
            return None

    def _is_late(self) -> bool:
        return self._closed_at is not None and time.monotonic() - self._closed_at > self._stop_timeout / 2

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            self._unusable = True
            self._queue.clear()
        self._troubles.note(
            "opening",
            f"could not be opened: {type(error).__name__}: {error}. Training continues without it.",
        )
