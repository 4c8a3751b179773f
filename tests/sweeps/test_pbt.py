"""Population-based training: who is replaced by whom; nothing is lost on the way; what makes no sense is refused."""

import csv
import dataclasses
import signal

import jax
import numpy as np
import pytest

import rsl_jax
from rsl_jax.env import vectorize
from rsl_jax.sweeps import Exchange, PopulationResult, Range, SweepResult, SweepStopped
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import Program
from rsl_jax.sweeps.ranges import list_ranges
from rsl_jax.sweeps.settings import Member
from tests.environments import LikeASimulator
from tests.helpers import assert_trees_equal, small_config

RATE, GAMMA = "algorithm.learning_rate", "algorithm.gamma"
CONFIG = dataclasses.replace(small_config(schedule="fixed"), save_interval=2)
OPTIONS = {
    "iterations": 8,
    "members": 5,
    "interval": 3,
    "learning_rate": (1e-4, 1e30),  # some members must fail
    "gamma": (0.9, 0.999),
    "seed": 3,
    "console": False,
}


@pytest.fixture(scope="module")
def env():
    return vectorize(LikeASimulator(), 8, max_episode_length=6)


@pytest.fixture(scope="module")
def trained(env):
    return rsl_jax.population_based_training(env, CONFIG, devices=2, **OPTIONS)


def test_one_that_was_stopped_goes_on_as_if_it_had_not_been(env, trained, tmp_path):
    def interrupt(progress):
        if progress.iteration >= 6:  # before the second exchange
            signal.raise_signal(signal.SIGINT)

    options = {"folder": tmp_path / "p", **OPTIONS}
    with pytest.raises(SweepStopped, match="resume=True") as stopped:
        rsl_jax.population_based_training(env, CONFIG, devices=2, on_progress=interrupt, **options)
    assert {each.iteration for each in stopped.value.result.lineage} == {3}
    result = rsl_jax.population_based_training(env, CONFIG, devices=2, resume=True, **options)
    assert list(map(repr, result.lineage)) == list(map(repr, trained.lineage))
    assert list(result.members) == list(trained.members)
    assert_trees_equal(result.populations[0][0], trained.populations[0][0])
    for tag, rows in trained.metrics.items():
        np.testing.assert_array_equal(result.metrics[tag], rows)


def test_it_goes_on_with_other_devices(env, trained, tmp_path):
    options = {"folder": tmp_path, **OPTIONS}

    def interrupt(progress):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(SweepStopped):  # five members on two devices
        rsl_jax.population_based_training(env, CONFIG, devices=2, on_progress=interrupt, **options)
    result = rsl_jax.population_based_training(env, CONFIG, devices=1, resume=True, **options)
    values, expected = (r.metrics["Loss/value"][:, :3] for r in (result, trained))
    np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_members_that_fail_are_replaced(trained):
    lost = [each for each in trained.lineage if each.failed]
    assert lost
    for each in lost:
        assert np.isnan(each.score)
        assert np.isfinite(each.parent_score)
        assert f"member {each.member} " in " ".join(trained.describe_failures())
        assert f"replaced after {each.iteration} iterations" in " ".join(trained.describe_failures())


def test_numbers_and_curves_follow_the_lineage(trained):
    rates = trained.values(RATE)
    assert rates.shape == (5, 8)
    changes = {(each.iteration, each.member) for each in trained.lineage}
    assert {(int(i) + 1, int(m)) for m, i in np.argwhere(np.diff(rates) != 0)} <= changes
    for each in trained.lineage:
        assert rates[each.member, each.iteration - 1] == each.before[RATE]
        assert rates[each.member, each.iteration] == each.after[RATE]
        assert trained.ancestry(each.parent)[-1][0] == each.parent
    # What is logged is the rate that was used, which a copy starts with.
    known = ~np.isnan(trained.metrics["Loss/learning_rate"])
    used = np.where(known, trained.metrics["Loss/learning_rate"], rates)
    np.testing.assert_allclose(used, rates, rtol=1e-6)
    last = trained.lineage[-1]
    curve = trained.ancestral_curve(last.member)
    np.testing.assert_array_equal(curve[last.iteration :], trained.metrics["Train/mean_reward"][last.member, 6:])
    np.testing.assert_array_equal(
        curve[3 : last.iteration], trained.metrics["Train/mean_reward"][last.parent, 3 : last.iteration]
    )
    with pytest.raises(ValueError, match="was not varied"):
        trained.values("algorithm.lam")


def test_results_are_ranked_drawn_written_and_kept(env, trained, tmp_path):
    rows = trained.summary()
    best = trained.best()
    assert rows[0]["member"] == best.member.index
    assert sum(row["replaced"] for row in rows) == len(trained.lineage)
    assert best.cfg.algorithm.learning_rate == best.member.setting[RATE]
    runner = best.runner(env, console=False)
    assert_trees_equal(runner.state.params, jax.tree.map(jax.numpy.asarray, best.state.params))
    assert trained.plot(tmp_path / "curves.png").axes[0].get_legend() is not None
    assert len(trained.plot_lineage(tmp_path / "lineage.png").axes) == 4  # members, two numbers, colours
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("curves.png", "lineage.png"))
    with open(trained.save_lineage(tmp_path / "lineage.csv"), newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["parent"]) for row in table] == [each.parent for each in trained.lineage]
    assert float(table[0][f"{GAMMA} after"]) == trained.lineage[0].after[GAMMA]
    read = PopulationResult.load(trained.save(tmp_path / "result"))
    assert list(map(repr, read.lineage)) == list(map(repr, trained.lineage))
    assert read.exchange == trained.exchange
    assert repr(read.summary()) == repr(rows)  # equal, with NaN
    assert SweepResult.load(tmp_path / "result.npz").members == trained.members


def test_a_copy_has_everything_but_the_key_of_its_parent(env):
    program = Program(env, CONFIG, [GAMMA, RATE], stretch=1, devices=jax.devices()[:2])
    members = [Member(i, {RATE: 1e-3, GAMMA: 0.9}, i) for i in range(4)]
    before, _ = program.init(members)
    before = jax.device_get(before)
    population, _ = program.init(members)
    numbers = program.place(np.array([[0.9, 1e-3], [0.95, 5e-3], [0.9, 7e-3], [0.9, 1e-3]], np.float32))
    after = program.exchange(population, numbers, np.array([0, 3, 2, 3]))
    rows = [0, 3, 2, 3]
    keys = jax.random.key_data(after.loop.key)
    np.testing.assert_array_equal(keys, jax.random.key_data(before.loop.key))
    np.testing.assert_allclose(after.state.learning_rate, [1e-3, 5e-3, 1e-3, 1e-3])  # member 2 was not replaced
    copied = jax.tree.map(lambda x: x[np.array(rows)], before)
    assert_trees_equal(after.state.params, copied.state.params)
    assert_trees_equal(after.loop.env_state.env, copied.loop.env_state.env)


def rules(**options):
    return Exchange(ranges={"a": Range(0.0, 1.0)}, interval=2, **options)


def test_the_worst_and_all_that_failed_go_on_as_copies_of_the_best():
    scores, settings = np.array([5.0, 1.0, np.nan, 9.0, 7.0, 2.0, 3.0, 4.0]), [{"a": i / 10} for i in range(8)]
    failed = np.arange(8) == 6
    chosen = rules(resample=0.0).replacements(4, scores, failed, settings)
    assert [(each.member, each.failed) for each in chosen] == [(1, False), (5, False), (6, True)]
    assert {each.parent for each in chosen} <= {3, 4}
    for each in chosen:
        assert abs(each.after["a"] - settings[each.parent]["a"]) == pytest.approx(0.2, abs=0.051)
    again = [rules().replacements(4, scores, failed, settings) for _ in range(2)]
    assert repr(again[0]) == repr(again[1])
    assert rules(seed=1).draw_settings(4) != rules().draw_settings(4)


@pytest.mark.parametrize(
    ("scores", "failed", "replaced"),
    [
        ([np.nan] * 4, [False] * 4, []),  # no episode has ended
        ([np.nan] * 4, [True] * 4, []),  # nobody to copy
        ([1.0, np.nan, np.nan, np.nan], [False] * 4, []),
        ([1.0, np.nan, np.nan, np.nan], [False, True, False, False], [1]),
        ([1.0, 2.0, np.nan, np.nan], [False] * 4, [0]),
        ([1.0, 2.0, 3.0, 4.0], [False, False, False, True], [0, 3]),
    ],
)
def test_unknown_scores_change_nothing(scores, failed, replaced):
    chosen = rules(fraction=0.5 if len(replaced) == 0 else 0.25).replacements(
        2, np.array(scores), np.array(failed), [{"a": 0.5}] * 4
    )
    assert [each.member for each in chosen] == replaced
    assert not {each.parent for each in chosen} & {*replaced}


@pytest.mark.parametrize(
    ("given", "kind", "moved"),
    [
        (Range(1e-4, 1e-1), "log", 1.25e-2),
        (Range(0.9, 0.999), "discount", 0.9875),
        (Range(0.9, 0.99), "discount", 0.9875),
        (Range(0.0, 0.1), "linear", 0.035),
        (Range(-1.0, 1.0), "linear", 0.51),
        (Range(1e-4, 1e-1, "linear"), "linear", 0.034975),
    ],
)
def test_ranges(given, kind, moved):
    assert given.kind == kind
    start = 0.99 if kind == "discount" else 0.01
    assert given.move(start, 1.25) == pytest.approx(moved)
    generator = np.random.default_rng(0)
    drawn = np.array([given.draw(generator) for _ in range(400)])
    assert given.low <= drawn.min() < drawn.max() <= given.high
    middle = {"log": np.sqrt(abs(given.low * given.high)), "linear": (given.low + given.high) / 2}
    middle["discount"] = 1 - np.sqrt((1 - given.low) * (1 - given.high))
    assert 0.4 < np.mean(drawn < middle[kind]) < 0.6
    assert given.move(given.high, 100.0) in (given.low, given.high)


def test_bounds_become_numbers_of_the_config():
    assert list_ranges(CONFIG, {"learning_rate": ("1e-4", 1)}) == {RATE: Range(1e-4, 1.0)}  # YAML reads 1e-4 as text


def test_a_resumed_sweep_keeps_the_parts_it_began_with(tmp_path):
    folder = SweepFolder(tmp_path, {"iterations": 1}, resume=False)
    assert [folder.part_size(0, lambda: 4), folder.part_size(1, lambda: 2)] == [4, 2]
    again = SweepFolder(tmp_path, {"iterations": 1}, resume=True)
    assert [again.part_size(i, lambda: 9) for i in range(3)] == [4, 2, 9]
    assert SweepFolder(tmp_path, {"iterations": 1}, resume=True).part_size(2, lambda: 1) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 3}, "members must be at least 4; got 3"),
        ({"members": 4.0}, "members must be a whole number; got 4.0"),
        ({"interval": 8}, "interval is 8, but training ends after 8 iterations"),
        ({"interval": 0}, "interval must be at least 1"),
        ({"iterations": 0}, "iterations must be a whole number of at least 1"),
        ({"gamma": (0.9, 0.9)}, "lower bound of 'gamma' must be below the upper one, both finite; got 0.9 and 0.9"),
        ({"gamma": (0.99, 0.9)}, "lower bound of 'gamma'"),
        ({"gamma": (0.9, 1.5)}, "algorithm.gamma"),
        ({"gamma": (0.9, 0.95, 0.99)}, r"'gamma' needs two bounds, \(low, high\)"),
        ({"gamma": 0.9}, "'gamma' needs two bounds"),
        ({"learning_rate": Range(0.0, 1.0, "log")}, "A logarithmic range must be above 0"),
        ({"gamma": Range(0.9, 1.0, "discount")}, "A range of discounts must be below 1"),
        ({"gamma": Range(0.9, 1.0, "cubic")}, "The scale of 'gamma' must be linear, log, discount"),
        ({"learning_rat": (1e-3, 1e-2)}, "Did you mean 'learning_rate'"),
        ({"num_learning_epochs": (1, 4)}, "num_learning_epochs is not a float"),
        ({"init_std": (0.5, 2.0)}, "init_std only affects the start of a run"),
        ({"ranges": {RATE: (1e-4, 1e-3)}}, "Two ranges are given for algorithm.learning_rate"),
        ({"fraction": 0.6}, "fraction must be above 0 and at most 0.5; got 0.6"),
        ({"resample": 2.0}, "resample must be a probability"),
        ({"factors": ()}, "factors must be one or more numbers above 0"),
        ({"score": "Train/mean_rewar"}, "Did you mean 'Train/mean_reward'"),
        ({"score": "Eval/mean_reward"}, "There is no tag 'Eval/mean_reward' to score by"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"resume": True}, "give folder=PATH"),
        ({"devices": 99}, "devices is 99"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_compiled(env, compilations, options, message):
    with compilations() as names, pytest.raises((ValueError, TypeError), match=message):
        rsl_jax.population_based_training(env, CONFIG, **{**OPTIONS, **options})
    assert "_many" not in " ".join(names)


def test_with_evaluations_members_are_ranked_by_them(env, monkeypatch):
    class StopError(Exception):
        pass

    def stop(self, members):  # before anything is compiled
        raise StopError

    monkeypatch.setattr(Program, "chunk_size", stop)
    evaluated = dataclasses.replace(CONFIG, eval_interval=2)
    with pytest.raises(ValueError, match=r"after every 3 iterations, but evaluated after every 2\. Choose an interval"):
        rsl_jax.population_based_training(env, evaluated, **OPTIONS)
    with pytest.raises(StopError):
        rsl_jax.population_based_training(env, evaluated, **{**OPTIONS, "interval": 4})
    with pytest.raises(StopError):
        rsl_jax.population_based_training(env, evaluated, **OPTIONS, score="Train/mean_reward")


def test_without_ranges_there_is_nothing_to_explore(env):
    with pytest.raises(ValueError, match="needs a number to explore"):
        rsl_jax.population_based_training(env, CONFIG, iterations=4, interval=1)


def test_a_population_that_does_not_fit_into_memory_is_refused(env, monkeypatch):
    monkeypatch.setattr(Program, "chunk_size", lambda self, members: 3)
    with pytest.raises(ValueError, match="only 3 of 5 members fit into memory"):
        rsl_jax.population_based_training(env, CONFIG, **OPTIONS)
