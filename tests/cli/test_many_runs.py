"""The commands that train many runs: where their settings come from, what they leave, and how they stop and go on."""

import csv
import signal

import pytest
import yaml

from rsl_jax.cli import main
from rsl_jax.cli.many_runs import prepare, read_request
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.sweep import Sweep
from rsl_jax.sweeps import PopulationResult, SweepResult
from rsl_jax.sweeps.progress import SweepConsole
from tests.cli.own import said

ENV = "tests.cli.own:point_mass"
SMALL = ["--num-envs", "8", "--num-steps-per-env", "4", "--actor.hidden-dims", "8", "--critic.hidden-dims", "8"]
SMALL += ["--devices", "4", "--env-kwargs", "max_episode_length=6", "--algorithm.schedule", "fixed"]


def settings(*args):
    return read_request(Sweep, [ENV, *args], prog="rsl-jax sweep")[1]


@pytest.fixture
def terminated(monkeypatch):
    """SIGTERM arrives when the first progress is shown."""
    update = SweepConsole.update

    def update_and_terminate(self, progress):
        update(self, progress)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(SweepConsole, "update", update_and_terminate)
    return monkeypatch


def test_settings_come_from_flags_files_and_presets_as_those_of_train(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("init_at_random_ep_len: false\nnum_envs: 3\nrunner: {num_steps_per_env: 5}\n")
    read = settings("--config", str(path), "--randomize", "my_robot:bodies", "--randomize-every", "4")
    assert (read.num_envs, read.iterations, read.runner.num_steps_per_env) == (3, 500, 5)
    assert read.env_kwargs == {"randomize": "my_robot:bodies", "randomize_every": 4}
    assert read.init_at_random_ep_len is False
    assert settings("--config", str(path), "--init-at-random-ep-len", "True").init_at_random_ep_len is True
    with pytest.raises(CommandError, match="Remove --config or --preset"):
        settings("--config", str(path), "--preset", "default")
    with pytest.raises(CommandError, match="no effect without --randomize"):
        settings("--randomize-every", "4")


@pytest.mark.parametrize(("limit", "at_random"), [("6", True), ("null", False)])
def test_episodes_start_at_a_random_step_where_that_is_possible(limit, at_random):
    args = [ENV, *SMALL, "--env-kwargs", f"max_episode_length={limit}"]
    command, read, _ = read_request(Sweep, args, prog="rsl-jax sweep")
    assert prepare(command, read, "sweep")[1].init_at_random_ep_len is at_random


@pytest.mark.parametrize(("command", "option"), [("sweep", "--members-at-once"), ("pbt", "--fraction")])
def test_help_shows_the_keys_of_the_config(command, option, capsys):
    assert main([command, ENV, "--num-envs", "3", "--help"]) == 0
    shown = capsys.readouterr().out
    assert {option, "--num-envs", "--algorithm.entropy-coef", "--actor.hidden-dims"} <= {*shown.split()}
    assert "(default: 3)" in shown


def test_a_sweep_that_is_terminated_goes_on_and_keeps_the_best(tmp_path, terminated, capsys):
    command = ["sweep", ENV, *SMALL, "--seeds", "2", "--iterations", "4", "--log-dir", str(tmp_path)]
    command += ["--seed", "3"]
    command += ["--algorithm.entropy-coef", "0", "0.01"]
    assert main(command) == 128 + signal.SIGTERM
    assert "--resume" in capsys.readouterr().out
    terminated.undo()
    assert main(command) == 1
    assert "already contains a sweep" in said(capsys)
    assert main([*command, "--resume"]) == 0
    out = capsys.readouterr().out
    assert "entropy_coef" in out
    assert "--trust tests" in out
    assert [member.seed for member in SweepResult.load(tmp_path / "result.npz").members] == [3, 4, 3, 4]
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    kept = yaml.safe_load((tmp_path / "best" / "run.yaml").read_text(encoding="utf-8"))
    assert (kept["env"], kept["iterations"], kept["init_at_random_ep_len"]) == (ENV, 4, True)
    assert (tmp_path / "best" / "model_3").is_dir()


def test_a_population_is_trained_and_its_lineage_kept(tmp_path, capsys):
    command = ["pbt", ENV, *SMALL, "--members", "4", "--interval", "2", "--iterations", "6", "--log-dir", str(tmp_path)]
    assert main(command) == 2
    assert "No key to explore" in said(capsys)
    assert main([*command, "--algorithm.gamma", "0.9", "0.95", "0.99"]) == 2
    assert "must have two values" in said(capsys)
    assert main([*command, "--algorithm.learning-rate", "1e-4", "1e-2"]) == 0
    out = capsys.readouterr().out
    assert "learning_rate" in out
    assert "lineage.png" in out
    result = PopulationResult.load(tmp_path / "result.npz")
    with open(tmp_path / "lineage.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.lineage) > 0
    assert (tmp_path / "best" / "run.yaml").is_file()
