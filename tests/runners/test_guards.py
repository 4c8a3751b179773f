"""NaN and infinity in a runner: stop or skip, and the messages."""

import warnings

import jax
import numpy as np
import pytest

from rsl_jax.algorithms.batches import check_deviation
from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import NonFiniteError, OnPolicyRunner
from rsl_jax.runners.guards import ENOUGH_TIME_OUTS, MOST_SKIPS, SKIPPED_UPDATES, Guard
from rsl_jax.training.iteration import REPORTED_TIME_OUTS, UNREPORTED_TIME_OUTS
from tests.environments import NaNAfter
from tests.helpers import assert_trees_equal, small_config

BAD = {"NonFinite/rewards": 3, "NonFinite/loss.entropy": 1, "NonFinite/loss.value": 1, "NonFinite/gradient.actor": 0}


def guard(limit=20, **cfg):
    return Guard(RunnerConfig.from_dict(cfg), limit)


def examine(a_guard, iteration=7, **metrics):
    """What the guard leaves of the metrics."""
    metrics = {"Loss/value": 1.0, **metrics}
    a_guard.examine(iteration, metrics, lambda: ", saved as HERE")
    return metrics


def error_of(a_guard, **metrics):
    with pytest.raises(NonFiniteError) as error:
        examine(a_guard, **metrics)
    return error.value


def test_a_run_stops_and_says_why():
    error = error_of(guard(), **BAD)
    assert error.names == ["rewards", "loss.value", "loss.entropy"]
    assert error.iteration == 7
    said = "iteration 7: rewards (3 values). The environment returned it", "this followed loss.value, loss.entropy. The"
    for text in (*said, "saved as HERE"):
        assert text in str(error)


@pytest.mark.parametrize(
    ("names", "looked", "says"),
    [
        (
            ["loss.entropy", "loss.surrogate"],
            True,
            "loss.surrogate (1 value), loss.entropy (1 value). Observations and",
        ),
        (["loss.value"], False, "check_for_nan is off, so it may be the environment: a smaller learning_rate"),
        (["teacher.actions", "loss.behavior"], True, "The teacher returned it for the observations"),
        (["added_rewards.Rnd/x", "loss.value"], True, "An extension (rnd_cfg) computed it"),
        (["learning_rate"], True, "algorithm.learning_rate"),
        (["mine.own", "gradient.actor"], True, "gradient.actor (1 value). Observations and rewards were finite"),
        (["mine.own"], True, "mine.own (1 value). Observations and rewards were finite"),
    ],
)
def test_the_likeliest_cause_comes_first(names, looked, says):
    text = str(error_of(guard(check_for_nan=looked), **{f"NonFinite/{name}": 1 for name in names}))
    assert says in text
    assert looked or "Observations and rewards were finite" not in text


def test_skipped_updates_are_counted_and_told_once():
    skips = guard(on_non_finite="skip")
    assert examine(skips) == {"Loss/value": 1.0, SKIPPED_UPDATES: 0}
    with pytest.warns(UserWarning, match=r"iteration 7, whose update is skipped: rewards \(3 values\)"):
        assert examine(skips, **BAD)[SKIPPED_UPDATES] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            for _ in range(MOST_SKIPS - 1):
                examine(skips, **BAD)
            assert "NonFinite/rewards" not in examine(skips)  # one that is good, and counting begins anew
        assert examine(skips)[SKIPPED_UPDATES] == 2 * MOST_SKIPS - 1
        for _ in range(MOST_SKIPS):
            examine(skips, **BAD)
    assert "saved as HERE" in str(error_of(skips, **BAD))


def test_only_a_limit_that_is_never_flagged_is_told():
    def tell(late, flagged, times=1):
        watch = guard()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(times):
                examine(watch, **{UNREPORTED_TIME_OUTS: late, REPORTED_TIME_OUTS: flagged})
        return [str(warning.message) for warning in caught]

    assert tell(1, 0) == []  # a robot that fell in the step in which its time was up
    assert tell(ENOUGH_TIME_OUTS, 1, times=50) == []  # many that do, where others are flagged
    (text,) = tell(1, 0, times=3 * ENOUGH_TIME_OUTS)
    assert "max_episode_length=20" in text


@pytest.mark.parametrize(
    ("sizes", "each", "says"),
    [
        ((1, 1, 1), False, "1 environment x 1 step is a single sample"),
        ((1, 1, 1), True, "1 environment x 1 step is a single sample"),
        ((2, 3, 4), True, "2 environments x 3 steps in 4 mini-batches leave 1 sample in each"),
        ((2, 3, 4), False, None),
        ((2, 4, 4), True, None),
    ],
)
def test_advantages_of_single_samples_are_not_normalised(sizes, each, says):
    sizes = dict(zip(("num_envs", "num_steps_per_env", "num_mini_batches"), sizes, strict=True))
    if says is None:
        check_deviation(**sizes, each=each)
        return
    with pytest.raises(ValueError, match=says):
        check_deviation(**sizes, each=each)


def test_a_run_that_cannot_learn_is_refused_and_acts():
    env = vectorize(NaNAfter(20), 1, max_episode_length=50)
    cfg = {**small_config(num_mini_batches=1).to_dict(), "num_steps_per_env": 1}
    with pytest.raises(ValueError, match=r"1 environment x 1 step"):
        OnPolicyRunner(env, cfg, console=False)
    runner = OnPolicyRunner(JaxVecEnv(env), cfg, console=False)
    assert np.isfinite(runner.get_inference_policy()(runner.env.get_observations())).all()
    with pytest.raises(ValueError, match=r"1 environment x 1 step"):
        runner.learn(1)


def test_a_run_goes_on_behind_what_is_not_finite():
    env = vectorize(NaNAfter(20), 4, max_episode_length=50)
    cfg = {**small_config().to_dict(), "on_non_finite": "skip"}
    runners = [OnPolicyRunner(each, cfg, console=False) for each in (env, JaxVecEnv(env))]
    states = []
    for runner in runners:
        runner.learn(2)
        good = jax.tree.map(np.asarray, runner.state.params)
        with pytest.warns(UserWarning, match=r"iteration 2, whose update is skipped: rewards"):
            runner.learn(5)  # steps 16 to 55: rewards are NaN from 20 to 49
        assert runner.metrics[SKIPPED_UPDATES] == 5
        assert_trees_equal(jax.tree.map(np.asarray, runner.state.params), good)
        runner.learn(1)
        assert runner.metrics[SKIPPED_UPDATES] == 5
        states.append(runner.state)
        assert not np.array_equal(
            runner.state.params["actor"]["mlp"]["layer_0"]["kernel"], good["actor"]["mlp"]["layer_0"]["kernel"]
        )
    assert all(np.isfinite(leaf).all() for state in states for leaf in jax.tree.leaves(state))
