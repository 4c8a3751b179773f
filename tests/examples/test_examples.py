"""The examples run, smaller than they are."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, changes):
    """Execute an example with parts of its text replaced; each part must be there."""
    source = (EXAMPLES / name).read_text()
    for old, new in changes.items():
        assert source.count(old) == 1, f"{name} has {source.count(old)} times {old!r}"
        source = source.replace(old, new)
    namespace = {"__name__": "example"}
    exec(compile(source, name, "exec"), namespace)
    return namespace


def test_own_environment_learns():
    metrics = run("own_environment.py", {})["main"](num_envs=64, num_iterations=30)
    rewards = np.asarray(metrics["Train/mean_reward"])
    rewards = rewards[np.isfinite(rewards)]
    assert rewards[-1] > rewards[0] + 10, rewards


@pytest.mark.filterwarnings("ignore:There is no device 'cuda")
def test_train_then_play(tmp_path, monkeypatch):
    config = yaml.safe_load((EXAMPLES / "config" / "my_training.yaml").read_text())
    config["runner"]["num_steps_per_env"] = 4
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "my_training.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    # A simulator takes minutes to compile; what the scripts do is the same on a pendulum.
    small = {"playground/CartpoleBalance": "gymnax/Pendulum-v1", "num_envs=64": "num_envs=4"}
    run("train.py", {**small, "num_learning_iterations=1500": "num_learning_iterations=2"})
    exported = tmp_path / "logs" / "my_experiment" / "exported"
    assert {path.name for path in exported.iterdir()} == {"policy.pt", "policy.onnx"}
    played = run("play.py", {**small, "model_1499": "model_1", "range(1000)": "range(3)"})
    assert played["actions"].shape == (4, 1)
    assert np.isfinite(played["rewards"]).all()


def test_checkpoint_of_play_is_the_last_one_of_train():
    iterations = int(re.search(r"num_learning_iterations=(\d+)", (EXAMPLES / "train.py").read_text())[1])
    assert f'runner.load("logs/my_experiment/model_{iterations - 1}")' in (EXAMPLES / "play.py").read_text()


def test_many_seeds_draws_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context({"backend": "agg"}):
        result = run(
            "many_seeds.py",
            {
                "NUM_ITERATIONS = 200": "NUM_ITERATIONS = 9",  # the first episodes end in the eighth
                "NUM_SEEDS = 16": "NUM_SEEDS = 2",
                "num_envs=32": "num_envs=4",
                "[1e-4, 3e-4, 1e-3, 3e-3, 1e-2], 8": "[1e-3, 3e-3], 2",
            },
        )
    assert result["rewards"].shape == (2, 9)
    assert result["swept_rewards"].shape == (2, 2, 9)
    assert np.isfinite(result["swept_rewards"][..., -1]).all()
    assert (tmp_path / "docs" / "images" / "many_seeds.png").stat().st_size > 10_000


def test_vision_draws_its_picture(tmp_path):
    example = run("vision.py", {"num_envs=128": "num_envs=4"})
    with matplotlib.rc_context({"backend": "agg"}):
        pixels, state = example["main"](num_iterations=8, num_seeds=1, picture=tmp_path / "vision.png")
    assert np.isfinite(pixels[:, -1]).all()
    assert np.isfinite(state[:, -1]).all()
    assert (tmp_path / "vision.png").stat().st_size > 5_000


def test_memory_draws_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A simulator takes minutes to compile; what the script does is the same on another pendulum.
    playground = '"playground/PendulumSwingup", num_envs=128, config_overrides={"action_repeat": 4}'
    with matplotlib.rc_context({"backend": "agg"}):
        result = run(
            "memory.py",
            {
                playground: '"gymnax/Pendulum-v1", num_envs=4',
                "NUM_ITERATIONS, NUM_SEEDS = 300, 3": "NUM_ITERATIONS, NUM_SEEDS = 7, 2",
                '    "LSTM": {**RECURRENT, "rnn_type": "lstm"},\n': "",  # as the GRU
            },
        )
    assert {name: curve.shape for name, curve in result["curves"].items()} == {"GRU": (2, 7), "MLP": (2, 7)}
    assert np.isfinite(result["played"]).all()
    assert (tmp_path / "docs" / "images" / "memory.png").stat().st_size > 10_000
