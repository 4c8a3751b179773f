"""Every random key is used once, according to JAX's own checker over whole iterations."""

import dataclasses

import jax
import numpy as np
import pytest

from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import make_train, spec_of, variables_of
from rsl_jax.training.train import build_algorithm
from tests.environments import PointMass
from tests.extensions.test_symmetry import symmetric_config
from tests.helpers import small_config

RND = {"weight": 1.0, "num_outputs": 2, "predictor_hidden_dims": [4], "target_hidden_dims": [4]}


@pytest.fixture(scope="module", autouse=True)
def checked():
    with jax.debug_key_reuse(True):
        yield


def ppo():
    """With both extensions."""
    plain = small_config(rnd_cfg=RND)
    section = symmetric_config(use_data_augmentation=True, use_mirror_loss=True).algorithm.symmetry_cfg
    return dataclasses.replace(plain, algorithm=dataclasses.replace(plain.algorithm, symmetry_cfg=section))


def distillation():
    mlp = {"class_name": "MLPModel", "hidden_dims": [4]}
    return RunnerConfig.from_dict(
        {
            "num_steps_per_env": 4,
            "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
            "algorithm": {"class_name": "Distillation", "gradient_length": 2},
            "student": {**mlp, "distribution_cfg": {"class_name": "GaussianDistribution"}},
            "teacher": mlp,
        }
    )


def make_env():
    return vectorize(PointMass(), 8, max_episode_length=5, step_dt=0.1)


def test_the_checker_checks():
    def twice(key):
        return jax.random.normal(key) + jax.random.uniform(key)

    with pytest.raises(jax.errors.KeyReuseError):
        jax.jit(twice)(jax.random.key(0))


@pytest.mark.parametrize("cfg", [ppo(), distillation()], ids=["ppo", "distillation"])
@pytest.mark.parametrize("at_random", [False, True])
def test_compiled_runs(cfg, at_random):
    """Draw, collect and learn twice; tracing is enough for the checker."""
    env = make_env()
    train = make_train(env, cfg, 2, init_at_random_ep_len=at_random)
    state = jax.eval_shape(build_algorithm(cfg, spec_of(env)).init, jax.random.key(0))
    start = {"teacher": variables_of(state, "teacher")} if "teacher" in state.params else {}
    state, _ = jax.eval_shape(jax.jit(train), jax.random.key(0), start)
    assert state.iteration.shape == ()


def test_the_host_loop():
    """It hands keys from call to call, so it must run."""
    cfg = dataclasses.replace(small_config(num_learning_epochs=1, num_mini_batches=1), num_steps_per_env=2)
    runner = OnPolicyRunner(JaxVecEnv(make_env()), cfg, console=False)
    runner.learn(2, init_at_random_ep_len=True)
    assert int(runner.state.iteration) == 2


def test_actor_critic_and_extensions_draw_from_keys_of_their_own(monkeypatch):
    """Folding a number into a key that was split gives one of its parts again, which the checker does not see."""
    algorithm = build_algorithm(ppo(), spec_of(make_env()))
    used, draw = [], jax.random.uniform

    def noting(key, *args):
        used.append(jax.random.key_data(key))
        return draw(key, *args)

    monkeypatch.setattr(jax.random, "uniform", noting)
    algorithm.init(jax.random.key(0))
    assert len(used) == len(np.unique(used, axis=0)) == 4 * 2 * 2, "kernels and biases of four networks with two layers"
