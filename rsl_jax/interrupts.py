"""Signals: Ctrl-C, a closed terminal and a batch system's SIGTERM stop training after the current iteration."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console

END = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end."""


@dataclass
class Stopped:
    """Record of the signal that asked to stop; None if there was none."""

    signal: int | None = None


class Terminated(BaseException):
    """Exception for a signal that asks the process to end, as :class:`KeyboardInterrupt` is for Ctrl-C."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Stopped]:
    """Raise :class:`Terminated` for signals that ask the process to end, instead of ending it silently.

    A hang-up that is ignored, as under ``nohup``, stays ignored. Outside of the main thread this does nothing.
    """
    stopped = Stopped()

    def handle(number: int, _: FrameType | None) -> None:
        # Recorded as well, because an interrupted import may replace the exception by another one.
        stopped.signal = number
        raise Terminated(signal.Signals(number).name)

    with _handled(END, handle):
        yield stopped


@contextlib.contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[Stopped]:
    """Call ``request_stop`` when the process is interrupted or asked to end; a second signal has its usual effect.

    Signals cannot be caught outside of the main thread; there this does nothing.
    """
    stopped = Stopped()

    def handle(number: int, _: FrameType | None) -> None:
        stopped.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)
        request_stop()
        # Shown above the live table, to which standard output is redirected while training. The terminal may be closed,
        # or be written to at this moment.
        with contextlib.suppress(OSError, RuntimeError, SystemExit):
            Console().print("Stopping after this iteration and saving a checkpoint. Ctrl-C again stops at once.")

    with _handled((signal.SIGINT, *END), handle) as before:
        yield stopped


@contextlib.contextmanager
def seen_by_threads() -> Iterator[Callable[[], bool]]:
    """Give a function that tells other threads whether Ctrl-C was pressed, while the main one is in a compiled program.

    Python's own handler runs only when the main thread is back from there. Nothing is seen where this is not the main
    thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def pressed() -> bool:
        with contextlib.suppress(BlockingIOError):
            return signal.SIGINT in receiver.recv(4096)
        return False

    try:
        yield pressed
    finally:
        signal.set_wakeup_fd(before)
        receiver.close()
        sender.close()


@contextlib.contextmanager
def _handled(numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[dict[int, Any]]:
    """Install a handler in this context; yields the previous handlers, by signal."""
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        yield before
        return
    for number in numbers:
        known = signal.getsignal(number)
        # A handler that Python did not install (None) could not be restored.
        if known is not None and (known is not signal.SIG_IGN or number == signal.SIGINT):
            before[number] = known
    try:
        for number in before:
            signal.signal(number, handler)
        yield before
    finally:
        for number, known in before.items():
            signal.signal(number, known)
