"""The examples run, in smaller sizes."""

import importlib
import re
from pathlib import Path

import jax
import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
import yaml

from rsl_jax.env import draw_segments, vectorize
from tests.environments import PointMass
from tests.parity.oracle import require_oracle

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
    require_oracle()  # policy.pt is written by PyTorch
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
    assert len(result["rates"].settings) == 2
    assert all(np.isfinite(result["rates"].curves(setting)[:, -1]).all() for setting in result["rates"].settings)
    assert (tmp_path / "docs" / "images" / "many_seeds.png").stat().st_size > 10_000


def test_sweep_keeps_its_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {
        "iterations=60, seeds=8": "iterations=5, seeds=2, console=False",
        "num_envs=16": "num_envs=4",
        "[3e-4, 1e-3, 3e-3], num_learning_epochs=[2, 5]": "[1e-3, 3e-3], num_learning_epochs=[1]",
    }
    result = run("sweep.py", small)["result"]
    assert len(result.summary()) == 2
    assert (tmp_path / "logs" / "sweep" / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "logs" / "sweep" / "best").is_dir()


def test_parts_of_ones_own_learn_and_are_exported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    custom_model = importlib.import_module("custom_model")
    custom_model.CONFIG["algorithm"] |= {"num_learning_epochs": 2, "num_mini_batches": 2}
    trained, exported = custom_model.main(num_envs=64, num_iterations=40, folder=tmp_path)
    assert (tmp_path / "policy.onnx").exists()
    assert min(trained, exported) > 40, (trained, exported)


def test_the_squashed_gaussian_is_a_density(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    squashed = importlib.import_module("custom_model").squashed_gaussian(1, init_std=0.7)
    edges = np.linspace(-1, 1, 4001)
    actions = (edges[1:] + edges[:-1])[:, None] / 2
    params = (np.full_like(actions, 0.4), np.full_like(actions, 0.7))
    np.testing.assert_allclose(np.sum(np.exp(squashed.log_prob(params, actions))) * (edges[1] - edges[0]), 1, rtol=1e-3)


def test_vision_draws_its_picture(tmp_path):
    example = run("vision.py", {"num_envs=128": "num_envs=4"})
    with matplotlib.rc_context({"backend": "agg"}):
        pixels, state = example["main"](num_iterations=8, num_seeds=1, picture=tmp_path / "vision.png")
    assert np.isfinite(pixels[:, -1]).all()
    assert np.isfinite(state[:, -1]).all()
    assert (tmp_path / "vision.png").stat().st_size > 5_000
    assert (tmp_path / "vision.gif").stat().st_size > 5_000


def test_discrete_draws_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {
        "num_envs=settings.num_envs": "num_envs=8",
        "settings.iterations)\n": "2)\n",
        "NUM_SEEDS = 3": "NUM_SEEDS = 2",
    }
    with matplotlib.rc_context({"backend": "agg"}):
        curves = run("discrete.py", small)["curves"]
    for steps, rewards in curves.values():
        assert rewards.shape == (2, *steps.shape)
    assert np.isfinite(curves["Breakout-MinAtar"][1]).all()  # a game of chance ends within a rollout of 128 steps
    assert (tmp_path / "docs" / "images" / "discrete.png").stat().st_size > 10_000


def test_memory_draws_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A simulator takes minutes to compile; what the script does is the same on a pendulum.
    playground = '"playground/CartpoleSwingup", num_envs=256, config_overrides={"action_repeat": 4}'
    with matplotlib.rc_context({"backend": "agg"}):
        result = run(
            "memory.py",
            {
                playground: '"gymnax/Pendulum-v1", num_envs=4',
                "NUM_ITERATIONS, NUM_SEEDS = 300, 3": "NUM_ITERATIONS, NUM_SEEDS = 7, 2",
                '    "LSTM": ("positions", {**RECURRENT, "rnn_type": "lstm"}),\n': "",  # as the GRU
                '    "MLP that sees velocities": ("everything", FEED_FORWARD),\n': "",  # as the MLP
                "    ylim=(0, 1000),\n": "",  # the returns of this pendulum are negative
                "num_steps=200": "num_steps=4",
                "env.render(env_state)": "np.zeros((8, 8, 3), np.uint8)",  # which takes pygame
            },
        )
    assert {name: curve.shape for name, curve in result["curves"].items()} == {"GRU": (2, 7), "MLP": (2, 7)}
    assert np.isfinite(result["played"]).all()
    assert (tmp_path / "docs" / "images" / "memory.png").stat().st_size > 10_000
    assert len(result["frames"]) == 2
    assert (tmp_path / "docs" / "images" / "memory.gif").stat().st_size > 0


def test_curiosity_draws_its_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"NUM_ITERATIONS = 150": "NUM_ITERATIONS = 8", "NUM_SEEDS = 5": "NUM_SEEDS = 2"}
    with matplotlib.rc_context({"backend": "agg"}):
        result = run("curiosity.py", small)
    assert {name: metrics["own"].shape for name, metrics in result["metrics"].items()} == {
        "with curiosity": (2, 8),
        "without": (2, 8),
    }
    assert np.isfinite(result["metrics"]["with curiosity"]["own"][:, -1]).all()
    assert (tmp_path / "docs" / "images" / "curiosity.png").stat().st_size > 10_000


def test_symmetry_finds_its_mirror_right_and_draws_its_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {
        "NUM_ITERATIONS = 150": "NUM_ITERATIONS = 9",
        "NUM_SEEDS = 5": "NUM_SEEDS = 2",
        '"playground/CartpoleSwingup", num_envs=256, config_overrides={"action_repeat": 4}': (
            '"gymnax/Pendulum-v1", num_envs=4'
        ),
        "Mirror(5, flip=(0, 2, 3, 4))": "Mirror(3, flip=(1, 2))",
        "BetaDistribution": "GaussianDistribution",  # which takes half as long to compile
    }
    with matplotlib.rc_context({"backend": "agg"}):
        result = run("symmetry.py", small)
    assert "The mirror is a symmetry" in capsys.readouterr().out
    assert all(curves.shape == (2, 9) for curves in result["errors"].values())
    plain, mirrored = (result["errors"][name][:, -1].mean() for name in ("without", "augmentation and mirror loss"))
    assert mirrored < plain
    assert (tmp_path / "docs" / "images" / "symmetry.png").stat().st_size > 10_000


def test_the_page_on_parts_of_ones_own_tells_the_truth():
    page = (EXAMPLES.parent / "docs" / "custom_parts.md").read_text()
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, namespace)
    distribution = namespace["squashed_gaussian"](2, init_std=0.5)
    model = namespace["GatedModel"](
        obs_shapes={"policy": (3,)}, obs_groups=("policy",), output_dim=2, distribution=distribution, hidden_dims=(4,)
    )
    observations = {"policy": np.ones((5, 3), np.float32)}
    variables = model.init(jax.random.key(0), observations, ())
    (mean, std), _ = model.apply(variables, observations, ())
    assert mean.shape == std.shape == (5, 2)
    assert variables["params"]["mlp"]["layer_0"]["kernel"].shape == (64, 4)


def test_distill_runs_from_a_teacher_to_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = run("distill.py", {})

    class Limited(PointMass):
        max_episode_length = 20

    def point(num_envs, *, filmed=False):
        return example["shown"](vectorize(Limited(), 4), draw if filmed else None, num_positions=1)

    def draw(state):
        return draw_segments(state[None], state[None], size=(8, 8), radius=0.5)

    encoder = {"output_channels": [2], "kernel_size": 3, "stride": 2}
    example["TASKS"]["point"] = {
        "title": "a point mass",
        "env": point,
        "network": example["mlp"](8),
        "ppo": {},
        "iterations": 2,
        "students": {"CNN, pixels": ({**example["cnn"](8), "cnn_cfg": encoder}, "camera", 2)},
        "scenes": slice(0, 20, 5),
    }
    with matplotlib.rc_context({"backend": "agg"}):
        example["main"](["point"])
    assert (tmp_path / example["PICTURE"]).stat().st_size > 0
    assert {path.name for path in (tmp_path / "logs/distill/point").iterdir()} == {"teacher", "CNN_pixels"}
