"""``rsl-jax distill``: from a teacher's run to a student's policy."""

import numpy as np
import pytest
import yaml

from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.cli import main
from rsl_jax.cli.distill import KIND
from rsl_jax.cli.training import read_command
from rsl_jax.config import RNNModelConfig
from tests.cli.own import said
from tests.helpers import assert_trees_equal

ENV = "tests.cli.own:half_seen"
SMALL = ["--actor.hidden-dims", "8", "--actor.activation", "tanh", "--critic.hidden-dims", "8", "--critic.activation"]


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory):
    """A run of PPO of one iteration."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    args = ["--num-envs", "8", "--num-steps-per-env", "10", "--env-kwargs", "max_episode_length=6", "--no-export"]
    groups = ["--obs-groups", "actor=privileged", "critic=privileged"]
    assert main(["train", ENV, *SMALL, "tanh", *args, *groups, "--iterations", "1", "--log-dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def student_dir(teacher_dir, tmp_path_factory):
    """Its student after two iterations."""
    folder = tmp_path_factory.mktemp("student") / "run"
    args = ["--iterations", "2", "--log-dir", str(folder), "--student.hidden-dims", "4", "--no-export"]
    assert main(["distill", ENV, "--teacher", str(teacher_dir), *args]) == 0
    return folder


def test_what_nothing_is_said_of_comes_from_the_teacher(teacher_dir, student_dir):
    made = yaml.safe_load((student_dir / "run.yaml").read_text(encoding="utf-8"))
    assert (made["teacher"], made["num_envs"], made["env_kwargs"]) == (str(teacher_dir), 8, {"max_episode_length": 6})
    runner = made["runner"]
    assert runner["obs_groups"] == {"student": ["policy"], "teacher": ["privileged"]}
    assert (runner["teacher"]["hidden_dims"], runner["teacher"]["activation"]) == ([8], "tanh")
    assert (runner["student"]["hidden_dims"], runner["student"]["activation"]) == ([4], "tanh")
    assert (runner["num_steps_per_env"], runner["algorithm"]["gradient_length"]) == (10, 10)
    teacher, student = read_checkpoint(teacher_dir / "model_0"), read_checkpoint(student_dir / "model_1")
    assert_trees_equal(student.state["params"]["teacher"]["mlp"], teacher.state["params"]["actor"]["mlp"])


def test_a_run_is_gone_on_with_without_its_teacher(student_dir, capsys):
    assert main(["distill", ENV, "--resume", str(student_dir), "--iterations", "3", "--no-export"]) == 0
    assert int(read_checkpoint(student_dir / "model_2").state["iteration"]) == 3
    assert main(["distill", ENV, "--resume", str(student_dir), "--teacher", "x"]) == 2
    assert "A resumed run already has its teacher" in said(capsys)
    header = (student_dir / "run.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert f"rsl-jax distill {ENV} --config" in header


def test_the_student_plays_and_is_exported(student_dir, tmp_path, capsys):
    from rsl_jax.export import load_jax

    assert main(["play", str(student_dir), "--trust", "tests", "--num-envs", "4"]) == 0
    assert "4 reached the time limit" in capsys.readouterr().out
    assert main(["export", str(student_dir), "--out", str(tmp_path), "--no-onnx"]) == 0
    policy = load_jax(tmp_path / "policy.jax")
    assert policy({"policy": np.zeros((2, 1), np.float32)})[0].shape == (2, 1)
    assert main(["plot", str(student_dir), "--tag", "Loss/behavior", "--out", str(tmp_path / "x.png")]) == 0


def test_flags_and_files_are_read_as_in_training(teacher_dir, tmp_path):
    def read(*args):
        return read_command(KIND, [ENV, "--teacher", str(teacher_dir), *args])[0]

    student = read("--student.class-name", "RNNModel", "--student.rnn-type", "gru").runner.student
    assert isinstance(student, RNNModelConfig)
    assert (student.rnn_type, student.hidden_dims) == ("gru", (8,))
    path = tmp_path / "config.yaml"
    groups = {"student": ["policy"], "teacher": ["policy"]}
    content = {"algorithm": {"class_name": "Distillation", "loss_type": "huber"}, "obs_groups": groups}
    path.write_text(yaml.safe_dump({"num_envs": 3, "runner": content}), encoding="utf-8")
    command = read("--config", str(path), "--algorithm.gradient-length", "4")
    assert (command.num_envs, command.runner.algorithm.loss_type) == (3, "huber")
    assert command.runner.algorithm.gradient_length == 4
    assert command.runner.teacher.hidden_dims == (8,)  # as it was trained, whatever the file says
    assert command.runner.obs_groups == {"student": ("policy",), "teacher": ("policy",)}


def test_mistakes_are_said(teacher_dir, student_dir, tmp_path, capsys):
    assert main(["distill", ENV]) == 2
    assert "There is no teacher. Give the log folder of a run of rsl-jax train" in said(capsys)
    assert main(["distill", ENV, "--teacher", str(student_dir)]) == 2
    assert "is itself a distillation run" in said(capsys)
    assert main(["train", ENV, "--resume", str(student_dir)]) == 2
    assert "config of Distillation, for another command: rsl-jax distill" in said(capsys)
    ppo = tmp_path / "ppo.yaml"
    ppo.write_text("algorithm: {class_name: PPO}\n", encoding="utf-8")
    assert main(["distill", ENV, "--teacher", str(teacher_dir), "--config", str(ppo)]) == 2
    assert "config of PPO, for another command: rsl-jax train" in said(capsys)
    groups = ["--obs-groups", "teacher=policy", "student=policy", "--log-dir", str(tmp_path / "no")]
    assert main(["distill", ENV, "--teacher", str(teacher_dir), *groups]) == 1
    assert "'policy' [1] against 'privileged' [2]" in said(capsys)
    assert not (tmp_path / "no").exists()
