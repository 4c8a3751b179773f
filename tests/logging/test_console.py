import io
import logging
import sys
import types

import pytest
from rich.console import Console

from rsl_jax.logging import Status, TrainingConsole
from rsl_jax.logging.status import duration, number, plain_line, sparkline, status_panel

METRICS = {
    "Train/mean_reward": 912.345,
    "Train/mean_episode_length": 998.0,
    "Loss/value": 0.0123,
    "Loss/learning_rate": 1e-3,
    "Policy/mean_std": 0.5,
    "Perf/total_fps": 54613.3,
    "Perf/iteration_time": 0.15,
    "Episode/rew_upright": 1.25,
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def status(iteration: int, total: int = 10, **metrics: float) -> Status:
    return Status("cartpole", iteration, total, iteration * 64, float(iteration), 3.0, METRICS | metrics)


def drawn(shown: Status, *, width: int = 100, height: int = 40, max_entries: int = 12) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, height=height)
    console.print(status_panel(shown, width=width, height=height, max_entries=max_entries))
    return console.export_text()


def run_plain(iterations: int, *, seconds_each: float, stop_after: int | None = None) -> list[str]:
    out, clock = io.StringIO(), Clock()
    with TrainingConsole(Status("cartpole", 0, iterations), rich_console=Console(file=out), clock=clock) as console:
        for iteration in range(1, (stop_after or iterations) + 1):
            clock.now += seconds_each
            console.update(status(iteration, iterations))
    return out.getvalue().splitlines()


def test_plain_lines_are_aligned_and_hold_the_key_figures():
    lines = run_plain(10, seconds_each=2.0)
    assert lines[0] == "cartpole: iterations 0 to 10, the first one compiles"
    assert len(lines) == 11
    assert {line.index("reward") for line in lines[1:]} == {lines[1].index("reward")}
    assert len({len(line) for line in lines[1:]}) == 1
    for figure in ("10/10", "912.35", "998.0", "0.012", "1.0e-03", "54,613 steps/s", "0:00:10 elapsed", "0:00:03 left"):
        assert figure in lines[-1]


def test_the_last_evaluation_stays_in_sight():
    out = io.StringIO()
    with TrainingConsole(Status("cartpole", 0, 3), rich_console=Console(file=out), line_interval=0.0) as console:
        console.update(status(1, 3))
        console.update(status(2, 3, **{"Eval/mean_reward": 931.25, "Eval/mean_episode_length": 987.0}))
        console.update(status(3, 3))
        last = console.status
    first, *others = out.getvalue().splitlines()[1:]
    assert "evaluated" not in first
    assert [line.endswith("evaluated    931.25") for line in others] == [True, True]
    text = drawn(last)
    assert "Last evaluation" in text
    assert "987.0" in text
    assert "Eval/" not in text


def test_fast_iterations_print_about_one_line_a_second_with_first_and_last():
    lines = run_plain(1000, seconds_each=0.01)[1:]
    assert [line.split("/")[0].strip() for line in (lines[0], lines[-1])] == ["1", "1000"]
    assert 9 <= len(lines) <= 12


def test_the_last_line_comes_also_when_a_run_is_interrupted():
    lines = run_plain(1000, seconds_each=0.01, stop_after=57)
    assert lines[-1].startswith("  57/1000")


def test_plain_line_before_any_episode_ended():
    line = plain_line(status(1, **{"Train/mean_reward": float("nan"), "Train/mean_episode_length": float("nan")}))
    assert "nan" not in line
    assert line.split("reward")[1].split()[0] == "-"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table_shows_every_figure_at_any_width(width):
    text = drawn(status(4), width=width)
    for figure in (
        *("cartpole", "iteration 4/10", "0:00:03 left", "912.35", "998.0", "0.0123", "1.00e-03", "0.500"),
        *("54,613", "0.150 s", "256", "0:00:04", "rew_upright", "1.2500"),
    ):
        assert figure in text
    assert max(map(len, text.splitlines())) <= width


def test_table_before_the_first_iteration():
    text = drawn(Status("cartpole", 0, 10))
    assert "compiling" in text
    assert "nan" not in text


def test_a_loss_that_is_not_finite_is_shown_as_it_is():
    text = drawn(status(4, **{"Loss/value": float("nan"), "Train/mean_reward": float("nan")}))
    assert [line for line in text.splitlines() if "value" in line and "nan" in line]
    assert not [line for line in text.splitlines() if "mean reward" in line and "nan" in line.split("│")[1][:40]]


def test_entries_of_the_environment_are_capped():
    many = {f"Episode/term_{i}": float(i) for i in range(50)}
    assert drawn(status(4, **many), max_entries=5).count("term_") == 4
    assert "… 46 more" in drawn(status(4, **many), max_entries=5)
    assert len(drawn(status(4, **many), height=24, max_entries=50).splitlines()) <= 24


def test_live_table_lets_prints_logs_and_streams_through(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    handler, logger = logging.StreamHandler(out), logging.getLogger("a simulator")
    logger.addHandler(handler)
    rich_console = Console(file=out, force_terminal=True, width=100, height=40, legacy_windows=False)
    with TrainingConsole(Status("cartpole", 0, 3), rich_console=rich_console) as console:
        for iteration in (1, 2, 3):
            console.update(status(iteration, 3))
            print(f"printed by the user {iteration}")
            logger.warning("logged by a library %d", iteration)
        assert handler.stream is not out
    text = out.getvalue()
    assert handler.stream is out
    assert sys.stdout is out
    for iteration in (1, 2, 3):
        assert f"printed by the user {iteration}\n" in text
        assert f"logged by a library {iteration}\n" in text
    assert "iteration 3/3" in text
    table_end, cursor_shown = text.rindex("╯"), text.rindex("\x1b[?25h")
    assert text.rindex("printed by the user 3") < table_end < cursor_shown
    logger.removeHandler(handler)


def test_live_table_stops_when_training_fails(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    console = TrainingConsole(Status("cartpole", 0, 3), rich_console=Console(file=out, force_terminal=True, width=80))
    with pytest.raises(RuntimeError, match="boom"), console:
        raise RuntimeError("boom")
    assert out.getvalue().count("\x1b[?25h") == 1
    assert sys.stdout is out


def test_numbers_for_people():
    assert [number(x, decimals=2) for x in (None, float("nan"), float("inf"), 0.0, 0.003, 12.345, 1234.56, 3e8)] == [
        *("-", "-", "inf", "0.00", "3.00e-03", "12.35", "1,234.6", "3.00e+08")
    ]
    assert [duration(x) for x in (None, 59.6, 3661.0)] == ["-", "0:01:00", "1:01:01"]


def test_sparkline_goes_from_lowest_to_highest():
    assert sparkline([0.0, float("nan"), 1.0, 2.0], 10) == "▁▅█"
    assert sparkline([5.0], 10) == ""
    assert sparkline([1.0, 1.0], 10) == "▁▁"
    assert len(sparkline(range(1000), 20)) == 20


def test_rewards_of_a_long_run_stay_few_and_span_it():
    console = TrainingConsole(Status("cartpole", 0, 5000), rich_console=Console(file=io.StringIO()))
    for iteration in range(5000):
        console.update(status(iteration, 5000, **{"Train/mean_reward": float(iteration)}))
    rewards = console.status.rewards
    assert 32 <= len(rewards) < 64
    assert rewards == tuple(sorted(rewards))
    assert rewards[0] < 100
    assert rewards[-1] > 4800


def test_a_notebook_gets_one_table_that_is_redrawn_and_no_escape_codes(monkeypatch):
    shown, out, clock = [], io.StringIO(), Clock()
    handle = types.SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))
    ipython = types.SimpleNamespace(display=lambda bundle, raw, display_id: (shown.append(bundle), handle)[1])
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    rich_console = Console(file=out, force_jupyter=True)
    with TrainingConsole(Status("cartpole", 0, 10), rich_console=rich_console, clock=clock) as console:
        for iteration in range(1, 11):
            clock.now += 0.5
            console.update(status(iteration))
    assert out.getvalue() == ""
    assert len(shown) == 1 + 6  # before the first iteration, after it, once a second, and the last
    assert "compiling" in shown[0]["text/html"]
    assert "10/10" in shown[-1]["text/html"]
    assert shown[-1]["text/html"].count("912.35") == 1
    assert "10/10" in shown[-1]["text/plain"]
    assert not any("\x1b" in text for bundle in shown for text in bundle.values())
