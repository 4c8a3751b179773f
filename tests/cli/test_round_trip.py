"""One run through all commands: train, stop, resume, play, export, plot."""

import shutil
import signal

import numpy as np
import pytest
import yaml

from rsl_jax.checkpoint import latest_checkpoint, read_checkpoint, save_checkpoint
from rsl_jax.cli import main
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.resuming import resumed_checkpoint
from rsl_jax.logging import Logger, read_scalars
from tests.cli.own import said

ENV = "tests.environments:PointMass"
SMALL = ["--num-envs", "8", "--num-steps-per-env", "4", "--actor.hidden-dims", "8", "--critic.hidden-dims", "8"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A finished run of three iterations, with its policy."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    args = ["--log-dir", str(folder), "--iterations", "3", "--seed", "5", "--env-kwargs", "max_episode_length=6"]
    assert main(["train", "tests.cli.own:point_mass", *SMALL, *args]) == 0
    return folder


@pytest.fixture
def interrupted_at_one(monkeypatch):
    """Ctrl-C arrives while iteration 1 is logged."""
    log = Logger.log

    def log_and_interrupt(self, it, *args, **kwargs):
        log(self, it, *args, **kwargs)
        if it == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Logger, "log", log_and_interrupt)
    return monkeypatch


def leaves(path):
    state = read_checkpoint(path).state
    return {name: np.asarray(x) for name, x in _flat(state)}


def _flat(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def test_a_run_says_how_it_was_made(run_dir):
    made = yaml.safe_load((run_dir / "run.yaml").read_text(encoding="utf-8"))
    assert (made["env"], made["num_envs"], made["iterations"]) == ("tests.cli.own:point_mass", 8, 3)
    assert made["env_kwargs"] == {"max_episode_length": 6}
    assert (made["runner"]["seed"], made["runner"]["obs_groups"]["critic"]) == (5, ["policy"])


def test_a_run_leaves_a_policy(run_dir):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(run_dir / "exported" / "policy.onnx")
    assert session.run(None, {"obs": np.zeros((3, 2), np.float32)})[0].shape == (3, 1)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["joint_names"], facts["control_dt"]) == ("slide", "0.05")  # what the environment tells
    assert yaml.safe_load((run_dir / "robot.yaml").read_text()) == {"joint_names": ["slide"], "control_dt": 0.05}


def test_an_interrupted_run_that_is_resumed_ends_as_if_nothing_had_happened(
    run_dir, tmp_path, interrupted_at_one, capsys
):
    again = ["train", "tests.cli.own:point_mass", "--config", str(run_dir / "run.yaml"), "--no-export"]
    folder = tmp_path / "again"
    assert main([*again, "--log-dir", str(folder)]) == 128 + signal.SIGINT
    assert latest_checkpoint(folder).name == "model_1"
    assert f"rsl-jax train tests.cli.own:point_mass --resume {folder}" in capsys.readouterr().out
    interrupted_at_one.undo()
    assert main(["train", "tests.cli.own:point_mass", "--log-dir", str(folder), "--resume", "--no-export"]) == 0
    uninterrupted, resumed = leaves(run_dir / "model_2"), leaves(folder / "model_2")
    assert uninterrupted.keys() == resumed.keys()
    for name, value in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert read_scalars(folder)["Loss/value"].steps.tolist() == [0, 1, 2]


def test_a_damaged_checkpoint_is_not_resumed_but_the_last_good_one_is_if_asked_for(run_dir, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder, ignore=shutil.ignore_patterns("model_0", "model_best"))
    save_checkpoint(folder / "model_1", {"params": {"w": np.ones(2)}}, None, {})
    manifest = folder / "model_2" / "state" / "manifest.ocdbt"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    for path in (folder, folder / "model_2"):
        assert main(["train", "tests.cli.own:point_mass", "--resume", str(path)]) == 2
        message = said(capsys)
        assert "model_2' is damaged: its file 'state/manifest.ocdbt'" in message
        assert "Add --resume-from-last-good to resume from" in message
        assert "model_1'" in message
    flags = {"resume": None, "from_last_good": True, "or_start": False}
    assert resumed_checkpoint("x", folder, **flags) == folder / "model_1"
    assert resumed_checkpoint("x", None, **{**flags, "resume": str(folder / "model_2")}) == folder / "model_1"
    (folder / "model_1" / "SHA256SUMS").unlink()
    with pytest.raises(CommandError, match="no complete one beside it"):
        resumed_checkpoint("x", folder, resume=None, from_last_good=True, or_start=True)


def test_one_command_starts_a_run_and_restarts_it(run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = {"resume": None, "from_last_good": False, "or_start": True}
    assert resumed_checkpoint("my/env", None, **flags) is None
    assert resumed_checkpoint("my/env", tmp_path / "new", **flags) is None
    assert resumed_checkpoint("my/env", run_dir, **flags) == run_dir / "model_2"
    with pytest.raises(CommandError, match="does not exist"):
        resumed_checkpoint("my/env", run_dir, **{**flags, "resume": "elsewhere"})
    command = ["train", "tests.cli.own:point_mass", "--log-dir", str(run_dir), "--resume-or-start", "--no-export"]
    assert main(command) == 0  # which is done
    assert "Done" in capsys.readouterr().out


def test_a_run_is_neither_overwritten_nor_resumed_beyond_its_end(run_dir, capsys):
    assert main(["train", "tests.cli.own:point_mass", "--log-dir", str(run_dir)]) == 2
    assert "Add --resume" in said(capsys)
    assert main(["train", "tests.cli.own:point_mass", "--resume", str(run_dir)]) == 2
    assert "has already finished 3 iterations" in said(capsys)


def test_a_policy_plays_where_it_was_trained(run_dir, capsys):
    assert main(["play", str(run_dir), "--trust", "tests", "--num-envs", "4", "--episodes", "8"]) == 0
    out = capsys.readouterr().out
    assert "8 episodes" in out
    assert "8 reached the time limit" in out
    assert "6.0" in out  # the limit that the run was made with


def test_an_environment_that_cannot_be_drawn_says_so(run_dir, tmp_path, capsys):
    play = ["play", str(run_dir), "--trust", "tests", "--num-envs", "4", "--video", str(tmp_path / "film.gif")]
    assert main(play) == 1
    assert "PointMass cannot be rendered" in said(capsys)


def test_a_checkpoint_is_exported_without_its_environment(run_dir, tmp_path):
    from rsl_jax.export import load_jax

    (tmp_path / "mine.yaml").write_text("joint_names: [rail]\naction_scale: 2\n", encoding="utf-8")
    args = ["--out", str(tmp_path / "out"), "--metadata", str(tmp_path / "mine.yaml"), "--no-onnx"]
    (tmp_path / "robot.yaml").write_bytes((run_dir / "robot.yaml").read_bytes())
    alone = tmp_path / "model_2"
    (run_dir / "model_2").rename(alone)
    try:
        assert main(["export", str(alone), *args]) == 0
    finally:
        alone.rename(run_dir / "model_2")
    policy = load_jax(tmp_path / "out" / "policy.jax")
    told = {name: policy.metadata[name] for name in ("joint_names", "action_scale", "control_dt")}
    assert told == {"joint_names": ["rail"], "action_scale": 2, "control_dt": 0.05}
    assert policy({"policy": np.zeros((2, 2), np.float32)})[0].shape == (2, 1)


def test_a_run_is_plotted(run_dir, tmp_path, capsys):
    assert main(["plot", f"mine={run_dir}", "--out", str(tmp_path / "value.png"), "--tag", "Loss/value"]) == 0
    assert (tmp_path / "value.png").read_bytes().startswith(b"\x89PNG")
    assert main(["plot", str(run_dir), "--tag", "Loss/valu", "--out", str(tmp_path / "x.png")]) == 1
    assert "Loss/value" in said(capsys)


def test_environments_are_listed(capsys):
    pytest.importorskip("gymnax")
    assert main(["envs", "pendulum-v1"]) == 0
    assert "gymnax/Pendulum-v1" in capsys.readouterr().out
    assert main(["envs", "nosuchthing"]) == 1
