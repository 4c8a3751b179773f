"""Deferral of signals until it is safe to be interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

HELD = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")
    if hasattr(signal, name)
)
"""Signals whose handlers may raise in the middle of the program: Ctrl-C, and what batch systems and users send."""


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Defer signals that arrive in this context; their handlers are called on exit.

    A handler that raises, as Ctrl-C's does, could otherwise run between a compiled call that has donated its arguments
    and the assignment of its results. Only handlers of Python's are held, and only in the main thread, where they run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {}
    waiting: list[int] = []
    is_over = False

    def hold(number: int, frame: FrameType | None) -> None:
        if is_over:  # it could not be restored, because another handler raised during that
            handlers[number](number, frame)
        else:
            waiting.append(number)

    try:
        for number in HELD:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hold)
        yield
    finally:
        is_over = True
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)
