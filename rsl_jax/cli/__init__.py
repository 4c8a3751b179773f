"""The command line ``rsl-jax``. Each command is a module with ``run(args)``, imported when it is called."""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
from collections.abc import Sequence

from rsl_jax import distributed, trusted
from rsl_jax.cli.output import CommandError, explain, print_error, print_overview, use_short_warnings, with_notes
from rsl_jax.interrupts import ended_by_signals

COMMANDS = {
    "train": "train a policy: rsl-jax train playground/CartpoleBalance",
    "sweep": "train many seeds of many settings at once and keep the best",
    "pbt": "train a population in which the worst members continue as copies of the best",
    "distill": "train a student to imitate a policy: rsl-jax distill ENV --teacher LOGDIR",
    "play": "run a trained policy, print its returns, record a video",
    "export": "export a trained policy as ONNX and as a JAX artefact",
    "convert": "convert checkpoints of RSL-RL (.pt) to rsl_jax and back",
    "plot": "plot learning curves of one or more runs",
    "config": "convert a config of an older RSL-RL to the current form",
    "envs": "list the available environments",
}
"""Commands with a description."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        args: the command and its arguments; those of the process if None.

    Returns:
        the exit status: 0 on success, 2 for an invalid request, 1 for other failures, 128 + n if stopped by signal n.
    """
    try:
        status = _main(sys.argv[1:] if args is None else args)
        sys.stdout.flush()  # Python would do it later, where errors cannot be handled
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        status = 1
    return status


def _reader_has_gone() -> bool:
    """Return whether standard output is a pipe that nothing reads, as in ``rsl-jax envs | head``."""
    output = select.poll()
    output.register(sys.stdout, 0)  # errors are always reported
    return bool(output.poll(0))


def _main(args: Sequence[str]) -> int:
    command, *rest = [*args] or ["--help"]
    if command in ("-h", "--help", "help"):
        print_overview(COMMANDS)
        return 0
    if command in ("-V", "--version"):
        from rsl_jax import __version__

        print(f"rsl-jax {__version__}")
        return 0
    if command not in COMMANDS:
        from rsl_jax.registry import nearest

        print_error(f"There is no command '{command}'. Commands: {', '.join(COMMANDS)}.{nearest(command, COMMANDS)}")
        return 2
    status = _run(command, rest)
    distributed.end_if_joined(status)
    return status


def _run(command: str, args: Sequence[str]) -> int:
    with ended_by_signals() as stopped:
        try:
            return _guarded(command, args)
        except BaseException as error:
            if stopped.signal is None:
                raise
            print_error(with_notes(f"Stopped by {signal.Signals(stopped.signal).name}.", error))
            return 128 + stopped.signal


def _guarded(command: str, args: Sequence[str]) -> int:
    try:
        with use_short_warnings(), trusted.scope():
            return importlib.import_module(f"rsl_jax.cli.{command}").run(args)
    except CommandError as error:
        print_error(str(error))
        return error.status
    except trusted.UntrustedNameError as error:
        print_error(str(error))
        return 2
    except SystemExit as end:  # the parser has printed a message
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt as interrupt:
        print_error(with_notes("Stopped.", interrupt))
        return 130
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        print_error(message)
        return 1
