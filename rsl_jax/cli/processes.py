"""What a command that trains does before JAX starts: join other processes, and have enough threads for all devices."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from rsl_jax import distributed
from rsl_jax.cli.output import CommandError

_FORCED = re.compile(r"xla_force_host_platform_device_count=(\d+)")


def join(command: Any) -> None:
    """Meet the other processes, where a command says that there are any.

    Raises:
        CommandError: if what it says, or the launcher's variables, do not fit together.
        ConnectionError: if the others do not answer in time.
    """
    address = (command.coordinator, command.num_processes, command.process_id)
    if not command.distributed and address == (None, None, None):
        return
    try:
        distributed.initialize(*address, time_limit=command.join_timeout)
    except ValueError as error:
        raise CommandError(str(error)) from error


def is_first() -> bool:
    """Return whether this process is the one that writes and reports: the first of several, or the only one."""
    import jax

    return jax.process_index() == 0


def folder_of_first(folder: Path | None) -> Path:
    """Return the log folder of the first process, which gives it; all processes call it together."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return Path(folder or "")
    text = np.zeros(4096, np.uint8)
    given = np.frombuffer(os.fsencode(folder or ""), np.uint8)
    text[: given.size] = given
    return Path(os.fsdecode(np.trim_zeros(multihost_utils.broadcast_one_to_all(text)).tobytes()))


def use_enough_threads(devices: int | None) -> None:
    """Let XLA have more threads than a CPU is split into devices, before JAX starts.

    On CPUs LAPACK's batched decompositions (Cholesky's, in MuJoCo's solver) keep a thread of XLA's pool waiting for
    others of the pool. With no more threads than devices all may wait, for ever. ``NPROC``, where it is set, is kept.
    """
    forced = _FORCED.search(os.environ.get("XLA_FLAGS", ""))
    number = max(devices or 1, int(forced[1]) if forced else 1)
    if number > 1:
        os.environ.setdefault("NPROC", str(max(os.cpu_count() or 1, number + 2)))
