"""Sweeps: each member is the run that it would be alone, nothing is lost, and invalid settings are refused."""

import dataclasses
import io
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console

import rsl_jax
from rsl_jax.config.paths import find_path
from rsl_jax.env import vectorize
from rsl_jax.env.base import Transition
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.sweeps import SweepResult, SweepStopped, interquartile_mean
from rsl_jax.sweeps.progress import Progress, SweepConsole, sweep_table
from rsl_jax.sweeps.settings import Member, list_seeds, list_settings, numeric_paths, shapes_of
from rsl_jax.sweeps.statistics import mean_of_last
from tests.environments import PointMass
from tests.helpers import small_config

ITERATIONS, SEEDS, RATES = 5, 3, [1e-3, 3e-3]
CONFIG = dataclasses.replace(small_config(schedule="fixed"), save_interval=2)
EVALUATED = dataclasses.replace(CONFIG, eval_interval=2, eval_episodes=3)


class SometimesBroken(PointMass):
    """A point mass that gives NaN in every second of its runs: where the first start is on the left."""

    def reset(self, key):
        """Break, or not."""
        state, _ = super().reset(key)
        return state, state

    def step(self, state, action):
        """Break where the point is far out on the left."""
        state, transition = super().step(state, action)
        reward = jnp.where(state[0] < -0.95, jnp.nan, transition.reward)
        return state, Transition(state, reward, transition.terminated, log=transition.log)


@pytest.fixture(scope="module")
def env():
    return vectorize(PointMass(), 8, max_episode_length=6)


@pytest.fixture(scope="module")
def swept(env, tmp_path_factory):
    """A sweep of which the first half was trained before a signal, and the rest afterwards."""
    folder = tmp_path_factory.mktemp("sweep") / "it's [here]"
    options = {"iterations": ITERATIONS, "seeds": SEEDS, "learning_rate": RATES, "devices": 2, "console": False}

    def interrupt(progress):
        if progress.iteration >= 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SweepStopped, match="resume=True") as stopped:
        rsl_jax.sweep(env, EVALUATED, folder=folder, on_progress=interrupt, **options)
    before = stopped.value.result
    assert np.isnan(before.metrics["Loss/value"][:, -1]).all()
    with FileLock(folder / ".lock"), pytest.raises(RuntimeError, match=r"Another run trains in .*it's \[here\]"):
        rsl_jax.sweep(env, EVALUATED, folder=folder, resume=True, **options)
    seen = []
    result = rsl_jax.sweep(env, EVALUATED, folder=folder, resume=True, on_progress=seen.append, **options)
    assert seen[-1].fraction == 1
    assert len(list(folder.glob("parts/0/model_*"))) == 1
    return before, result


def test_each_member_is_the_run_of_a_runner(env, swept):
    _, result = swept
    trained = result.member(4)  # the second rate, the second seed
    assert trained.member.setting == {"algorithm.learning_rate": 3e-3}
    runner = OnPolicyRunner(env, trained.cfg, seed=1, console=False)
    alone = []
    for _ in range(ITERATIONS):
        runner.learn(1)
        alone.append(runner.metrics)
    for tag in ("Loss/value", "Eval/mean_reward", "Eval/mean_episode_length"):  # evaluated after every second iteration
        expected = [metrics.get(tag, np.nan) for metrics in alone]
        np.testing.assert_allclose(result.metrics[tag][4], expected, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), trained.state.params, runner.state.params)

    going_on = trained.runner(env, console=False)
    going_on.learn(1)
    runner.learn(1)
    assert going_on.current_learning_iteration == runner.current_learning_iteration == ITERATIONS
    assert going_on.metrics["Loss/value"] == pytest.approx(runner.metrics["Loss/value"], rel=1e-3)


def test_a_sweep_that_was_stopped_goes_on_where_it_was(swept):
    before, result = swept
    done = ~np.isnan(before.metrics["Loss/value"])
    assert done.any()
    np.testing.assert_array_equal(before.metrics["Loss/value"][done], result.metrics["Loss/value"][done])
    assert not np.isnan(result.metrics["Loss/value"]).any()


def test_results_are_labelled_ranked_drawn_and_kept(swept, tmp_path):
    _, result = swept
    rows = result.summary()
    assert [set(row) >= {"algorithm.learning_rate", "iqm", "low", "high", "seeds", "failed"} for row in rows] == [
        True
    ] * 2
    assert rows[0]["iqm"] >= rows[1]["iqm"]
    assert rows[0]["low"] <= rows[0]["iqm"] <= rows[0]["high"]
    assert result.best().member.index == int(np.nanargmax(result.scores()))
    figure = result.plot(tmp_path / "curves.png")
    assert figure.axes[0].get_legend() is not None
    assert figure._repr_png_().startswith(b"\x89PNG")  # which notebooks show
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    axes = result.plot(tag="Eval/mean_reward").axes[0]
    assert axes.get_ylabel() == "mean reward of evaluations"
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [2, 2]
    assert result.plot(axes=axes) is axes.get_figure()
    assert len(axes.get_lines()) == 4
    read = SweepResult.load(result.save(tmp_path / "result"))
    assert read.members == result.members
    np.testing.assert_array_equal(read.metrics["Loss/value"], result.metrics["Loss/value"])
    assert read.summary() == rows
    with pytest.raises(ValueError, match="not kept"):
        read.member(0)


def test_a_tidy_table(swept):
    pandas = pytest.importorskip("pandas")
    table = swept[1].frame(["Loss/value"])
    assert isinstance(table, pandas.DataFrame)
    assert len(table) == 2 * SEEDS * ITERATIONS
    last = table.groupby(["algorithm.learning_rate", "seed"]).last()
    assert last.loc[(3e-3, 1), "Loss/value"] == swept[1].metrics["Loss/value"][4, -1]
    assert table["steps"].max() == ITERATIONS * 8 * 8


def test_a_member_that_fails_is_named_and_the_others_go_on(capsys):
    env = vectorize(SometimesBroken(), 1, max_episode_length=6)
    result = rsl_jax.sweep(env, small_config(num_mini_batches=1), iterations=4, seeds=8, devices=1)
    failed = result.failed >= 0
    assert 0 < failed.sum() < 8
    assert np.isnan(result.scores("Loss/value")[failed]).all()
    assert np.isfinite(result.scores("Loss/value")[~failed]).all()
    index = int(np.flatnonzero(failed)[0])
    trained = result.member(index)
    assert trained.failed == result.failed[index]
    assert int(trained.state.iteration) == trained.failed  # the last good one
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.state.params))
    description = result.describe_failures()[0]
    assert description.startswith(f"as configured, seed {index}: rewards, ")
    assert description.endswith(f" in iteration {trained.failed}")
    assert f"seed {index}; it keeps its last good state" in capsys.readouterr().out
    assert result.summary()[0]["failed"] == failed.sum()


def test_what_shapes_the_program_makes_one_of_its_own(env):
    varied = {"gamma": [0.9, 0.99], "num_learning_epochs": [1, 2], "schedule": ["fixed", "adaptive"]}
    settings = list_settings(CONFIG, varied, None)
    assert len(settings) == 8
    traced = numeric_paths(CONFIG, settings)
    assert traced == ["algorithm.gamma"]
    members = [Member(index, setting, 0) for index, setting in enumerate(settings)]
    shapes = shapes_of(CONFIG, members, traced)
    assert [len(own) for _, own in shapes] == [2, 2, 2, 2]
    assert {(cfg.algorithm.num_learning_epochs, cfg.algorithm.schedule) for cfg, _ in shapes} == {
        (epochs, schedule) for epochs in (1, 2) for schedule in ("fixed", "adaptive")
    }


def test_what_does_not_fit_into_memory_is_trained_in_parts(env, monkeypatch):
    from rsl_jax.sweeps.program import Program

    members = [Member(index, {}, index) for index in range(5)]
    program = Program(env, CONFIG, [], stretch=1, devices=jax.devices()[:1])
    monkeypatch.setattr(program, "_compile", lambda population, numbers: 100 * len(population.failed))
    assert [program.chunk_size(members, memory=memory) for memory in (500, 499, 250, 99)] == [5, 4, 2, 1]
    assert [member.seed for member in program.padded(members[3:], 4)] == [3, 4, 4, 4]


def test_names_of_keys():
    assert find_path(CONFIG, "gamma") == "algorithm.gamma"
    assert find_path(CONFIG, "init_std") == "actor.distribution_cfg.init_std"
    assert find_path(CONFIG, "critic.activation") == "critic.activation"
    with pytest.raises(ValueError, match=r"may be actor\.activation or critic\.activation"):
        find_path(CONFIG, "activation")
    with pytest.raises(ValueError, match=r"no key 'gama' in the config\. Did you mean 'gamma'"):
        find_path(CONFIG, "gama")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "at least one seed; got seeds=0"),
        ({"seeds": [1, 1]}, "is given twice"),
        ({"seeds": [-1]}, "at least 0"),
        ({"seeds": 2.5}, "number of seeds"),
        ({"iterations": 0}, "at least 1; got 0"),
        ({"gamma": []}, "'gamma' of a sweep has no values"),
        ({"gamma": 0.9}, r"'gamma' of a sweep must be a list of values; got 0.9. Write \[0.9\]"),
        ({"gamma": [0.9, 1.5]}, "algorithm.gamma"),
        ({"learning_rat": [1e-3]}, "Did you mean 'learning_rate'"),
        ({"settings": [{"gamma": 0.9}, {"lam": 0.9}]}, "All settings of a sweep must have the same keys"),
        ({"settings": [{"gamma": 0.9}], "lam": [0.9]}, "not both"),
        ({"settings": []}, "at least one setting"),
        ({"devices": 99}, "devices is 99"),
        ({"resume": True}, "give folder=PATH"),
        ({"num_envs": 3}, "num_envs is 3, but the given environment has 8"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_compiled(env, compilations, options, message):
    with compilations() as names, pytest.raises((ValueError, TypeError), match=message):
        rsl_jax.sweep(env, CONFIG, **{"iterations": 1, "seeds": 1, "console": False, **options})
    assert "_many" not in " ".join(names)


def test_the_folder_of_another_sweep_is_left_alone(env, swept, tmp_path):
    from rsl_jax.sweeps.folder import SweepFolder

    SweepFolder(tmp_path / "a", {"iterations": 1, "cfg": {}}, resume=False)
    with pytest.raises(FileExistsError, match="Continue it with resume=True"):
        SweepFolder(tmp_path / "a", {"iterations": 1, "cfg": {}}, resume=False)
    with pytest.raises(ValueError, match="different sweep: iterations differ"):
        SweepFolder(tmp_path / "a", {"iterations": 2, "cfg": {}}, resume=True)
    with pytest.raises(FileNotFoundError, match="no sweep to resume"):
        SweepFolder(tmp_path / "b", {"iterations": 2}, resume=True)


def test_the_interquartile_mean_leaves_out_the_quarters_at_the_ends():
    middle, low, high = interquartile_mean(np.array([[-100.0], [1.0], [3.0], [900.0]]))
    assert middle[0] == 2
    assert low[0] < 2 < high[0]
    assert np.isnan(interquartile_mean(np.full((3, 1), np.nan))[0]).all()


def test_seeds():
    assert list_seeds(3) == [0, 1, 2]
    assert list_seeds(np.array([7, 5])) == [7, 5]


def progress_of(iteration):
    members = [Member(0, {"algorithm.gamma": 0.9}, 0), Member(1, {"algorithm.gamma": 0.99}, 0)]
    rewards = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]])
    return Progress(
        members=members,
        training=[0, 1],
        iteration=iteration,
        iterations=3,
        metrics={"Train/mean_reward": rewards},
        failed=np.array([-1, 1]),
        finished=2 * iteration,
        elapsed=10.0,
    )


def test_one_table_for_the_whole_sweep():
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    console.print(sweep_table("A sweep", progress_of(2)))
    text = console.file.getvalue()
    assert text.index("gamma=0.99") < text.index("gamma=0.9 ")
    assert "66.7%" in text


def test_plain_lines_where_there_is_no_terminal():
    file = io.StringIO()
    with SweepConsole("A sweep", Console(file=file)) as console:
        console.update(progress_of(1))
        console.update(progress_of(2))
    lines = file.getvalue().splitlines()
    assert lines[0] == "A sweep: the first iteration compiles"
    assert lines[1].startswith("NaN or infinity in iteration 1 of gamma=0.99, seed 0")
    assert "66.7%" in lines[-1]
    assert "1 failed" in lines[-1]


def test_scores_are_the_last_values_that_there_are():
    nan = np.nan
    rows = np.array([[1.0, 2.0, 3.0, 5.0], [1.0, 2.0, nan, nan], [4.0, nan, nan, nan], [nan] * 4])
    np.testing.assert_array_equal(mean_of_last(rows, 2), [4.0, 2.0, 4.0, nan])
    np.testing.assert_array_equal(mean_of_last(rows, 3), [10 / 3, 2.0, 4.0, nan])
