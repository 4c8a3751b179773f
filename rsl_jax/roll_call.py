"""All processes of a training report to process 0 before JAX connects them.

JAX ends a process with a stack trace in C++ where another does not come, or comes under a number that is taken. Here
each gets an error that says which one that is. What is sent is a line of text: ``NUMBER/PROCESSES`` to process 0, and
``ok`` or what is wrong back from it.
"""

from __future__ import annotations

import contextlib
import socket
import time

_READY = "ok"
_PAUSE = 0.3
"""Seconds between two tries to reach process 0."""


def call_roll(port: int, num_processes: int, deadline: float) -> None:
    """In process 0: wait until all others have reported, then let them go on.

    Args:
        port: where to listen, on all addresses of this host.
        num_processes: how many processes there are with this one.
        deadline: by ``time.monotonic()``.

    Raises:
        OSError: if nothing can listen there.
        ValueError: if two processes have the same number, or do not agree on how many there are.
        TimeoutError: if some do not report; says which.
    """
    reported: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(_listener(port, num_processes))
        try:
            while len(reported) < num_processes - 1:
                connection = opened.enter_context(_next_caller(listener, deadline))
                number, total = _report_of(connection)
                if number is None:
                    continue  # somebody else's
                reported.setdefault(number, connection)
                if reported[number] is not connection:
                    raise ValueError(f"Two processes have the number {number}.")
                if total != num_processes or not 0 < number < num_processes:
                    raise ValueError(
                        f"Process {number} says that there are {total} processes, process 0 that there are "
                        f"{num_processes}."
                    )
        except TimeoutError:
            missing = [str(number) for number in range(1, num_processes) if number not in reported]
            listing = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            failure = TimeoutError(f"Of {num_processes} processes {len(missing)} did not report: {listing}.")
            _answer(reported, str(failure))
            raise failure from None
        except ValueError as error:
            _answer({**reported, -1: connection}, str(error))
            raise
        _answer(reported, _READY)
        # They hang up first, so that the port is free at once for JAX.
        for connection in reported.values():
            with contextlib.suppress(OSError):
                connection.recv(1)


def report(host: str, port: int, number: int, num_processes: int, deadline: float) -> None:
    """In another process: report to process 0, and wait until all have.

    Raises:
        ValueError: if process 0 says that something is wrong.
        ConnectionError: if it ends in the meantime.
        TimeoutError: if it cannot be reached; says how often that was tried, and the last failure.
    """
    with _connected(host, port, deadline) as connection:
        connection.sendall(f"{number}/{num_processes}\n".encode())
        connection.settimeout(max(0.1, deadline - time.monotonic()) + 5.0)  # process 0 says why, if it has the time
        answer = connection.makefile(encoding="utf-8").readline().strip()
    if not answer:
        raise ConnectionError("Process 0 has ended while the processes reported to it.")
    if answer != _READY:
        raise ValueError(answer)


def _listener(port: int, backlog: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
    return socket.create_server(("", port), backlog=backlog)


def _connected(host: str, port: int, deadline: float) -> socket.socket:
    tries = 0
    while True:
        tries += 1
        try:
            return socket.create_connection((host, port), timeout=max(_PAUSE, min(5.0, deadline - time.monotonic())))
        except OSError as error:
            if time.monotonic() + _PAUSE > deadline:
                raise TimeoutError(f"{tries} tries failed, the last with: {error.strerror or error}.") from error
        time.sleep(_PAUSE)


def _next_caller(listener: socket.socket, deadline: float) -> socket.socket:
    listener.settimeout(max(0.01, deadline - time.monotonic()))
    return listener.accept()[0]


def _report_of(connection: socket.socket) -> tuple[int | None, int]:
    """Return the number of a process and how many it says there are; None where this is no such report."""
    connection.settimeout(5.0)
    try:
        number, _, total = connection.makefile(encoding="utf-8").readline(32).strip().partition("/")
        return (int(number), int(total)) if number.isdecimal() and total.isdecimal() else (None, 0)
    except (OSError, UnicodeDecodeError):
        return None, 0


def _answer(reported: dict[int, socket.socket], text: str) -> None:
    for connection in reported.values():
        with contextlib.suppress(OSError):
            connection.sendall(f"{text}\n".encode())
