"""A runner that evaluates: what it logs, films and keeps, and that training is as without."""

import dataclasses

import jax
import numpy as np
import pytest

from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.logging import read_scalars
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.runners.evaluation import make_evaluator
from rsl_jax.training.evaluation import SEED
from rsl_jax.training.loops import spec_of_any
from rsl_jax.training.sharding import Devices
from rsl_jax.training.train import build_algorithm
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

REWARD, LENGTH = "Eval/mean_reward", "Eval/mean_episode_length"
CONFIG = dataclasses.replace(small_config(), eval_interval=2, eval_episodes=4, eval_video=0.5)


class Drawn(PointMass):
    """A point mass that can be filmed, at 10 frames a second."""

    step_dt = 0.1

    def render(self, state):
        """A plain picture."""
        assert state.shape == (2,)
        return np.full((16, 16, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def env():
    return vectorize(Drawn(), 16, max_episode_length=20)


@pytest.fixture(scope="module")
def evaluated(env, tmp_path_factory):
    """Four iterations, evaluated after the iterations 1 and 3."""
    runner = OnPolicyRunner(env, CONFIG, tmp_path_factory.mktemp("run"), seed=3, console=False)
    runner.learn(4)
    return runner


def test_it_is_logged_when_it_is_due(evaluated):
    scalars = read_scalars(evaluated.logger.log_dir)
    for tag in (REWARD, LENGTH, "Eval/position", "Perf/evaluation_time"):
        assert scalars[tag].steps.tolist() == [1, 3]
    assert scalars[LENGTH].values.tolist() == [20, 20]
    assert evaluated.metrics[REWARD] == pytest.approx(scalars[REWARD].values[-1])


def test_training_goes_on_as_without_it(env, evaluated):
    plain = OnPolicyRunner(env, small_config(), seed=3, console=False)
    plain.learn(4)
    assert_trees_equal(plain.state, evaluated.state)
    assert_trees_equal(plain.loop_state, evaluated.loop_state)


def test_the_best_is_the_best_evaluated_one(env, evaluated):
    log_dir = evaluated.logger.log_dir
    values = read_scalars(log_dir)[REWARD].values
    best = read_checkpoint(log_dir / "model_best").metadata
    assert best["best_mean_reward"] == pytest.approx(max(values))
    assert best["iteration"] == [1, 3][int(np.argmax(values))]


def test_it_is_resumed_with_its_best(env, evaluated, compilations):
    runner = OnPolicyRunner(env, CONFIG, seed=99, console=False)
    runner.load(evaluated.logger.log_dir / "model_2")
    runner.learn(1)
    assert_trees_equal(runner.state, evaluated.state)
    assert runner.metrics[REWARD] == evaluated.metrics[REWARD]
    with compilations() as names:
        runner.learn(2)
    assert names == []
    saved = read_checkpoint(evaluated.logger.log_dir / "model_2").metadata["best_mean_reward"]
    assert runner._metadata(None)["best_mean_reward"] == saved
    without = OnPolicyRunner(env, small_config(), console=False)  # whose rewards are of other episodes
    without.load(evaluated.logger.log_dir / "model_2")
    assert without._metadata(None)["best_mean_reward"] is None


def test_it_is_filmed(evaluated):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("imageio_ffmpeg")
    videos = sorted((evaluated.logger.log_dir / "videos").iterdir())
    assert [path.name for path in videos] == ["eval_1.mp4", "eval_3.mp4"]
    assert imageio.imread(videos[0], index=None).shape == (5, 16, 16, 3)  # half a second


class Host:
    """An environment in numpy: environment k ends its episodes every ``lengths[k]`` steps; each step earns 1."""

    num_actions, max_episode_length, device, cfg = 1, 9, "cpu", {}

    def __init__(self, *lengths):
        self.num_envs, self.lengths, self.seeds = len(lengths), np.array(lengths), []
        self.episode_length_buf = np.zeros(self.num_envs, int)

    def get_observations(self):
        """What a point mass shows."""
        return {"policy": np.zeros((self.num_envs, 2), np.float32)}

    def step(self, actions):
        """Count."""
        assert actions.shape == (self.num_envs, 1)
        self.episode_length_buf = self.episode_length_buf + 1
        dones = self.episode_length_buf == self.lengths
        self.episode_length_buf[dones] = 0
        return self.get_observations(), np.ones(self.num_envs), dones, {"log": {"counter": np.array([1.0, 3.0])}}


class Resettable(Host):
    """One that can be reset, which breaks without pictures."""

    def reset(self, *, seed):
        """Start anew."""
        self.seeds.append(seed)
        self.episode_length_buf = np.zeros(self.num_envs, int)

    def render(self):
        """Fail."""
        raise RuntimeError("no display")


@pytest.fixture(scope="module")
def algorithm(env):
    return build_algorithm(CONFIG, spec_of_any(env))


def evaluator_of(eval_env, env, algorithm, log_dir=None, cfg=CONFIG):
    options = {"algorithm": algorithm, "spec": spec_of_any(env), "devices": Devices.choose(None), "log_dir": log_dir}
    return make_evaluator(JaxVecEnv(env), cfg, eval_env, **options)


def test_an_environment_outside_jax_is_reset_to_the_same_starts(env, algorithm, tmp_path):
    host, state = Resettable(2, 5), algorithm.init(jax.random.key(0))
    evaluator = evaluator_of(host, env, algorithm, tmp_path)
    assert evaluator.metrics_after(0, state) == {}
    with pytest.warns(UserWarning, match=r"not filmed: RuntimeError: no display.*eval_video: 0"):
        first = evaluator.metrics_after(1, state)
    second = evaluator.metrics_after(3, state)  # without another warning
    assert host.seeds == [SEED, SEED]
    # Each of the two plays two episodes: 2 + 2 + 5 + 5 steps.
    for metrics in (first, second):
        assert {tag: metrics[tag] for tag in (REWARD, LENGTH, "Eval/counter")} == {
            REWARD: 3.5,
            LENGTH: 3.5,
            "Eval/counter": 2.0,
        }
    assert not list(tmp_path.rglob("*.mp4"))


def test_without_a_reset_the_episodes_under_way_do_not_count(env, algorithm):
    host = Host(2, 5, 5, 5)
    host.episode_length_buf[:] = [1, 3, 0, 0]
    metrics = evaluator_of(host, env, algorithm).metrics_after(1, algorithm.init(jax.random.key(0)))
    assert metrics[LENGTH] == metrics[REWARD] == (2 + 5 + 5 + 5) / 4


def test_outside_jax_an_environment_of_its_own_is_needed(algorithm):
    host = Host(2, 5)
    with pytest.raises(ValueError, match=r"Host cannot be copied.*OnPolicyRunner\(env, cfg, eval_env=...\)"):
        make_evaluator(
            host,
            CONFIG,
            None,
            algorithm=algorithm,
            spec=spec_of_any(host),
            devices=Devices.choose(None),
            log_dir=None,
        )
