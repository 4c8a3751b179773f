"""Progress of compiled runs: told once for all runs, changes nothing, and what goes wrong in it is heard."""

import io
import signal

import jax
import numpy as np
import pytest
from rich.console import Console

from rsl_jax.interrupts import seen_by_threads
from rsl_jax.logging import LiveProgress
from rsl_jax.training import make_train
from rsl_jax.types import Report


@pytest.fixture(scope="module")
def vectorised(env, cfg):
    """Two seeds with progress: what was reported, and the metrics."""
    seen = []
    train = make_train(env, cfg, 5, progress=seen.append, report_every=2)
    _, metrics = jax.block_until_ready(jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 2)))
    return seen, metrics


def test_one_report_has_the_metrics_of_all_runs(vectorised):
    seen, metrics = vectorised
    assert [(report.iteration, report.iterations) for report in seen] == [(2, 5), (4, 5), (5, 5)]
    for report in seen:
        assert set(report.metrics) == set(metrics)
        for tag, rows in metrics.items():
            np.testing.assert_allclose(report.metrics[tag], rows[:, report.iteration - 1], err_msg=tag)


def test_a_run_with_progress_is_the_run_without_up_to_rounding(env, cfg, vectorised):
    _, metrics = jax.jit(jax.vmap(make_train(env, cfg, 5)))(jax.random.split(jax.random.key(0), 2))
    for tag, rows in metrics.items():
        # XLA fuses the two programs differently; sums of advantages are near zero.
        np.testing.assert_allclose(rows, vectorised[1][tag], rtol=1e-4, atol=1e-6, err_msg=tag)


def test_of_several_devices_one_reports_and_a_callback_that_fails_is_not_called_again(env, cfg, capsys):
    seen = []

    def notice(report):
        seen.append(report)
        if report.iteration == 2:
            raise RuntimeError("enough of this")

    train = jax.jit(make_train(env, cfg, 3, devices=2, progress=notice))
    for seed in range(2):
        _, metrics = jax.block_until_ready(train(jax.random.key(seed)))
        assert np.isfinite(metrics["Loss/value"]).all()
        error = capsys.readouterr().err
        assert "it is not called again; the run continues" in error
        assert "RuntimeError: enough of this" in error
    assert [report.iteration for report in seen] == [1, 2, 1, 2]
    assert seen[0].metrics["Train/mean_reward"].shape == ()


def test_an_interrupt_ends_the_run(env, cfg):
    def stop(report):
        raise KeyboardInterrupt("now")

    with pytest.raises(jax.errors.JaxRuntimeError, match="KeyboardInterrupt: now"):
        jax.block_until_ready(jax.jit(make_train(env, cfg, 1000, progress=stop))(jax.random.key(0)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"progress": 3}, TypeError, "progress must be a function of a report; got int"),
        ({"progress": print, "report_every": 0}, ValueError, "report_every must be at least 1; got 0"),
        ({"progress": print, "report_every": 0.5}, TypeError, "report_every must be a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(env, cfg, options, error, message):
    with pytest.raises(error, match=message):
        make_train(env, cfg, 5, **options)


def report_of(iteration, *, failed=0):
    metrics = {
        "Train/mean_reward": np.array([1.0, 3.0, np.nan]),
        "Loss/value_function": np.array([0.5, 0.25, 0.75]),
        "NonFinite/rewards": np.array([0, 0, failed]),
    }
    return Report(iteration, 4, metrics)


def test_lines_where_there_is_no_terminal():
    file = io.StringIO()
    progress = LiveProgress("Three seeds", console=Console(file=file))
    for iteration in range(1, 5):
        progress(report_of(iteration, failed=int(iteration == 4)))
    lines = file.getvalue().splitlines()
    assert lines[0] == "Three seeds: compiling"
    assert lines[1].startswith("Three seeds   25.0%  iteration 1 of 4  mean reward 2.00 (1.00 to 3.00)")
    assert lines[-1].startswith("Three seeds  100.0%")
    assert lines[-1].endswith("NaN or infinity in 1 of 3 runs")
    progress(report_of(1))  # of another run
    assert file.getvalue().splitlines()[-2] == "Three seeds: compiling"


def test_a_table_on_a_terminal():
    file = io.StringIO()
    with LiveProgress("Three seeds", console=Console(file=file, force_terminal=True, width=100)) as progress:
        progress(report_of(2))
    text = file.getvalue()
    assert "50.0%, iteration 2 of 4" in text
    assert "value function" in text
    assert text.index("0.500") < text.index("0.250") < text.index("0.750")  # mean, lowest, highest


def test_a_table_in_a_notebook_without_widgets(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle)

    def display(bundle, raw, display_id):
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    console = Console(force_jupyter=True, width=100)
    with LiveProgress("Three seeds", console=console) as progress:
        progress(report_of(4))
    assert "compiling" in shown[0]["text/html"]
    assert "100.0%, iteration 4 of 4" in shown[-1]["text/html"]
    assert "mean reward 2.00" in shown[-1]["text/plain"]


def test_ctrl_c_stops_the_run_at_its_next_report():
    before = signal.signal(signal.SIGINT, lambda *_: None)  # the main thread is in a compiled program
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    try:
        with LiveProgress("Three seeds", console=Console(file=io.StringIO())) as progress:
            progress(report_of(1))
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt, match="the run is stopped"):
                progress(report_of(2))
        with seen_by_threads() as pressed:
            assert not pressed()
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.set_wakeup_fd(wakeup) == wakeup
