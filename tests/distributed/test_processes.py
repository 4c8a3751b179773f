"""Several processes train one policy: the same numbers in all of them, and those of one process."""

import os
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from rsl_jax.checkpoint import latest_checkpoint
from tests.distributed.cases import (
    CASES,
    EPISODE_LENGTH,
    ITERATIONS,
    NUM_ENVS,
    NUM_STEPS,
    ON_EIGHT,
    TEACHER,
    make_runner,
    numbers_of,
)

ROOT = Path(__file__).parents[2]


def start_processes(folder, number, *arguments):
    """Start so many workers, which meet on the loopback; their output goes to ``FOLDER/out-ID``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    env = {
        **os.environ,
        **cache,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    started = []
    for number_of_this in range(number):
        command = [
            sys.executable,
            "-m",
            "tests.distributed.worker",
            folder,
            address,
            number,
            number_of_this,
            *arguments,
        ]
        with (folder / f"out-{number_of_this}").open("w") as out:
            started.append(
                subprocess.Popen([*map(str, command)], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
            )
    return started


def results_of(started, folder, seconds=400):
    """Wait for workers; returns their exit statuses and outputs, and kills those that do not end."""
    try:
        statuses = [process.wait(seconds) for process in started]
    finally:
        for process in started:
            process.kill()
    return statuses, [(folder / f"out-{number}").read_text() for number in range(len(started))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two processes wrote that trained all cases."""
    folder = tmp_path_factory.mktemp("two")
    make_runner(TEACHER, folder).save(folder / TEACHER)
    statuses, outputs = results_of(start_processes(folder, 2, *CASES, *ON_EIGHT), folder)
    assert statuses == [0, 0], "\n".join(outputs)
    return folder


def loaded(folder, case, number):
    with np.load(folder / f"{case}-{number}.npz") as numbers:
        return {**numbers}


@pytest.mark.parametrize("case", [*CASES, *ON_EIGHT])
def test_processes_hold_the_same_numbers(folder, case):
    first, second = (loaded(folder, case, number) for number in (0, 1))
    assert len(first) > 20
    assert first.keys() >= second.keys()
    for name, value in second.items():
        if not name.startswith("metrics/Episode/"):  # a host environment's log is that of process 0
            np.testing.assert_array_equal(first[name], value, err_msg=name)


def test_every_process_steps_an_environment_of_its_own(folder):
    numbers = loaded(folder, "host", 0)
    assert numbers["episodes/count"] == NUM_ENVS * ((ITERATIONS * NUM_STEPS) // EPISODE_LENGTH)
    log = [file.name for file in (folder / "host").glob("events*")]
    assert len(log) == 1  # process 0 alone writes


@pytest.mark.parametrize("case", [case for case in CASES if case != "host"])
def test_two_processes_equal_one(folder, case, tmp_path):
    runner = make_runner(case, folder, devices=2)
    runner.learn(ITERATIONS, init_at_random_ep_len=case == "mlp")
    assert_close(numbers_of(runner), loaded(folder, case, 0))
    runner.load(folder / case / "model_0")  # of two processes
    runner.learn(ITERATIONS - 1)
    assert_close(numbers_of(runner), loaded(folder, case, 0))


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("case", ON_EIGHT)
def test_fewer_devices_go_on_where_eight_stopped(folder, case, devices):
    runner = make_runner(case, folder, devices=devices)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.load(folder / case / f"model_{ITERATIONS - 1}")
    numbers = numbers_of(runner)
    for name, value in loaded(folder, case, 0).items():
        if not name.startswith("metrics/"):
            np.testing.assert_array_equal(numbers[name], value, err_msg=name)
    assert np.any(runner.loop_state.env_state.episode_length)
    runner.learn(1)
    assert int(runner.state.iteration) == ITERATIONS + 1


def assert_close(numbers, expected):
    assert numbers.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(numbers[name], value, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def killed(folder):
    """Two processes go on from what two have trained, and one of them is killed."""
    started = start_processes(folder, 2, "until_killed")
    started[1].wait(200)
    statuses, outputs = results_of(started, folder, seconds=60)
    return statuses, outputs[0]


def test_a_killed_process_ends_the_others(killed, folder):
    statuses, output = killed
    assert statuses == [1, -signal.SIGKILL], output
    newest = latest_checkpoint(folder / "killed")
    assert "LostProcessError: Process 0 of 2 ends because another training process has ended" in output
    assert f"The last checkpoint is {newest}; any number of processes can go on from it." in output


def test_four_processes_go_on_where_two_were_killed(killed, folder):
    statuses, outputs = results_of(start_processes(folder, 4, "resume"), folder)
    assert statuses == [0] * 4, "\n".join(outputs)
    runner = make_runner("mlp", folder, devices=4)
    runner.load(latest_checkpoint(folder / "killed"))
    runner.learn(2)
    for number in range(4):
        assert_close(loaded(folder, "resumed", number), numbers_of(runner))
