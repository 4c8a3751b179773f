"""Evaluation while training: what it plays, what it leaves out, when it runs, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, Sensors, WithHistory, regroup, vectorize
from rsl_jax.runners import InferencePolicy, OnPolicyRunner
from rsl_jax.runners.episodes import play_episodes
from rsl_jax.training import build_algorithm, make_train, spec_of
from rsl_jax.training.evaluation import LENGTH, REWARD, SEED, make_evaluation
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

MODEL = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 4, "hidden_dims": [8]}
EVERY_SECOND = {"eval_interval": 2, "eval_episodes": 6}


class Robot(PointMass):
    """A point mass with all that is random in training; episodes that start near the origin end at once."""

    def __init__(self):
        self.model, self.step_dt = {"mass": jnp.ones(())}, 0.1

    def step(self, state, action):
        """Push, harder where it is lighter."""
        state, transition = super().step(state, action / self.model["mass"])
        return state, transition._replace(terminated=jnp.abs(state[0]) < 0.3)

    def push(self, state, velocity):
        """Be pushed."""
        return state.at[1].add(velocity[0])

    def domain_randomizer(self, model, keys):
        """Masses from 0.5 to 2."""
        return {"mass": jax.vmap(lambda key: jax.random.uniform(key, minval=0.5, maxval=2.0))(keys)}, {"mass": 0}


def trained_in(**options):
    return vectorize(Robot(), 8, max_episode_length=12, **options)


@pytest.fixture(scope="module")
def nominal():
    return trained_in()


@pytest.fixture(scope="module")
def algorithm(nominal):
    cfg = {**small_config(num_mini_batches=1).to_dict(), "actor": {**small_config().to_dict()["actor"], **MODEL}}
    return build_algorithm(RunnerConfig.from_dict(cfg), spec_of(nominal))


def evaluation_of(env, **options):
    cfg = dataclasses.replace(small_config(), **EVERY_SECOND)
    return make_evaluation(env, cfg, spec=spec_of(env), **options)


def test_it_plays_the_first_episode_of_each_environment(nominal, algorithm):
    """As the policy plays that is stepped from Python, hidden states included; what follows an end does not count."""
    state = jax.jit(algorithm.init)(jax.random.key(0))
    evaluation = evaluation_of(nominal, num_frames=3, frame_interval=2)
    played = jax.jit(lambda state: evaluation.play(algorithm, state))(state)
    env = JaxVecEnv(evaluation.env, seed=SEED)
    seen = [env.state.env]
    expected = play_episodes(
        env,
        InferencePolicy(algorithm, state, env),
        per_env=1,
        max_steps=20,
        on_step=lambda: seen.append(env.state.env),
    )
    assert {1, 12} <= set(expected.lengths), "some end at once, others never, or this shows nothing"
    assert sorted(played.lengths.tolist()) == sorted(expected.lengths)
    np.testing.assert_allclose(sorted(played.returns), sorted(expected.returns), rtol=1e-5)
    metrics = played.metrics()
    assert set(metrics) == {REWARD, LENGTH, "Eval/position"}
    assert metrics[LENGTH] == pytest.approx(np.mean(expected.lengths))
    np.testing.assert_allclose(played.frames.env[:, 0], [seen[step][0] for step in (0, 2, 4)], rtol=1e-5)


def test_what_is_random_only_in_training_is_left_out(nominal):
    sensors = Sensors(push_interval=(0.1, 0.2), noise={"policy": 0.5}, history={"policy": 3}, observation_delay={})
    env = trained_in(randomize=True, randomize_every=2, sensors=sensors)
    plain = regroup(env, {"policy": "policy"}).for_evaluation(6).env
    assert isinstance(plain.single_env, WithHistory)
    assert isinstance(plain.single_env.inner, Robot)
    assert (plain.num_envs, env.num_envs) == (6, 8)
    assert type(env.single_env).__name__ == "RandomizedSingleEnv"  # as it was
    expected = vectorize(WithHistory(Robot(), {"policy": 3}), 6).reset(jax.random.key(0))
    assert_trees_equal(plain.reset(jax.random.key(0))[1], expected[1])
    assert nominal.for_evaluation(6).single_env is nominal.single_env


@pytest.fixture(scope="module")
def rows(env, cfg):
    """Four iterations of two seeds, evaluated after every second."""
    train = make_train(env, dataclasses.replace(cfg, **EVERY_SECOND), 4)
    return jax.jit(jax.vmap(train))(jnp.stack([jax.random.key(0), jax.random.key(1)]))


def test_rows_without_an_evaluation_are_nan(env, rows):
    _, metrics = rows
    for tag in (REWARD, LENGTH, "Eval/position"):
        assert np.isnan(metrics[tag]).tolist() == [[True, False, True, False]] * 2
    assert metrics[LENGTH][0, 1] == env.max_episode_length
    assert metrics[REWARD][0, 1] != metrics[REWARD][1, 1]


def test_training_does_not_notice_it(env, cfg, rows):
    runner = OnPolicyRunner(env, cfg, seed=0, console=False)
    for it in range(3):
        runner.learn(1)
        assert rows[1]["Loss/value"][0, it] == pytest.approx(runner.metrics["Loss/value"], rel=1e-3)


def primitives_in(jaxpr):
    """Names of the operations of a program, with those of all its parts."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for part in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                yield from primitives_in(inner)


def test_iterations_without_one_do_not_pay_for_it(env, cfg):
    """Under ``vmap`` too: were the condition different from seed to seed, both of its branches would be computed."""
    evaluation = make_evaluation(env, dataclasses.replace(cfg, **EVERY_SECOND), spec=spec_of(env))
    built = build_algorithm(cfg, spec_of(env))
    states = jax.eval_shape(jax.vmap(built.init), jax.random.split(jax.random.key(0), 2))
    run = jax.vmap(lambda finished, state: evaluation.metrics_after(finished, built, state), (None, 0))
    program = jax.make_jaxpr(run)(jnp.asarray(1), states).jaxpr
    outside = [equation.primitive.name for equation in program.eqns]
    assert "cond" in outside
    assert "while" not in outside
    assert "while" in set(primitives_in(program))


def test_every_device_evaluates(env, cfg):
    train = make_train(env, dataclasses.replace(cfg, eval_interval=1, eval_episodes=3), 1, devices=2)
    _, metrics = jax.jit(train)(jax.random.key(0))
    assert metrics[LENGTH].tolist() == [env.max_episode_length]
    assert np.isfinite(metrics[REWARD]).all()


@pytest.mark.parametrize("limit", [None, 5e10])
def test_episodes_that_may_never_end_are_refused(limit):
    with pytest.raises(ValueError, match=r"Robot may never end.*max_episode_length=1000"):
        evaluation_of(vectorize(Robot(), 8, max_episode_length=limit))


def test_environments_that_do_not_fit_are_refused(nominal):
    cfg = dataclasses.replace(small_config(), **EVERY_SECOND)
    with pytest.raises(ValueError, match=r"eval_env has 8 environments, but eval_episodes is 6.*num_envs=6"):
        make_train(nominal, cfg, 1, eval_env=nominal)
    other = trained_in(sensors={"history": {"policy": 3}}).for_evaluation(6)
    with pytest.raises(ValueError, match=r"observations of eval_env: .*\(6,\).*of the training: .*\(2,\)"):
        make_train(nominal, cfg, 1, eval_env=other)
    with pytest.raises(ValueError, match=r"evaluation is off. Set eval_interval"):
        make_train(nominal, small_config(), 1, eval_env=nominal)
    for key in ("eval_interval", "eval_episodes"):
        with pytest.raises(ValueError, match=rf"{key} must be at least 1; got 0"):
            RunnerConfig.from_dict({key: 0})
