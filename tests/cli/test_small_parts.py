"""Folders of runs, the cache of compiled programs, errors, signals."""

import os
import signal
import subprocess
import sys
import warnings
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from rsl_jax.cli import main
from rsl_jax.cli.cache import choose_cache
from rsl_jax.cli.output import CommandError, explain, use_short_warnings
from rsl_jax.cli.runs import find_checkpoint, folder_name, new_log_dir, newest_run
from rsl_jax.cli.training import build_eval_env
from rsl_jax.compilation_cache import default_folder, use_compilation_cache
from rsl_jax.config import RunnerConfig
from rsl_jax.env import make_env
from rsl_jax.env.contract import CheckedEnv
from rsl_jax.interrupts import stop_on_signals
from tests.cli import own
from tests.cli.own import said


def pretend_checkpoint(path):
    (path / "metadata").mkdir(parents=True)
    (path / "metadata" / "metadata").write_text("{}")
    return path


def test_every_run_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {new_log_dir("brax/ant", None) for _ in range(3)} | {new_log_dir("brax/ant", "slow")}
    assert len(folders) == 4
    assert all((tmp_path / folder).is_dir() and folder.parts[:3] == ("logs", "brax", "ant") for folder in folders)


def test_names_of_folders_stay_below_logs():
    assert folder_name("my.module:make").parts == ("my.module.make",)
    assert folder_name("/../x").parts == ("x",)


def test_a_log_folder_means_its_newest_complete_checkpoint(tmp_path):
    for number in (2, 10, 9):
        pretend_checkpoint(tmp_path / f"model_{number}")
    (tmp_path / "model_11").mkdir()  # cut short
    pretend_checkpoint(tmp_path / "model_best")
    assert find_checkpoint(tmp_path) == tmp_path / "model_10"
    assert find_checkpoint(tmp_path / "model_best") == tmp_path / "model_best"
    with pytest.raises(
        CommandError, match=r"model_3' does not exist. Available: model_10, model_2, model_9, model_best"
    ):
        find_checkpoint(tmp_path / "model_3")


def test_the_newest_run_with_a_checkpoint_is_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match="no run with a checkpoint"):
        newest_run("brax/ant")
    pretend_checkpoint(tmp_path / "logs/brax/ant/2030-01-02/model_0")
    pretend_checkpoint(tmp_path / "logs/brax/ant/2030-01-01/model_5")
    (tmp_path / "logs/brax/ant/2030-01-03").mkdir()
    assert newest_run("brax/ant").name == "2030-01-02"


def test_programs_are_cached_where_the_user_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")  # leaves the setting of the tests
    before = jax.config.jax_compilation_cache_dir
    try:
        choose_cache("none")
        assert jax.config.jax_compilation_cache_dir is None
        assert use_compilation_cache() == default_folder()
        assert default_folder().parent == tmp_path / "rsl_jax"
        choose_cache(str(tmp_path / "mine"))
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
        choose_cache(None)
        assert use_compilation_cache() == tmp_path / "mine", "what has been chosen before stays"
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="file"):
            use_compilation_cache(tmp_path / "file" / "below")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_our_own_errors_need_no_traceback_but_others_do():
    def caught(call):
        with pytest.raises(ValueError) as error:  # noqa: PT011 (any)
            call()
        return error.value

    assert "Unknown environment" in explain(caught(lambda: make_env("no/such", num_envs=1)))
    assert explain(caught(lambda: int("x"))) is None


def test_what_python_raises_in_our_code_keeps_its_traceback():
    class Env:
        num_envs = num_actions = 1

        def get_observations(self):
            return np.zeros((1, 1))

        def step(self):
            raise AssertionError

    with pytest.raises(TypeError, match="takes 1 positional argument") as error:
        CheckedEnv(Env()).step(np.zeros((1, 1)))
    assert error.traceback[-1].path.name == "contract.py"
    assert explain(error.value) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_training_ends_with_a_line(number, monkeypatch, capsys):
    def factory(num_envs):
        del num_envs
        try:
            signal.raise_signal(number)
        except BaseException as error:  # as an import that is cut short may do
            raise ImportError("half of a module") from error

    monkeypatch.setattr(own, "point_mass", factory)
    before = signal.getsignal(number)
    assert main(["train", "tests.cli.own:point_mass", "--compilation-cache", "none"]) == 128 + number
    assert f"Stopped by {signal.Signals(number).name}." in said(capsys)
    assert signal.getsignal(number) is before


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stop_on_signals(lambda: None) as stopped:
            signal.raise_signal(signal.SIGHUP)
        assert stopped.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_warnings_are_one_line(capsys):
    with use_short_warnings(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("look out", stacklevel=1)
    assert capsys.readouterr().err == "warning: look out\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_and_the_second_one_works_as_ever(number):
    asked, fell_through = [], []
    before = signal.signal(number, lambda *_: fell_through.append(1))
    try:
        with stop_on_signals(lambda: asked.append(1)) as stopped:
            signal.raise_signal(number)
            assert (stopped.signal, asked, fell_through) == (number, [1], [])
            signal.raise_signal(number)
            assert (asked, fell_through) == ([1], [1])
        signal.raise_signal(number)
        assert (asked, fell_through) == ([1], [1, 1])
    finally:
        signal.signal(number, before)


def test_an_environment_outside_jax_is_made_a_second_time_to_evaluate_in():
    gymnasium = pytest.importorskip("gymnasium")
    command = SimpleNamespace(env="gymnasium/CartPole-v1", env_kwargs={"max_episode_length": 7})
    cfg = RunnerConfig(eval_interval=5, eval_episodes=3)
    made = build_eval_env(command, cfg, object())
    assert isinstance(made.envs, gymnasium.vector.VectorEnv)
    assert (made.num_envs, made.max_episode_length) == (3, 7)
    assert build_eval_env(command, RunnerConfig(), object()) is None
    assert build_eval_env(command, cfg, own.point_mass(2)) is None  # the runner makes its own


def test_help_and_unknown_commands(capsys):
    assert main([]) == 0
    assert main(["--help"]) == 0
    assert "export" in capsys.readouterr().out
    assert main(["trian"]) == 2
    assert "Did you mean 'train'" in said(capsys)
    assert main(["train", "--num-envs", "3"]) == 2
    assert main(["play", "nowhere"]) == 2
    assert "'nowhere' does not exist" in said(capsys)


def test_a_reader_that_has_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    for args in ([], ["train", "playground/CartpoleBalance", "--help"]):
        command = [sys.executable, "-m", "rsl_jax.cli", *args]
        ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
        assert (ran.returncode, ran.stderr) == (1, "")
    os.close(write)


def test_help_does_not_wait_for_jax():
    program = (
        "import sys; from rsl_jax.cli import main\n"
        "for args in (['--help'], ['train', 'a/b', '--help'], ['play', '-h'], ['export', '-h'], ['plot', '-h']):\n"
        "    try: main(args)\n"
        "    except SystemExit as end: assert end.code == 0, args\n"
        "slow = {'jax', 'flax', 'orbax', 'matplotlib', 'tensorboardX'} & {*sys.modules}\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
