"""NaN and infinity from all sources: correct names, and nothing is learned from them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO, Distillation
from rsl_jax.config import RunnerConfig
from rsl_jax.extensions.rnd import INTRINSIC
from rsl_jax.ops.guards import PREFIX, likeliest_first
from rsl_jax.training import Failure, find_failures, make_train, warn_of_failures
from rsl_jax.training.episodes import WINDOW, episode_metrics, init_episodes
from rsl_jax.training.iteration import LoopState, learn_from
from rsl_jax.trees import leaves_by_path
from rsl_jax.types import Rollout, Spec
from tests.helpers import assert_trees_equal, drawn_by_numpy, small_config

T, N = 4, 6
SHAPES = {"policy": (2,), "critic": (3,), "curious": (2,), "teacher": (2,)}
SPEC = Spec(SHAPES, num_actions=2, num_envs=N, step_dt=1.0)
TIME_OUT, FAILURE = (1, 2), (2, 3)
"""Step and environment in which an episode runs out of time, and one in which it fails."""
BAD = [np.nan, np.inf, -np.inf]
NORMALIZED = {"class_name": "MLPModel", "hidden_dims": [4], "obs_normalization": True}


def config(**sections):
    return RunnerConfig.from_dict({"num_steps_per_env": T, **sections})


def ppo():
    algorithm = {"class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 2, "rnd_cfg": {"weight": 1.0}}
    algorithm["rnd_cfg"] |= {"num_outputs": 2, "predictor_hidden_dims": [4], "target_hidden_dims": [4]}
    algorithm["rnd_cfg"] |= {"state_normalization": True, "reward_normalization": True}
    groups = {"actor": ["policy"], "critic": ["critic"], "rnd_state": ["curious"]}
    actor = {**NORMALIZED, "distribution_cfg": {"class_name": "GaussianDistribution"}}
    return PPO.build(config(algorithm=algorithm, obs_groups=groups, actor=actor, critic=NORMALIZED), SPEC)


def distillation():
    algorithm = {"class_name": "Distillation", "gradient_length": 2}
    groups = {"student": ["policy"], "teacher": ["teacher"]}
    return Distillation.build(
        config(algorithm=algorithm, obs_groups=groups, student=NORMALIZED, teacher=NORMALIZED), SPEC
    )


def rollout_of(ours):
    generator = np.random.default_rng(0)

    def drawn(*shape):
        return jnp.asarray(generator.normal(size=shape), jnp.float32)

    actions, std = drawn(T, N, 2), jnp.ones((T, N, 2))
    flags = jnp.zeros((T, N))  # as floats, in which NaN would pass for true
    return Rollout(
        observations={name: drawn(T, N, *shape) for name, shape in SHAPES.items()},
        actions=actions,
        log_probs=ours.actor.distribution.log_prob((actions, std), actions) if isinstance(ours, PPO) else None,
        distribution_params=(actions, std) if isinstance(ours, PPO) else (),
        rewards=drawn(T, N),
        dones=flags.at[TIME_OUT].set(1).at[FAILURE].set(1),
        time_outs=flags.at[TIME_OUT].set(1),
        carry=(),
        last_observations={name: drawn(N, *shape) for name, shape in SHAPES.items()},
        final_observations={name: drawn(T, N, *shape) for name, shape in SHAPES.items()},
    )


class Case:
    """An algorithm, a rollout, and one compiled function that learns from whatever was made of the two."""

    def __init__(self, ours):
        shapes = jax.eval_shape(ours.init, jax.random.key(0))
        params = drawn_by_numpy(lambda: {"params": ours.init(jax.random.key(0)).params})["params"]
        self.state = dataclasses.replace(jax.jit(ours.init)(jax.random.key(0)), params=params)
        assert jax.tree.structure(shapes) == jax.tree.structure(self.state)
        self.rollout = rollout_of(ours)
        episodes = init_episodes(N, ours.reward_tags)
        self.loop = LoopState((), (), ours.initial_carry(N), episodes, jax.random.key(0))
        self.learn = jax.jit(lambda *inputs: learn_from(ours, *inputs, jax.random.key(1), max_episode_length=9))

    def names(self, state, rollout):
        """What is reported, the likeliest cause first; all that learns has to stay where anything is."""
        learned, _, metrics = self.learn(state, self.loop, rollout)
        names = [name.removeprefix(PREFIX) for name, x in metrics.items() if name.startswith(PREFIX) and x > 0]
        if names:
            assert_trees_equal(dataclasses.replace(learned, iteration=state.iteration), state)
        else:
            bad = [path for path, leaf in leaves_by_path(learned).items() if not np.isfinite(leaf).all()]
            assert not bad
        assert int(learned.iteration) == int(state.iteration) + 1
        return likeliest_first(names)


@pytest.fixture(scope="module")
def case():
    return Case(ppo())


@pytest.fixture(scope="module")
def lesson():
    return Case(distillation())


def with_bad(tree, path, bad, place=None):
    """A tree of dataclasses and dicts whose leaf at a path has something bad in one place, else in all of it."""
    if not path:
        return jnp.full_like(tree, bad) if place is None else tree.at[place].set(bad)
    first, *rest = path
    if isinstance(tree, dict):
        return {**tree, first: with_bad(tree[first], rest, bad, place)}
    return dataclasses.replace(tree, **{first: with_bad(getattr(tree, first), rest, bad, place)})


KERNEL = ("mlp", "layer_0", "kernel")
IN_ROLLOUT = [
    *((("observations", group), (1, 3, 1), f"observations.{group}") for group in SHAPES),
    *((("last_observations", group), (3, 1), f"last_observations.{group}") for group in SHAPES),
    (("final_observations", "critic"), (*TIME_OUT, 0), "final_observations.critic"),
    *(((name,), (1, 4), name) for name in ("rewards", "dones", "time_outs")),
]
IN_STATE = [
    (("params", "actor", *KERNEL), "loss.surrogate"),
    (("params", "actor", "distribution", "std"), "loss.surrogate"),
    (("params", "critic", *KERNEL), "loss.value"),
    (("statistics", "actor", "normalizer", "obs", "mean"), "loss.surrogate"),
    (("statistics", "critic", "normalizer", "obs", "mean"), "loss.value"),
    (("learning_rate",), "learning_rate"),
    (("extensions", "rnd", "predictor", "layer_0", "kernel"), f"added_rewards.{INTRINSIC}"),
    (("extensions", "rnd", "target", "layer_1", "bias"), f"added_rewards.{INTRINSIC}"),
    (("extensions", "rnd", "normalizers", "state", "mean"), f"added_rewards.{INTRINSIC}"),
    (("memory", "rnd"), "extensions.rnd"),
]
BROUGHT_BACK = [("params", "actor", "distribution", "std"), ("memory", "rnd"), ("learning_rate",)]
"""Have a range that infinity is brought back into (the learning rate from one side, by the adaptive schedule)."""

IN_LESSON = [
    (("params", "teacher", *KERNEL), "teacher.actions"),
    (("params", "teacher", "mlp", "layer_1", "bias"), "teacher.actions"),
    (("statistics", "teacher", "normalizer", "obs", "mean"), "teacher.actions"),
    (("params", "student", *KERNEL), "loss.behavior"),
    (("params", "student", "mlp", "layer_1", "bias"), "loss.behavior"),
    (("learning_rate",), "learning_rate"),
]


def test_what_is_finite_is_learned_from(case, lesson):
    for each in (case, lesson):
        assert each.names(each.state, each.rollout) == []


@pytest.mark.parametrize("bad", BAD)
def test_what_the_environment_returns_is_named(bad, case, lesson):
    for each in (case, lesson):
        for path, place, name in IN_ROLLOUT:
            if each is lesson and path[0] == "final_observations":
                continue  # nobody looks at them
            names = each.names(each.state, with_bad(each.rollout, path, bad, place))
            assert names, (bad, path)
            assert names[0] == name, (bad, path, names)


@pytest.mark.parametrize("bad", BAD)
def test_what_learns_is_named(bad, case, lesson):
    for each, places in ((case, IN_STATE), (lesson, IN_LESSON)):
        for path, name in places:
            if each is case and path in BROUGHT_BACK and not np.isnan(bad):
                continue
            names = each.names(with_bad(each.state, path, bad), each.rollout)
            assert names, (bad, path)
            assert names[0] == name, (bad, path, names)


@pytest.mark.parametrize("large", [1e25, 1e30, 1e38])
def test_what_overflows_is_named(large, case, lesson):
    places = [(case, path, name) for path, name in IN_STATE if path[0] == "params" and path[-1] != "std"]
    places += [(lesson, path, name) for path, name in IN_LESSON if path[-1] == "kernel"]
    for each, path, name in places:
        names = each.names(with_bad(each.state, path, large), each.rollout)
        assert not names or names[0] in (name, name.replace("loss.surrogate", "gradient.actor")), (large, path, names)


def test_what_nobody_learns_from_may_be_what_it_likes(case):
    for bad in BAD:
        assert (
            case.names(case.state, with_bad(case.rollout, ("final_observations", "critic"), bad, (*FAILURE, 0))) == []
        )
        assert case.names(case.state, with_bad(case.rollout, ("final_observations", "policy"), bad)) == []


@pytest.mark.parametrize("large", [1e8, 1e10])
def test_large_observations_are_learned_from(large, case, lesson):
    """Before the normaliser has seen any: gradients are finite, and the sum of their squares is not."""
    for each in (case, lesson):
        seen = {name: x * large for name, x in each.rollout.observations.items()}
        last = {name: x * large for name, x in each.rollout.last_observations.items()}
        loud = dataclasses.replace(each.rollout, observations=seen, last_observations=last)
        assert each.names(each.state, loud) == []


def test_an_observation_that_is_too_large_does_not_spoil_the_moments(case):
    for group in SHAPES:
        case.names(case.state, with_bad(case.rollout, ("observations", group), 1e38, (1, 3, 1)))
        case.names(case.state, with_bad(case.rollout, ("last_observations", group), 1e38, (3, 1)))


def test_the_mean_over_episodes_leaves_out_those_that_are_not_finite():
    episodes = init_episodes(4, ("reward",))
    finished = {"reward": jnp.zeros(WINDOW).at[:3].set(jnp.array([3.0, jnp.nan, 5.0]))}
    episodes = dataclasses.replace(episodes, finished=finished, count=jnp.array(3))
    assert episode_metrics(episodes)["reward"] == 4


def test_a_run_that_fails_leaves_the_others_alone(env):
    train = make_train(env, small_config(schedule="fixed"), 3)
    sweep = jax.jit(jax.vmap(lambda rate: train(jax.random.key(0), learning_rate=rate)))
    states, metrics = sweep(jnp.array([1e-3, jnp.nan, 1e-3]))
    with pytest.warns(UserWarning, match=r"run 1: learning_rate, .* in iteration 0 \(3 updates skipped\)"):
        (failure,) = warn_of_failures(metrics)
    assert (failure.run, failure.iteration, failure.names[0], failure.skipped) == ((1,), 0, "learning_rate", 3)
    all_well, same = sweep(jnp.array([1e-3, 1e-3, 1e-3]))
    assert find_failures(same) == []
    for run in (0, 2):
        assert_trees_equal(*(jax.tree.map(lambda x, run=run: x[run], tree) for tree in (states, all_well)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states.params))


def test_failures_are_found_in_metrics_of_any_shape():
    metrics = {"NonFinite/rewards": np.zeros(3, int), "NonFinite/loss.entropy": np.array([0, 1, 1])}
    metrics |= {"NonFinite/loss.value": np.array([0, 1, 0]), "Loss/value": np.full(3, np.nan)}
    assert find_failures(metrics) == [Failure((), 1, ("loss.value", "loss.entropy"), 2)]
    grid = {name: np.stack([np.zeros_like(x), x]).reshape(2, 1, 3) for name, x in metrics.items()}
    assert [failure.run for failure in find_failures(grid)] == [(1, 0)]
    assert find_failures({"Loss/value": np.ones(3)}) == []
