import os
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rsl_jax.logging import Logger, LogWriter, read_scalars, store_git_state


class RecordingWriter(LogWriter):
    made: ClassVar[list["RecordingWriter"]] = []

    def __init__(self, log_dir: str) -> None:
        self.calls: list[tuple] = []
        self.made.append(self)

    def add_scalar(self, tag, value, global_step):
        self.calls.append(("scalar", tag, value, global_step))

    def store_config(self, env_cfg, train_cfg):
        self.calls.append(("config", env_cfg, train_cfg))

    def save_model(self, path, it):
        self.calls.append(("model", path, it))

    def save_file(self, path):
        self.calls.append(("file", Path(path).name))

    def save_video(self, path, it):
        self.calls.append(("video", Path(path).name, it))

    def stop(self):
        self.calls.append(("stop",))


def make_logger(log_dir, **train_cfg) -> Logger:
    return Logger(log_dir, train_cfg, {"task": "cartpole"}, num_envs=4, num_steps_per_env=8, console=False)


def test_tags_of_a_host_environment(tmp_path):
    metrics = {"Loss/value": 1.0, "Loss/learning_rate": 1e-3, "Train/mean_reward": 5.0, "rew_upright": 2.0}
    with make_logger(tmp_path).start(0, 2) as logger:
        for it in range(2):
            logger.log(it, metrics, collection_time=1.5, learning_time=0.5)
    scalars = read_scalars(tmp_path)
    assert set(scalars) == {
        *("Loss/value", "Loss/learning_rate", "Train/mean_reward", "Train/mean_reward/time", "Episode/rew_upright"),
        *("Perf/total_fps", "Perf/collection_time", "Perf/learning_time"),
    }
    np.testing.assert_array_equal(scalars["Perf/total_fps"].values, [16.0, 16.0])
    np.testing.assert_array_equal(scalars["Perf/learning_time"].values, [0.5, 0.5])
    np.testing.assert_array_equal(scalars["Train/mean_reward/time"].steps, [2, 4])


def test_a_compiled_iteration_has_only_a_total_time(tmp_path):
    with make_logger(tmp_path).start(0, 1) as logger:
        logger.log(0, {"Loss/value": 1.0}, collection_time=None, learning_time=2.0)
    scalars = read_scalars(tmp_path)
    assert set(scalars) == {"Loss/value", "Perf/total_fps", "Perf/iteration_time"}
    np.testing.assert_array_equal(scalars["Perf/iteration_time"].values, [2.0])


def test_missing_values_are_not_written(tmp_path):
    with make_logger(tmp_path).start(0, 1) as logger:
        logger.log(0, {"Train/mean_reward": float("nan"), "Loss/value": 1.0}, collection_time=None, learning_time=1.0)
    assert not [tag for tag in read_scalars(tmp_path) if tag.startswith("Train")]


def test_a_resumed_run_goes_on(tmp_path):
    with make_logger(tmp_path).start(0, 10) as logger:
        for it in range(6):
            logger.log(it, {"Train/mean_reward": 1.0}, collection_time=1.0, learning_time=1.0)
    with make_logger(tmp_path).start(4, 10) as resumed:
        assert resumed.elapsed == 8.0
        resumed.log(4, {"Train/mean_reward": 2.0}, collection_time=1.0, learning_time=1.0)
    scalars = read_scalars(tmp_path)
    np.testing.assert_array_equal(scalars["Train/mean_reward"].values, [1, 1, 1, 1, 2])
    np.testing.assert_array_equal(scalars["Train/mean_reward/time"].steps, [2, 4, 6, 8, 10])


def test_learning_twice_in_one_process(tmp_path):
    logger = make_logger(tmp_path)
    for start in (0, 1):
        with logger.start(start, start + 1):
            logger.log(start, {"Loss/value": float(start)}, collection_time=None, learning_time=3.0)
    assert logger.elapsed == 6.0
    np.testing.assert_array_equal(read_scalars(tmp_path)["Loss/value"].values, [0.0, 1.0])


def test_an_own_writer_gets_everything(tmp_path):
    train_cfg = {"logger": {"class_name": RecordingWriter}, "seed": 1}
    (tmp_path / "videos" / "train").mkdir(parents=True)
    old, new = tmp_path / "videos" / "old.mp4", tmp_path / "videos" / "train" / "new.mp4"
    logger = make_logger(tmp_path, **train_cfg)
    with logger.start(0, 2):
        for video in (old, new):
            video.write_bytes(b"video")
        os.utime(old, (1.0, 1.0))  # finished long ago; the other may still be written to
        logger.log(0, {"Loss/value": 1.0}, collection_time=None, learning_time=1.0)
        logger.save_model(tmp_path / "model_0", 0)
        logger.log(1, {"Loss/value": 1.0}, collection_time=None, learning_time=1.0)
    calls = RecordingWriter.made[-1].calls
    assert calls[0] == ("config", {"task": "cartpole"}, train_cfg)
    assert ("model", str(tmp_path / "model_0"), 0) in calls
    assert [call for call in calls if call[0] == "video"] == [("video", "old.mp4", 0), ("video", "new.mp4", 1)]
    assert calls[-1] == ("stop",)
    logger.save_model(tmp_path / "model_1", 1)
    assert calls[-1] == ("stop",)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    logger = Logger(None, {"run_name": "quick"}, num_envs=4, num_steps_per_env=8)
    with logger.start(0, 1):
        logger.log(0, {"Train/mean_reward": 5.0}, collection_time=None, learning_time=1.0)
        logger.save_model("model_0", 0)
    assert list(tmp_path.iterdir()) == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("quick: iterations 0 to 1")
    assert "1/1" in lines[1]
    assert "5.00" in lines[1]


def test_time_left_comes_after_the_second_iteration(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("rsl_jax.logging.logger.time.monotonic", lambda: now[0])
    shown = []
    monkeypatch.setattr("rsl_jax.logging.console.TrainingConsole.update", lambda self, status: shown.append(status))
    with Logger(None, {}, num_envs=4, num_steps_per_env=8).start(0, 4) as logger:
        for it, seconds in enumerate((30.0, 2.0, 2.0, 2.0)):  # the first one compiles
            now[0] += seconds
            logger.log(it, {}, collection_time=None, learning_time=seconds)
    assert [status.time_left for status in shown] == [None, 4.0, 2.0, 0.0]
    assert [status.iteration for status in shown] == [1, 2, 3, 4]
    assert [status.total_steps for status in shown] == [32, 64, 96, 128]


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "my_robot"
    root.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    (root / "task.py").write_text("gain = 1\n")
    subprocess.run([*git, "add", "task.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return root, commit


def test_git_state_holds_commit_status_and_changes(repository, tmp_path):
    root, commit = repository
    (root / "task.py").write_text("gain = 2\n")
    written = store_git_state(root / "task.py", tmp_path / "git")
    assert written == tmp_path / "git" / "my_robot.diff"
    text = written.read_text()
    for part in (commit, "modified:   task.py", "-gain = 1", "+gain = 2"):
        assert part in text


def test_git_state_of_a_resumed_run_is_kept_beside_the_first(repository, tmp_path):
    root, _ = repository
    assert store_git_state(root, tmp_path / "git").name == "my_robot.diff"
    assert store_git_state(root, tmp_path / "git") is None
    (root / "task.py").write_text("gain = 3\n")
    assert store_git_state(root, tmp_path / "git").name == "my_robot-1.diff"
    assert "gain" not in (tmp_path / "git" / "my_robot.diff").read_text()


def test_without_a_repository_git_state_is_skipped(tmp_path):
    assert store_git_state(tmp_path, tmp_path / "git") is None
    assert store_git_state(tmp_path / "nowhere", tmp_path / "git") is None
    assert not (tmp_path / "git").exists()


def test_a_repository_without_commits(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path / "fresh")], check=True)
    assert "none yet" in store_git_state(tmp_path / "fresh", tmp_path / "git").read_text()


def test_the_logger_keeps_registered_repositories(repository, tmp_path):
    logger = make_logger(tmp_path / "run", logger={"class_name": RecordingWriter})
    logger.add_git_repo(repository[0])
    with logger.start(0, 1):
        pass
    assert (tmp_path / "run" / "git" / "my_robot.diff").exists()
    assert ("file", "my_robot.diff") in RecordingWriter.made[-1].calls
