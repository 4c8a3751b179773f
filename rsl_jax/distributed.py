"""Training with several processes, on one host or many: how they connect, and how they end together.

Each process runs the same program. After :func:`initialize` JAX knows the devices of all processes, and a run shards
its environments over these as over the devices of one process (``rsl_jax.training.sharding``).
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rsl_jax.roll_call import call_roll, report

__all__ = ["LostProcessError", "finish", "initialize"]

TIME_LIMIT = 300.0
"""Seconds within which all processes must have joined."""

SILENCE_LIMIT = 30
"""Seconds without a heartbeat after which a process counts as lost, and all others end."""

FINISH_LIMIT = 600
"""Seconds that a finished process waits for the others: process 0 may still be saving and exporting."""

_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_NETWORK_ERROR = re.compile(r"gloo|nccl|connection|coordination|collective|heartbeat", re.IGNORECASE)


class LostProcessError(RuntimeError):
    """Error for the loss of another training process, without which this one cannot continue."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a process needs to connect to the others.

    Attributes:
        coordinator: ``HOST:PORT`` of process 0.
        num_processes: number of processes.
        process_id: number of this process, from 0.
        local_device: index of the accelerator of the host that this process uses; None for all visible ones.
        source: where these values come from, for messages.
    """

    coordinator: str
    num_processes: int
    process_id: int
    local_device: int | None
    source: str


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    time_limit: float = TIME_LIMIT,
) -> None:
    """Join the other processes of this training; call it before JAX is used for anything else.

    This is ``jax.distributed.initialize`` plus the environment variables of torchrun, errors that say what was tried,
    and timeouts that end all processes soon after one is lost. An uncaught exception ends the process at once, because
    otherwise its exit would wait for the others, which wait for it. Does nothing if the process has already joined.

    Args:
        coordinator: ``HOST:PORT`` on which process 0 listens. Without the three arguments, they are read from the
            environment variables of torchrun or SLURM.
        num_processes: number of processes.
        process_id: number of this process, from 0.
        time_limit: seconds within which all must have joined.

    Raises:
        ValueError: if arguments or variables are missing or contradict each other; says what was read.
        ConnectionError: if process 0 does not answer, or not all processes join, within the time limit.
        RuntimeError: if JAX has already been used.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    job = find_job(os.environ, coordinator, num_processes, process_id)
    deadline = time.monotonic() + time_limit
    _meet(job, deadline, time_limit)
    # Signals to end are the runner's, which lets all processes stop after the same iteration.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        job.coordinator,
        job.num_processes,
        job.process_id,
        local_device_ids=job.local_device,
        cluster_detection_method="deactivate",
        initialization_timeout=max(30, round(deadline - time.monotonic())),
        heartbeat_timeout_seconds=SILENCE_LIMIT,
        shutdown_timeout_seconds=FINISH_LIMIT,
    )
    sys.excepthook = _end_at_once


def finish() -> None:
    """Wait until all processes have finished, and disconnect; has no effect in a single process."""
    import jax

    jax.distributed.shutdown()


def end_if_joined(status: int) -> None:
    """End the process at once if it is still connected to others, which then end, too, instead of waiting."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        _exit(status)


def find_job(
    variables: Mapping[str, str],
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Job:
    """Read how processes connect from the arguments, else from the variables of torchrun or SLURM.

    If the agent of torchrun uses ``MASTER_PORT`` for its own store, the next port is used.

    Raises:
        ValueError: if something is missing or contradicts something else; says what was read.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    if any(value is not None for value in given.values()):
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise ValueError(
                f"coordinator, num_processes and process_id must be given together; missing: {', '.join(missing)}."
            )
        source = ", ".join(f"{name}={value}" for name, value in given.items())
        return _checked(Job(str(coordinator), num_processes or 0, _int(process_id), None, source))
    if "RANK" in variables and "WORLD_SIZE" in variables:
        source, number = _reader(variables, _TORCHRUN, "torchrun")
        port = number("MASTER_PORT") + (variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True")
        local = number("LOCAL_RANK") if "LOCAL_RANK" in variables else 0
        is_alone = variables.get("LOCAL_WORLD_SIZE", variables["WORLD_SIZE"]) == "1"
        address = f"{_required(variables, 'MASTER_ADDR', source)}:{port}"
        device = _local_device(variables, local, is_alone=is_alone)
        return _checked(Job(address, number("WORLD_SIZE"), number("RANK"), device, source))
    if "SLURM_PROCID" in variables:
        source, number = _reader(variables, _SLURM, "SLURM")
        hosts = _required(variables, "SLURM_STEP_NODELIST", source)
        # As JAX does: a port that SLURM jobs on the same hosts rarely share.
        address = f"{_first_host(hosts)}:{61440 + number('SLURM_JOB_ID') % 4096}"
        tasks_here = re.match(r"\d+", variables.get("SLURM_STEP_TASKS_PER_NODE", ""))
        is_alone = tasks_here is not None and int(tasks_here[0]) == 1
        device = _local_device(variables, number("SLURM_LOCALID"), is_alone=is_alone)
        return _checked(Job(address, number("SLURM_NTASKS"), number("SLURM_PROCID"), device, source))
    listing = ", ".join(f"{name}={variables.get(name, '(not set)')}" for name in (*_TORCHRUN[:4], *_SLURM[2:4]))
    raise ValueError(
        f"The other processes of this training are not known. Variables that were read: {listing}. Start the processes "
        "with torchrun or srun, or give each of them the coordinator (HOST:PORT of process 0), the number of processes "
        "and its process id, from 0."
    )


def lost_process(error: BaseException) -> LostProcessError | None:
    """Return the error to raise instead of that of a collective when another process is lost.

    Returns:
        None if the error has another cause, or there is only one process.
    """
    import jax

    if jax.process_count() == 1 or not isinstance(error, (ValueError, RuntimeError)):
        return None
    if not _NETWORK_ERROR.search(str(error)) or isinstance(error, LostProcessError):
        return None
    first_line = (str(error).strip().splitlines() or [""])[0]
    return LostProcessError(
        f"Process {jax.process_index()} of {jax.process_count()} ends because another training process has ended or "
        f"cannot be reached ({first_line}). The output of the one that ended first says why."
    )


def _checked(job: Job) -> Job:
    host, _, port = job.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"The coordinator must be HOST:PORT, with a port from 1 to 65535; got '{job.coordinator}'.")
    if not 0 <= job.process_id < job.num_processes:
        raise ValueError(
            f"There is no process {job.process_id} of {job.num_processes}: they are numbered from 0 to "
            f"{job.num_processes - 1}. {_read_from(job)}"
        )
    return job


def _reader(variables: Mapping[str, str], names: tuple[str, ...], launcher: str) -> tuple[str, Any]:
    found = ", ".join(f"{name}={variables.get(name, '(not set)')}" for name in names)
    source = f"{launcher}'s variables: {found}"

    def number(name: str) -> int:
        text = _required(variables, name, source)
        if not text.isdecimal():
            raise ValueError(f"{name} must be a whole number; got '{text}'. Read from {source}.")
        return int(text)

    return source, number


def _required(variables: Mapping[str, str], name: str, source: str) -> str:
    if not variables.get(name):
        raise ValueError(f"{name} is not set, but processes need it to connect. Read from {source}.")
    return variables[name]


def _read_from(job: Job) -> str:
    return f"Read from {job.source}."


def _int(value: int | None) -> int:
    return -1 if value is None else value


def _first_host(hosts: str) -> str:
    """Return the first host of SLURM's list: ``node[003-007,9],other`` gives ``node003``."""
    prefix, bracket, rest = hosts.partition("[")
    if not bracket or "," in prefix:
        return prefix.split(",")[0]
    return prefix + re.split(r"[-,\]]", rest)[0]


def _local_device(variables: Mapping[str, str], local_id: int, *, is_alone: bool) -> int | None:
    """Return the index of the accelerator of the host that a process uses; None for all visible ones.

    A process that is alone on its host uses all; so does one whose launcher lets it see only one.
    """
    visible = variables.get("CUDA_VISIBLE_DEVICES", variables.get("ROCR_VISIBLE_DEVICES"))
    sees_one = visible is not None and len(visible.split(",")) == 1
    return None if is_alone or sees_one else local_id


def _meet(job: Job, deadline: float, time_limit: float) -> None:
    """Wait until all processes have reported, with consistent numbers."""
    host, _, port = job.coordinator.rpartition(":")
    try:
        if job.process_id == 0:
            call_roll(int(port), job.num_processes, deadline)
        else:
            report(host.strip("[]"), int(port), job.process_id, job.num_processes, deadline)
    except ValueError as error:
        raise ValueError(f"{error} This is process {job.process_id}. {_read_from(job)}") from error
    except TimeoutError as error:
        what = f"Not all processes have met within {time_limit:g} s. {error}"
        if job.process_id > 0:
            what = (
                f"Process {job.process_id} could not reach process 0 at {job.coordinator} within {time_limit:g} s: "
                f"{error} Is it running, is this the address of its host, is the port open between the hosts?"
            )
        raise ConnectionError(f"{what} {_read_from(job)}") from error
    except OSError as error:
        doing = f"cannot listen on port {port}" if job.process_id == 0 else f"lost process 0 at {job.coordinator}"
        why = error.strerror or error
        raise ConnectionError(f"Process {job.process_id} {doing}: {why}. {_read_from(job)}") from error


def _end_at_once(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, traceback)
    _exit(130 if isinstance(error, KeyboardInterrupt) else 1)


def _exit(status: int) -> None:
    """End the process without waiting for others, as JAX does when Python exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)
