import numpy as np
import pytest

from rsl_jax.logging import Logger, TensorboardLogWriter, plot
from rsl_jax.logging.curves import draw, find_groups, load_curve, summarize


def make_run(path, *, offset=0.0, iterations=6, first_episode=0):
    with Logger(path, {}, num_envs=4, num_steps_per_env=8, console=False).start(0, iterations) as logger:
        for it in range(iterations):
            reward = it + offset if it >= first_episode else float("nan")
            logger.log(it, {"Train/mean_reward": reward}, collection_time=None, learning_time=0.5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        make_run(root / "ppo" / f"seed_{seed}", offset=float(seed), first_episode=seed)
    make_run(root / "rnd" / "seed_0")
    return root


def lines_of(figure):
    return [line.get_label() for line in figure.axes[0].get_lines()]


def figure_of(log_dirs):
    bands = {
        label: summarize([load_curve(run, tag="Train/mean_reward", x="iteration") for run in runs])
        for label, runs in find_groups(log_dirs).items()
    }
    return draw(bands, x_label="iteration", y_label="mean reward")


def test_a_folder_of_runs_is_one_line_with_a_band(runs):
    figure = figure_of([runs / "ppo"])
    assert lines_of(figure) == ["ppo  (mean of 3 runs, 95 % band)"]
    assert len(figure.axes[0].collections) == 1


def test_runs_deeper_down_are_grouped_by_their_folder(runs):
    assert lines_of(figure_of([runs])) == ["ppo  (mean of 3 runs, 95 % band)", "rnd  (1 run)"]


def test_labels_name_and_group_lines(runs):
    seeds = [runs / "ppo" / f"seed_{i}" for i in range(3)]
    assert lines_of(figure_of(seeds)) == [f"seed_{i}  (1 run)" for i in range(3)]
    labelled = [f"a={seeds[0]}", f"b={seeds[1]}", f"a={seeds[2]}"]
    assert lines_of(figure_of(labelled)) == ["a  (mean of 2 runs, min to max)", "b  (1 run)"]


def test_runs_of_the_same_name_stay_apart(runs):
    groups = find_groups([runs / "ppo" / "seed_0", runs / "rnd" / "seed_0"])
    assert [len(group) for group in groups.values()] == [1, 1]
    assert all("seed_0 (" in label for label in groups)


@pytest.mark.parametrize(
    ("x", "expected"), [("iteration", [0, 1, 5]), ("steps", [32, 64, 192]), ("time", [0.5, 1.0, 3.0])]
)
def test_x_axes(runs, x, expected):
    places, values = load_curve(runs / "rnd" / "seed_0", tag="Train/mean_reward", x=x)
    np.testing.assert_allclose(places[[0, 1, -1]], expected)
    np.testing.assert_array_equal(values, range(6))


def test_x_axes_of_a_run_with_two_times(tmp_path):
    writer = TensorboardLogWriter(tmp_path)
    for it in range(3):
        writer.add_scalar("Train/mean_reward", 1.0, it)
        writer.add_scalar("Perf/collection_time", 1.5, it)
        writer.add_scalar("Perf/learning_time", 0.5, it)
        writer.add_scalar("Perf/total_fps", 50, it)
    writer.stop()
    np.testing.assert_array_equal(load_curve(tmp_path, tag="Train/mean_reward", x="steps")[0], [100, 200, 300])
    np.testing.assert_array_equal(load_curve(tmp_path, tag="Train/mean_reward", x="time")[0], [2, 4, 6])


def test_band_is_students_confidence_over_the_common_range():
    curves = [(np.arange(k, 6), np.arange(k, 6) + k) for k in (0, 1, 2)]
    band = summarize(curves)
    np.testing.assert_array_equal(band.x, [2, 3, 4, 5])
    np.testing.assert_allclose(band.mean, band.x + 1)
    np.testing.assert_allclose(band.high - band.mean, 4.302652729911275 / np.sqrt(3))  # t(0.975, 2) from tables, std 1
    np.testing.assert_allclose(band.mean - band.low, band.high - band.mean)


def test_two_runs_are_drawn_from_smallest_to_largest():
    band = summarize([(np.array([0, 2]), np.array([0.0, 2.0])), (np.array([0, 1, 2]), np.array([4.0, 4.0, 4.0]))])
    np.testing.assert_array_equal(band.low, [0, 1, 2])
    np.testing.assert_array_equal(band.high, [4, 4, 4])


def test_the_picture_is_written(runs, tmp_path):
    out = plot([runs], tmp_path / "pictures" / "curves.png", x="steps", title="Cartpole")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 10_000


def test_errors_say_what_there_is(runs, tmp_path):
    with pytest.raises(ValueError, match=r"Its tags: Perf/iteration_time, .*Train/mean_reward"):
        plot([runs], tmp_path / "x.png", tag="Train/reward")
    with pytest.raises(ValueError, match="Allowed: iteration, steps, time"):
        plot([runs], tmp_path / "x.png", x="wall")
    with pytest.raises(FileNotFoundError, match="No TensorBoard event files"):
        plot([tmp_path / "nowhere"], tmp_path / "x.png")
    with pytest.raises(ValueError, match="no common range"):
        summarize([(np.array([0, 1]), np.zeros(2)), (np.array([5, 6]), np.zeros(2))])


def test_a_run_without_times_says_what_is_missing(tmp_path):
    writer = TensorboardLogWriter(tmp_path)
    writer.add_scalar("Train/mean_reward", 1.0, 0)
    writer.stop()
    with pytest.raises(ValueError, match="Use x='iteration'"):
        plot([tmp_path], tmp_path / "x.png", x="steps")
