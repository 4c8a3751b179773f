"""Isaac Lab's scripts find all of RSL-RL that they touch, under ``python -m rsl_jax.as_rsl_rl``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="simulators in PyTorch need it: pip install torch tensordict")
pytest.importorskip("tensordict", reason="simulators in PyTorch need it: pip install torch tensordict")

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the scripts saw, in a process of their own."""
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "rsl_jax.as_rsl_rl", str(HERE / "isaac_lab.py"), str(folder)]
    # What is resumed is the same program as what was trained: it need not be compiled again.
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu", **cache})
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        **json.loads(done.stdout.rpartition("SEEN ")[2]),
        "warnings": [line for line in done.stderr.splitlines() if "Warning" in line],
    }


def test_versions_and_signatures(seen):
    assert tuple(map(int, seen["version"].split("."))) >= (5, 0, 1)
    assert seen["mixed_precision"]


def test_checkpoints_are_files_that_regular_expressions_find(seen):
    assert {"model_0.pt", "model_1.pt"} <= set(seen["train"]["files"])
    assert not [name for name in seen["train"]["files"] if "best" in name]
    assert seen["found"] == seen["any"] == "model_1.pt"


def test_a_run_resumes(seen):
    assert (seen["train"]["first"], seen["train"]["last"]) == (0, 1)
    assert (seen["resume"]["first"], seen["resume"]["last"]) == (1, 2)
    assert "model_2.pt" in seen["resume"]["files"]


def test_play_acts_and_exports(seen):
    assert seen["play"]["exported"] == ["policy.onnx", "policy.pt"]
    assert seen["play"]["in_features"] == 4
    assert seen["play"]["difference"] < 1e-5


def test_a_student_learns_from_the_file(seen):
    assert "model_0.pt" in seen["distill"]["files"]
    assert {"student_state_dict", "teacher_state_dict", "optimizer_state_dict"} <= set(seen["distill"]["models"])


def test_nothing_is_warned_of_but_what_was_read_as_what(seen):
    assert all("config" in line for line in seen["warnings"]), seen["warnings"]
