"""Ctrl-C and a batch system's request to end, as a wish to stop after the iteration under way."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from rich.console import Console


@dataclass
class Stopped:
    """Which signal has asked to stop; None while there was none."""

    signal: int | None = None


@contextlib.contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[Stopped]:
    """Call ``request_stop`` when the process is interrupted or asked to end; the second signal works as ever.

    Signals cannot be caught outside of the main thread; there, nothing is done.
    """
    stopped = Stopped()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _: FrameType | None) -> None:
        stopped.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)
        request_stop()
        # Arrives above the live table, which is what standard output is while training.
        Console().print("Stopping after this iteration and saving a checkpoint. Ctrl-C again stops at once.")

    for number in before:
        signal.signal(number, handle)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
