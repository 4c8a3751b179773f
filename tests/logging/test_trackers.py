"""Experiment trackers with their real packages, without their services; and the choice of writers in a config."""

import json
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb

from rsl_jax.env import vectorize
from rsl_jax.logging import Logger, LogWriter, read_scalars
from rsl_jax.runners import OnPolicyRunner
from tests.environments import PointMass
from tests.helpers import small_config

pytestmark = pytest.mark.filterwarnings("ignore:Info .NVML.")  # of Neptune, where there is no GPU
TRACKERS = ["wandb", "neptune", "mlflow"]
METRICS = {"Loss/value": 0.5, "Train/mean_reward": 2.0, "Train/mean_episode_length": 9.0, "rew_upright": float("nan")}


@pytest.fixture(autouse=True)
def no_service(monkeypatch, tmp_path):
    """Nobody is logged in anywhere, and trackers write below ``tmp_path``."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "NEPTUNE_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / ".netrc"))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield
    wandb.teardown()  # it remembers settings, and the folder of the first run


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NEPTUNE_MODE", "offline")


def make_logger(log_dir, **train_cfg) -> Logger:
    if train_cfg.get("logger") in ("wandb", "neptune", "mlflow"):  # which start slowly on a busy machine
        patience = {"open_timeout": 120, "stop_timeout": 120}
        train_cfg["logger"] = {"class_name": train_cfg["logger"], "background": patience}
    return Logger(log_dir, train_cfg, {"task": "cartpole"}, num_envs=4, num_steps_per_env=8, console=False)


def log_a_run(log_dir: Path, **train_cfg) -> None:
    """Two iterations with a checkpoint of either kind, a policy, a video and the state of the code."""
    folder = log_dir / "model_1" / "state"
    folder.mkdir(parents=True)
    (folder / "data").write_text("folder")
    (log_dir / "model_0.pt").write_text("file")
    (log_dir / "policy.onnx").write_text("policy")
    (log_dir / "videos").mkdir()
    with make_logger(log_dir, seed=3, **train_cfg).start(0, 2) as logger:
        for it in range(2):
            logger.log(it, METRICS, collection_time=1.0, learning_time=1.0)
        logger.save_model(log_dir / "model_0.pt", 0)
        logger.save_model(log_dir / "model_1", 1)
        logger.save_policy(log_dir / "policy.onnx")
        (log_dir / "videos" / "run.mp4").write_bytes(b"video")


def read_wandb(root: Path):
    """Records of an offline run, by kind; its file is a log of LevelDB's form behind a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # ends the process that writes it
    (path,) = root.glob("wandb/offline-run-*/run-*.wandb")
    data, position, parts, records = path.read_bytes(), 7, b"", {}
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = Record.FromString(parts)
            parts = b""
            records.setdefault(record.WhichOneof("record_type"), []).append(record)
    return records, path.parent / "files"


def test_wandb_offline(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_USERNAME", "me")
    monkeypatch.setenv("WANDB_TAGS", "flat,go1")
    log_a_run(tmp_path / "2026_run", logger="wandb", wandb_project="robots", wandb_tags=["go1", "fast"])
    records, files = read_wandb(tmp_path)
    run = records["run"][0].run
    assert (run.project, run.entity, run.display_name) == ("robots", "me", "2026_run")
    assert sorted(run.tags) == ["fast", "flat", "go1"]
    rows = [
        {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
        for record in records["history"]
    ]
    assert [row["_step"] for row in rows] == [0, 1]
    for row in rows:
        assert {tag for tag in row if not tag.startswith(("_", "video"))} == {
            *("Loss/value", "Train/mean_reward", "Train/mean_episode_length"),
            *("Perf/total_fps", "Perf/collection_time", "Perf/learning_time"),
        }
        assert row["Loss/value"] == 0.5
    assert rows[1]["video/_type"] == "video-file"
    config = {}
    for record in [records["run"][0].run.config, *(record.config for record in records["config"])]:
        config |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.update}
    assert config["train_cfg"]["seed"] == 3
    assert config["env_cfg"] == {"task": "cartpole"}
    names = {path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()}
    assert {"model_0.pt", "model_1/state/data", "policy.onnx"} <= names
    assert any(name.endswith(".diff") for name in names)
    assert (files / "model_1" / "state" / "data").read_text() == "folder"


def test_neptune_offline(offline, tmp_path):
    log_a_run(tmp_path / "2026_run", logger="neptune", neptune_project="me/robots")
    (path,) = (tmp_path / "cwd").glob(".neptune/offline/run__*/data-1.log")
    decoder, text, position, operations = json.JSONDecoder(), path.read_text(), 0, []
    while position < len(text.rstrip()):
        operation, position = decoder.raw_decode(text, position)
        operations.append(operation["obj"])
        position += len(text[position:]) - len(text[position:].lstrip())
    series, uploads, values = {}, {}, {}
    for operation in operations:
        field = "/".join(operation["path"])
        if operation["type"] == "LogFloats":
            series.setdefault(field, []).extend((point["step"], point["value"]) for point in operation["values"])
        elif operation["type"] == "UploadFile":
            uploads[field] = Path(operation["file_path"] or operation["tmp_file_name"]).name
        else:
            values[field] = operation.get("value")
    assert series["Loss/value"] == [(0, 0.5), (1, 0.5)]
    assert series["Train/mean_reward_time"] == [(2, 2.0), (4, 2.0)]
    assert "Episode/rew_upright" not in series
    assert values["train_cfg/seed"] == 3
    assert values["env_cfg/task"] == "cartpole"
    assert uploads["model/saved_model_0"] == "model_0.pt"
    assert uploads["model/saved_model_1/state/data"] == "data"
    assert uploads["policy/policy.onnx"] == "policy.onnx"
    assert uploads["videos/run"] == "run.mp4"
    assert any(field.startswith("git_diff/") for field in uploads)


@pytest.mark.parametrize("store", ["sqlite:///{}/mlflow.db", "file:{}/mlruns"])
def test_mlflow_in_a_local_store(store, tmp_path, monkeypatch):
    import mlflow

    uri = store.format(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    log_a_run(tmp_path / "2026_run", logger="mlflow", experiment_name="robots", algorithm={"gamma": 0.99})
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("robots").experiment_id])
    assert (run.info.run_name, run.info.status) == ("2026_run", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "Loss/value")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.5)]
    timed = client.get_metric_history(run.info.run_id, "Train/mean_reward_time")
    assert [(metric.step, metric.value) for metric in timed] == [(2, 2.0), (4, 2.0)]
    assert "Episode/rew_upright" not in run.data.metrics
    assert run.data.params["algorithm.gamma"] == "0.99"

    def artifacts(folder):
        for item in client.list_artifacts(run.info.run_id, folder):
            yield from artifacts(item.path) if item.is_dir else [item.path]

    names = set(artifacts(""))
    assert {"config/train_cfg.json", "config/env_cfg.json", "model/model_0.pt", "model/model_1/state/data"} <= names
    assert {"policy/policy.onnx", "videos/run.mp4"} <= names
    assert any(name.startswith("git_diff/") for name in names)


def test_what_comes_after_the_end_goes_to_the_same_run(tmp_path):
    import mlflow

    log_a_run(tmp_path / "run", logger="mlflow", experiment_name="robots")
    (tmp_path / "run" / "exported.onnx").write_text("policy")
    logger = make_logger(tmp_path / "run", logger="mlflow", experiment_name="robots", seed=4)
    with logger.start(2, 3):  # another session: a parameter has changed
        logger.log(2, METRICS, collection_time=1.0, learning_time=1.0)
    logger.save_policy(tmp_path / "run" / "exported.onnx")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("robots").experiment_id])
    assert run.info.status == "FINISHED"
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "Loss/value")] == [0, 1, 2]
    policies = {item.path for item in client.list_artifacts(run.info.run_id, "policy")}
    assert policies == {"policy/policy.onnx", "policy/exported.onnx"}


def test_a_policy_exported_after_the_end_reaches_offline_trackers(offline, tmp_path):
    runs = tmp_path / "run"
    with make_logger(runs, logger="wandb", wandb_project="robots").start(0, 1) as logger:
        logger.log(0, METRICS, collection_time=1.0, learning_time=1.0)
    (runs / "policy.onnx").write_text("policy")
    logger.save_policy(runs / "policy.onnx")
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/policy.onnx"))) == 1
    identity = (runs / ".wandb_run").read_text()
    assert [identity in path.name for path in tmp_path.glob("wandb/offline-run-*")] == [True, True]


def test_a_logger_that_never_started_hands_nothing_to_trackers(offline, tmp_path):
    logger = make_logger(tmp_path / "run", logger="wandb", wandb_project="robots")
    (tmp_path / "policy.onnx").write_text("policy")
    logger.save_policy(tmp_path / "policy.onnx")
    assert not list(tmp_path.glob("wandb/*"))


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_leaves_event_files_too(tracker, offline, tmp_path):
    with make_logger(tmp_path / "run", logger=tracker, wandb_project="x").start(0, 1) as logger:
        assert [writer.writer is not None for writer in logger.writer.writers] == [True, True]
        logger.log(0, METRICS, collection_time=None, learning_time=1.0)
    assert logger.logger_type == tracker
    np.testing.assert_array_equal(read_scalars(tmp_path / "run")["Loss/value"].values, [0.5])


def test_training_reaches_a_tracker(offline, tmp_path):
    env = vectorize(PointMass(), 16, max_episode_length=20)
    cfg = {**small_config().to_dict(), "logger": ["tensorboard", "wandb"], "wandb_project": "robots"}
    runner = OnPolicyRunner(env, cfg, tmp_path / "run", console=False)
    runner.learn(1)
    records, files = read_wandb(tmp_path)
    (row,) = records["history"]
    assert {"Loss/surrogate", "Policy/mean_std"} <= {item.key or "/".join(item.nested_key) for item in row.history.item}
    assert list(files.glob("model_0/**/*"))


class Recorder(LogWriter):
    """Notes which files it is given."""

    files: list[str]

    def __init__(self, log_dir: str, note: str = "") -> None:
        type(self).files = []

    def add_scalar(self, tag, value, global_step):
        self.files.append(tag)

    def save_model(self, path, it):
        self.files.append(Path(path).name)

    def save_file(self, path):
        self.files.append(Path(path).name)


@pytest.mark.parametrize("upload", [True, False])
def test_checkpoints_and_policies_are_sent_unless_the_config_says_no(upload, tmp_path):
    with make_logger(tmp_path, logger=Recorder, upload_model=upload).start(0, 1) as logger:
        logger.save_model(tmp_path / "model_0", 0)
        logger.save_policy(tmp_path / "policy.onnx")
        logger.save_file(tmp_path / "notes.txt")
    assert [name for name in Recorder.files if not name.endswith(".diff")] == [
        *(["model_0", "policy.onnx"] if upload else []),
        "notes.txt",
    ]


def test_several_writers_at_once(tmp_path):
    logger = make_logger(tmp_path, logger=["tensorboard", {"class_name": Recorder, "note": "x"}])
    with logger.start(0, 1):
        logger.log(0, {"Loss/value": 1.0}, collection_time=None, learning_time=1.0)
    assert logger.logger_type == "Recorder"
    assert "Loss/value" in Recorder.files
    assert "Loss/value" in read_scalars(tmp_path)


@pytest.mark.parametrize("logger", [None, []])
def test_no_writer_at_all(logger, tmp_path):
    with make_logger(tmp_path, logger=logger).start(0, 1) as started:
        started.log(0, {"Loss/value": 1.0}, collection_time=None, learning_time=1.0)
        assert started.writer is None
    assert started.logger_type is None
    assert read_scalars(tmp_path) == {}


@pytest.mark.parametrize("log_dir", [None, "run"])
@pytest.mark.parametrize(
    ("logger", "error", "message"),
    [
        ("tensorbord", ValueError, "Unknown log writer 'tensorbord'.*Did you mean 'tensorboard'"),
        ("WandBLogWriter", ValueError, "Did you mean 'WandbLogWriter'"),
        (5, TypeError, "got 5"),
        (["tensorboard", "nepptune"], ValueError, "Did you mean 'neptune'"),
        (["mlflow", "mlflow"], ValueError, "'mlflow' is twice"),
        ({"name": "wandb"}, ValueError, "'class_name'"),
        ({"class_name": "tensorboard", "flush_sec": 1}, TypeError, "flush_sec.*log_dir: flush_secs"),
        ({"class_name": "tensorboard", "background": {"stop_timout": 3}}, ValueError, "Did you mean 'stop_timeout'"),
        ({"class_name": "tensorboard", "background": {"stop_timeout": 0}}, ValueError, "above zero; got 0"),
        ({"class_name": "tensorboard", "background": 3}, TypeError, "section with queue_size, open_timeout"),
        ("no.such.module:Writer", ImportError, "cannot be imported"),
    ],
)
def test_names_are_checked_before_anything_is_opened(logger, error, message, log_dir, tmp_path):
    with pytest.raises(error, match=message):
        make_logger(None if log_dir is None else tmp_path / log_dir, logger=logger)
    assert not (tmp_path / "run").exists()


def test_the_runner_checks_names_too():
    env = vectorize(PointMass(), 4, max_episode_length=20)
    with pytest.raises(ValueError, match="Did you mean 'tensorboard'"):
        OnPolicyRunner(env, {**small_config().to_dict(), "logger": "tensorbord"}, console=False)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_missing_package_is_found_before_training(tracker, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, tracker, None)
    make_logger(None, logger=tracker)  # nothing would be logged
    with pytest.raises(ImportError, match=rf'pip install "rsl-jax\[{tracker}\]"'):
        make_logger(tmp_path, logger=tracker)


def test_a_folder_of_the_package_s_name_is_not_the_package(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "wandb").mkdir()  # as W&B leaves it where a run was started
    with pytest.raises(ImportError, match=r'is not the package.*pip install "rsl-jax\[wandb\]"'):
        make_logger(tmp_path, logger="wandb")


def test_a_missing_key_is_found_before_training(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no API key.*WANDB_API_KEY.*WANDB_MODE=offline"):
        make_logger(tmp_path, logger="wandb", wandb_project="robots")
    with pytest.raises(ValueError, match=r"NEPTUNE_API_TOKEN.*NEPTUNE_MODE=offline"):
        make_logger(tmp_path, logger="neptune", neptune_project="me/robots")
    monkeypatch.setenv("NEPTUNE_API_TOKEN", "token")
    with pytest.raises(ValueError, match=r"got 'robots'. Set NEPTUNE_USERNAME"):
        make_logger(tmp_path, logger="neptune", neptune_project="robots")
    monkeypatch.setenv("NEPTUNE_USERNAME", "me")
    make_logger(tmp_path, logger="neptune", neptune_project="robots")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    make_logger(tmp_path, logger="wandb", wandb_project="robots")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    with pytest.raises(ValueError, match=r"cannot log to 'nowhere://x' \(MLFLOW_TRACKING_URI\)"):
        make_logger(tmp_path, logger="mlflow")


def test_a_key_in_netrc_counts(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {'0' * 40}\n")
    make_logger(tmp_path, logger="wandb")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"class_name": "wandb", "mode": "offline", "projct": "x"}, "wandb.init has no argument 'projct'.*'project'"),
        ({"class_name": "neptune", "mode": "offline", "sorce_files": []}, "no argument 'sorce_files'.*'source_files'"),
        ({"class_name": "mlflow", "trackng_uri": "x"}, "tracking_uri"),
    ],
)
def test_a_tracker_s_arguments_are_checked(section, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        make_logger(tmp_path, logger=section)


def test_a_tracker_whose_service_is_away_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    logger = make_logger(tmp_path, logger="mlflow")
    with pytest.warns(RuntimeWarning, match="'mlflow' could not be opened"):
        logger.start(0, 1)
    logger.log(0, METRICS, collection_time=None, learning_time=1.0)
    logger.stop()
    assert "Loss/value" in read_scalars(tmp_path)
