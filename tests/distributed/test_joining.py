"""How processes find each other: what is read from where, and what is said when some do not come."""

import contextlib
import os
import re
import socket
import threading
import time

import pytest

from rsl_jax import distributed
from rsl_jax.cli.processes import use_enough_threads
from rsl_jax.distributed import find_job
from rsl_jax.roll_call import call_roll, report

TORCHRUN = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
SLURM = {
    "SLURM_JOB_ID": "70001",
    "SLURM_STEP_NODELIST": "node[007-009,12]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x4)",
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (TORCHRUN, ("node1:29500", 4, 3, 1)),
        ({**TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE": "True"}, ("node1:29501", 4, 3, 1)),
        ({**TORCHRUN, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, ("node1:29500", 4, 3, None)),
        ({**TORCHRUN, "CUDA_VISIBLE_DEVICES": "6"}, ("node1:29500", 4, 3, None)),
        (SLURM, ("node007:61809", 8, 5, 1)),
        ({**SLURM, "SLURM_STEP_NODELIST": "a1,b[2-3]", "SLURM_STEP_TASKS_PER_NODE": "1(x8)"}, ("a1:61809", 8, 5, None)),
        ({**SLURM, **TORCHRUN}, ("node1:29500", 4, 3, 1)),  # torchrun within a job of SLURM's
    ],
)
def test_launchers_variables(variables, expected):
    job = find_job(variables)
    assert (job.coordinator, job.num_processes, job.process_id, job.local_device) == expected


def test_arguments_take_the_place_of_variables():
    job = find_job(TORCHRUN, "[::1]:80", 2, 0)
    assert (job.coordinator, job.num_processes, job.process_id, job.local_device) == ("[::1]:80", 2, 0, None)


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        ({}, (), r"Variables that were read: MASTER_ADDR=\(not set\).*SLURM_PROCID=\(not set\).*torchrun or srun"),
        ({**TORCHRUN, "RANK": "4"}, (), r"no process 4 of 4.*0 to 3.*torchrun's variables:.*RANK=4, WORLD_SIZE=4"),
        ({**TORCHRUN, "MASTER_PORT": ""}, (), r"MASTER_PORT is not set.*MASTER_PORT=, RANK=3"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, (), r"WORLD_SIZE must be a whole number; got 'two'"),
        ({**SLURM, "SLURM_PROCID": "8"}, (), r"no process 8 of 8.*SLURM's variables:.*SLURM_NTASKS=8"),
        ({}, ("node1:80", 2, None), r"must be given together; missing: process_id"),
        ({}, ("node1", 2, 0), r"HOST:PORT, with a port from 1 to 65535; got 'node1'"),
        ({}, ("node1:99999", 2, 0), r"a port from 1 to 65535; got 'node1:99999'"),
        ({}, ("node1:80", 0, 0), r"no process 0 of 0"),
    ],
)
def test_what_is_missing_or_wrong_is_named(variables, arguments, message):
    with pytest.raises(ValueError, match=message):
        find_job(variables, *arguments)


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def meet(port, *numbers, processes, seconds=1.0, say=None):
    """Let process 0 call the roll of so many processes, and those of these numbers report; returns what each raised."""
    deadline = time.monotonic() + seconds
    raised = {}

    def run(name, function, *args):
        try:
            function(*args, deadline)
        except Exception as error:
            raised[name] = error

    calls = [(0, call_roll, port, processes)]
    calls += [
        (place, report, "127.0.0.1", port, number, say or processes) for place, number in enumerate(numbers, start=1)
    ]
    threads = [threading.Thread(target=run, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return raised


def test_all_who_report_go_on(port):
    assert meet(port, 2, 1, processes=3, seconds=20) == {}
    socket.create_server(("", port)).close()  # the port is free again


def test_who_does_not_report_is_named(port):
    raised = meet(port, 2, processes=4)
    assert all(str(raised[place]) == "Of 4 processes 2 did not report: 1, 3." for place in (0, 1))


def test_a_number_that_is_taken_is_named(port):
    raised = meet(port, 1, 1, processes=4, seconds=20)
    assert [str(raised[place]) for place in range(3)] == ["Two processes have the number 1."] * 3


def test_more_processes_than_there_are(port):
    raised = meet(port, 2, processes=2, say=3, seconds=20)
    assert [str(error) for error in raised.values()] == [
        "Process 2 says that there are 3 processes, process 0 that there are 2."
    ] * 2


def test_strangers_are_ignored(port):
    def disturb():
        for _ in range(40):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n")
                return
            time.sleep(0.05)

    thread = threading.Thread(target=disturb)
    thread.start()
    time.sleep(0.1)
    assert meet(port, 1, processes=2, seconds=20) == {}
    thread.join()


def test_a_coordinator_that_does_not_answer(port):
    with pytest.raises(ConnectionError) as caught:
        distributed.initialize(f"127.0.0.1:{port}", 2, 1, time_limit=0.5)
    assert re.search(
        rf"Process 1 could not reach process 0 at 127.0.0.1:{port} within 0.5 s: \d tries failed.*Connection refused.*"
        rf"Read from coordinator=127.0.0.1:{port}, num_processes=2, process_id=1",
        str(caught.value),
    )


def test_a_port_that_is_taken(port):
    with socket.create_server(("", port)), pytest.raises(ConnectionError, match=f"cannot listen on port {port}"):
        distributed.initialize(f"127.0.0.1:{port}", 2, 0, time_limit=0.5)


@pytest.mark.parametrize(
    ("devices", "flags", "given", "expected"),
    [
        (8, "", None, "10"),
        (None, "--xla_force_host_platform_device_count=7", None, "9"),
        (None, "", None, None),
        (2, "", "3", "3"),
    ],
)
def test_threads_outnumber_the_devices_of_a_cpu(monkeypatch, devices, flags, given, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setenv("NPROC", given or "")
    if given is None:
        monkeypatch.delenv("NPROC")
    use_enough_threads(devices)
    assert os.environ.get("NPROC") == expected
