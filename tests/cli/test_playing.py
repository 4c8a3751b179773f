"""Playing episodes and recording videos, on an environment with known results."""

import numpy as np
import pytest

from rsl_jax.cli import main
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.video import filming, frame_rate
from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.runners.episodes import play_episodes
from tests.cli.own import point_mass
from tests.helpers import small_config


class Clockwork:
    """Environment k ends its episodes every ``lengths[k]`` steps and gives k + 1 at each; the last one by time-out."""

    def __init__(self, *lengths, drawn=True):
        self.num_envs, self._lengths, self._steps, self.pictures = len(lengths), np.array(lengths), 0, 0
        self.num_actions = 1
        if drawn:
            self.render = self._render

    def get_observations(self):
        return {"policy": np.zeros((self.num_envs, 1))}

    def step(self, actions):
        self._steps += 1
        dones = self._steps % self._lengths == 0
        time_outs = dones & (np.arange(self.num_envs) == self.num_envs - 1)
        return self.get_observations(), np.arange(self.num_envs) + 1.0, dones, {"time_outs": time_outs}

    def _render(self):
        self.pictures += 1
        return np.full((32, 48, 3), 20 * self.pictures % 256, np.uint8)


def act(observations):
    return np.zeros_like(observations["policy"])


def test_every_environment_plays_the_same_number_of_episodes():
    played = play_episodes(Clockwork(2, 5), act, per_env=2, max_steps=100)
    assert sorted(zip(played.returns, played.lengths, strict=True)) == [(2.0, 2), (2.0, 2), (10.0, 5), (10.0, 5)]
    assert (played.time_outs, played.unfinished) == (2, 0)


def test_what_is_not_finished_is_counted_apart():
    played = play_episodes(Clockwork(2, 50), act, per_env=1, max_steps=10)
    assert (played.returns, played.lengths, played.unfinished) == ([2.0], [2], 1)


def test_no_state_that_an_episode_can_start_from_comes_again():
    class Remembering(JaxVecEnv):
        """Notes from which states an episode can start."""

        def begin_iteration(self, key):
            super().begin_iteration(key)
            pools.append(self.state.pool[1]["policy"])

    env = Remembering(point_mass(num_envs=4, max_episode_length=2), seed=7)
    pools = [env.get_observations()["policy"]]
    played = play_episodes(env, lambda observations: np.zeros((4, 1), np.float32), per_env=3, max_steps=9, seed=7)
    assert len(played.returns) == 12
    assert len(pools) == 4  # the first one, and one before each end of an episode
    assert len(np.unique(np.concatenate(pools), axis=0)) == 4 * 4


@pytest.mark.parametrize(("step_dt", "every", "rate"), [(0.02, 1, 50), (0.01, 2, 50), (0.004, 5, 50), (0.05, 1, 20)])
def test_films_run_in_real_time(step_dt, every, rate):
    assert frame_rate(step_dt) == (every, pytest.approx(rate))


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_shows_every_step(suffix, tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "films" / f"film{suffix}"
    with filming(Clockwork(3), path) as film:
        for _ in range(4):
            film()
    frames = imageio.imread(path, index=None)
    assert frames.shape == (5, 32, 48, 3)
    np.testing.assert_allclose(frames[:, 0, 0, 0], 20 * np.arange(1, 6), atol=8)
    assert list(path.parent.iterdir()) == [path]


def test_a_film_that_is_cut_short_leaves_nothing(tmp_path):
    pytest.importorskip("imageio")

    def play():
        with filming(Clockwork(3), tmp_path / "film.gif"):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        play()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("env", "name", "says"),
    [
        (
            Clockwork(3, drawn=False),
            "film.mp4",
            r"No video of this environment can be recorded: It has no method render\(\)",
        ),
        (Clockwork(3), "film.avi", r"A video file must end in"),
    ],
)
def test_what_cannot_be_filmed_is_said_before_playing(env, name, says, tmp_path):
    with pytest.raises(CommandError, match=says), filming(env, tmp_path / name):
        pytest.fail("must not get here")


GRU = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 4, "hidden_dims": [4]}


@pytest.mark.parametrize(("model", "num_mini_batches"), [(GRU, 4), ({}, 32)], ids=["recurrent", "feed-forward"])
def test_one_robot_plays_what_many_learned_in_mini_batches(model, num_mini_batches, tmp_path, capsys):
    plain = small_config(num_mini_batches=num_mini_batches).to_dict()
    cfg = RunnerConfig.from_dict({**plain, **{name: {**plain[name], **model} for name in ("actor", "critic")}})
    path = tmp_path / "model_0"
    OnPolicyRunner(point_mass(num_envs=8), cfg, console=False).save(path)
    env = ["--env", "tests.cli.own:point_mass", "--env-kwargs", "max_episode_length=3"]
    assert main(["play", str(path), *env, "--num-envs", "1"]) == 0
    assert "1 episodes" in capsys.readouterr().out
    assert main(["export", str(path), "--out", str(tmp_path / "out"), "--no-onnx"]) == 0
