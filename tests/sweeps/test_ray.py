"""Sweeps on a Ray cluster: the results of this process, whatever happens to workers, and what is refused."""

import dataclasses
import itertools
import os
import re
import secrets
import signal
import sys
import threading
import time

import jax
import numpy as np
import pytest

import rsl_jax
from rsl_jax.cli import main
from rsl_jax.env import vectorize
from rsl_jax.sweeps import RayCluster, SweepResult, SweepStopped
from tests.cli.own import said
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config
from tests.sweeps.test_sweep import SometimesBroken

ray = pytest.importorskip("ray")

ITERATIONS = 20
CONFIG = dataclasses.replace(
    small_config(schedule="fixed", num_mini_batches=1), save_interval=1, eval_interval=5, eval_episodes=3
)
SWEEP = {
    "iterations": ITERATIONS,
    "seeds": [3, 4],
    "learning_rate": [1e-3, 3e-3],
    "members_at_once": 2,
    "console": False,
}


class Announced(SometimesBroken):
    """Point mass, broken in every second run, that leaves the number of each process that it is sent to in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        """Leave the number."""
        self.__dict__ |= state
        (self.folder / str(os.getpid())).touch()


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two workers on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would write one to the home directory
        before = signal.getsignal(signal.SIGTERM)
        ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def announced(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def env(announced):
    return vectorize(Announced(announced), 1, max_episode_length=30)


@pytest.fixture(scope="module")
def local(env):
    """The sweep in this process."""
    result = rsl_jax.sweep(env, CONFIG, devices=1, **SWEEP)
    assert 0 < (result.failed >= 0).sum() < 4  # of the two seeds one
    return result


def trained(progress):
    """Whether a member has had an iteration, ``[members, iterations]``."""
    return ~np.isnan(progress.metrics["NonFinite/rewards"])


def assert_same(result, expected):
    """Bit for bit."""
    assert result.members == expected.members
    assert result.score == expected.score
    assert result.metrics.keys() == expected.metrics.keys()
    for tag, rows in expected.metrics.items():
        np.testing.assert_array_equal(result.metrics[tag], rows, err_msg=tag)
    np.testing.assert_array_equal(result.failed, expected.failed)
    for (population, rows), (other, others) in zip(result.populations, expected.populations, strict=True):
        assert list(rows) == list(others)
        assert_trees_equal(population, other)


def test_members_of_a_lost_worker_go_on_elsewhere_from_their_checkpoint(
    cluster, env, local, announced, tmp_path, capsys
):
    killed, pauses = [], itertools.count(1)

    def kill_one(progress):
        done = trained(progress).sum(1)
        if done.min() == 0:  # the first worker would else be done before the other one has compiled its program
            time.sleep(0.5 * next(pauses))
        if done.min() >= 2 and not killed:
            assert done.max() < ITERATIONS
            killed.append(int(next(announced.iterdir()).name))
            os.kill(killed[0], signal.SIGKILL)

    options = {**SWEEP, "console": True}
    result = rsl_jax.sweep(env, CONFIG, backend="ray", folder=tmp_path, on_progress=kill_one, **options)
    assert_same(result, local)
    out = capsys.readouterr().out
    assert f"A worker was lost (process {killed[0]} on " in out
    assert "; its 2 runs continue elsewhere." in out
    ((iteration, process),) = re.findall(r"The 2 runs continue from iteration (\d+) \(process (\d+) on ", out)
    assert 1 <= int(iteration) < ITERATIONS
    assert int(process) != killed[0]
    assert "100.0%" in out
    assert sorted(path.parent.name for path in tmp_path.glob("parts/*/model_*")) == ["0", "1"]


def test_a_sweep_that_was_stopped_on_a_cluster_goes_on_here_and_the_other_way_round(cluster, env, local, tmp_path):
    def interrupted(by, after, **options):
        signals = iter([by])  # a second one would not wait for anything

        def interrupt(progress):
            if progress.iteration >= after:
                for number in signals:
                    signal.raise_signal(number)

        with pytest.raises(SweepStopped, match="resume=True") as stopped:
            rsl_jax.sweep(env, CONFIG, folder=tmp_path, on_progress=interrupt, **options, **SWEEP)
        return trained(stopped.value.result).mean()

    first = interrupted(signal.SIGINT, 0, backend="ray")
    second = interrupted(signal.SIGTERM, 10, devices=1, resume=True)
    assert 0 < first < second < 1
    # How many members are trained at once is as before, whatever is asked for now.
    again = {**SWEEP, "members_at_once": None}
    assert_same(rsl_jax.sweep(env, CONFIG, backend="ray", folder=tmp_path, resume=True, **again), local)


def test_an_error_of_a_worker_stops_the_sweep(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from tests.environments import PointMass\nclass Robot(PointMass): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    robot = __import__("only_here").Robot()
    sys.path.remove(str(tmp_path))
    with pytest.raises(ImportError, match=r"only_here.* must be installed on every machine"):
        rsl_jax.sweep(vectorize(robot, 2, max_episode_length=6), CONFIG, backend="ray", **SWEEP)


def test_an_environment_that_cannot_be_sent_is_refused(cluster):
    robot = PointMass()
    robot.lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be sent to the workers"):
        rsl_jax.sweep(vectorize(robot, 2, max_episode_length=6), CONFIG, backend="ray", **SWEEP)


def test_without_room_for_a_worker_the_sweep_gives_up(cluster, env):
    large = RayCluster(num_cpus=64, time_limit=1)
    with pytest.raises(TimeoutError, match=r"within 1 s\. A worker needs 64 CPUs and 0 GPUs .* with 2 CPUs and 0 GPUs"):
        rsl_jax.sweep(env, CONFIG, backend=large, **SWEEP)


def test_a_cluster_that_does_not_answer_is_named(env, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ConnectionError, match=r"'localhost:1' within 0\.3 s .*refused.*ray start --head"):
        rsl_jax.sweep(env, CONFIG, backend=RayCluster("localhost:1", time_limit=0.3), **SWEEP)
    monkeypatch.setenv("RAY_ADDRESS", "localhost:here")
    with pytest.raises(ConnectionError, match="HOST:PORT, such as node1:6379; got 'localhost:here'"):
        rsl_jax.sweep(env, CONFIG, backend="ray", **SWEEP)


def test_without_ray_the_error_says_how_to_install_it(env, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("rsl_jax.env.extras.is_installed", lambda module: False)
    with pytest.raises(ImportError, match=r'ray is not installed\. Install it with: pip install "rsl-jax\[ray\]"'):
        rsl_jax.sweep(env, CONFIG, backend="ray", **SWEEP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "rey"}, "must be 'local', 'ray' or a RayCluster; got 'rey'. Did you mean 'ray'"),
        ({"backend": None}, "got None"),
        ({"backend": "ray", "devices": 2}, "the devices of its workers"),
        ({"backend": "ray", "members_at_once": 5}, "members_at_once is 5, but the sweep has 4 members"),
        ({"members_at_once": 0}, "at least 1; got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(env, options, message):
    with pytest.raises(ValueError, match=message):
        rsl_jax.sweep(env, CONFIG, **{**SWEEP, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_cpus": 0}, "num_cpus of a Ray cluster is above 0; got 0"),
        ({"num_gpus": -1}, "num_gpus of a Ray cluster is at least 0; got -1"),
        ({"num_gpus": 1.5}, "whole number, or below 1; got 1.5"),
        ({"max_retries": -1}, "at least 0; got -1"),
        ({"time_limit": 0}, "time_limit of a Ray cluster is above 0"),
    ],
)
def test_a_cluster_of_impossible_workers_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RayCluster(**options)


def test_the_command_trains_on_a_cluster(cluster, tmp_path, capsys):
    command = ["sweep", "tests.cli.own:point_mass", "--num-envs", "8", "--num-steps-per-env", "4", "--seeds", "2"]
    command += ["--actor.hidden-dims", "8", "--critic.hidden-dims", "8", "--env-kwargs", "max_episode_length=6"]
    command += ["--iterations", "3", "--log-dir", str(tmp_path)]
    assert main([*command, "--ray-num-cpus", "2"]) == 2
    assert "--ray-num-cpus needs --backend ray" in said(capsys)
    assert main([*command, "--backend", "ray", "--devices", "2"]) == 2
    assert "--devices is not for --backend ray" in said(capsys)
    assert main([*command, "--backend", "ray"]) == 0
    result = SweepResult.load(tmp_path / "result.npz")
    assert len(result.members) == 2
    assert np.isfinite(result.metrics["Loss/value"]).all()
    assert (tmp_path / "best" / "model_2").is_dir()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["0", "1"]
    assert jax.devices()[0].platform == "cpu"
