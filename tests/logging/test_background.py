"""Writers that raise, hang or are slow: training continues, and ends."""

import resource
import subprocess
import sys
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from rsl_jax.env import vectorize
from rsl_jax.logging import BackgroundWriter, Logger, LogWriter, TensorboardLogWriter, read_scalars
from rsl_jax.logging.background import GuardedWriter
from rsl_jax.runners import OnPolicyRunner
from tests.environments import PointMass
from tests.helpers import small_config

FOREVER = threading.Event()  # never set


class Recording(LogWriter):
    """Keeps what it is called with, and in which thread."""

    def __init__(self, log_dir: str = "") -> None:
        self.calls: list[tuple] = []
        self.threads = {threading.current_thread()}

    def _keep(self, *call):
        self.calls.append(call)
        self.threads.add(threading.current_thread())

    def add_scalar(self, tag, value, global_step):
        self._keep("scalar", tag, value, global_step)

    def store_config(self, env_cfg, train_cfg):
        self._keep("config", env_cfg, train_cfg)

    def save_model(self, path, it):
        self._keep("model", path, it)

    def stop(self):
        self._keep("stop")


class Raising(LogWriter):
    """Raises in every method."""

    def __init__(self, log_dir: str = "") -> None:
        self.tried = 0

    def _raise(self, *args):
        self.tried += 1
        raise ConnectionError(f"no route to the tracker at {time.time()}")

    add_scalar = store_config = save_model = save_file = save_video = stop = _raise


class Unopenable(Recording):
    def __init__(self, log_dir: str = "") -> None:
        raise ConnectionError("no route to the tracker")


class Hanging(LogWriter):
    """Never comes back from a scalar."""

    def __init__(self, log_dir: str = "") -> None:
        pass

    def add_scalar(self, tag, value, global_step):
        FOREVER.wait()


class HangingAtOnce(Recording):
    """Is never made."""

    def __init__(self, log_dir: str = "") -> None:
        FOREVER.wait()


class Slow(Recording):
    """Takes 100 ms a scalar."""

    made: ClassVar[list["Slow"]] = []

    def __init__(self, log_dir: str = "") -> None:
        super().__init__()
        self.made.append(self)

    def add_scalar(self, tag, value, global_step):
        time.sleep(0.1)
        super().add_scalar(tag, value, global_step)


class Gated(Recording):
    """Waits for a gate before every scalar."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__()
        self.gate = gate

    def add_scalar(self, tag, value, global_step):
        self.gate.wait()
        super().add_scalar(tag, value, global_step)


def seconds_of(function, *args):
    began = time.monotonic()
    function(*args)
    return time.monotonic() - began


def messages(record):
    return [str(warning.message) for warning in record]


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """A runner that has compiled what it needs, also to write checkpoints."""
    env = vectorize(PointMass(), 16, max_episode_length=20)
    runner = OnPolicyRunner(env, small_config(), tmp_path_factory.mktemp("run"), console=False)
    runner.learn(2)
    return runner


def logger_with(log_dir, *loggers):
    cfg = {**small_config().to_dict(), "logger": ["tensorboard", *loggers]}
    return Logger(log_dir, cfg, num_envs=16, num_steps_per_env=8, console=False)


@pytest.mark.parametrize(
    ("writer", "expected"),
    [
        (Raising, {"failed in add_scalar", "failed in store_config", "failed in save_model", "failed in stop"}),
        (Unopenable, {"could not be opened"}),
        (Hanging, {"abandoned"}),
        (HangingAtOnce, {"not ready after 0.2 s", "abandoned"}),
        (Slow, {"had no time for the last"}),
    ],
)
def test_no_writer_stops_or_slows_training(runner, tmp_path, writer, expected):
    runner.logger = logger_with(tmp_path / "without")
    without = seconds_of(runner.learn, 5)
    background = {"open_timeout": 0.2, "stop_timeout": 0.8}
    runner.logger = logger_with(tmp_path / "with", {"class_name": writer, "background": background})
    before = runner.current_learning_iteration
    with pytest.warns(RuntimeWarning) as record:
        taken = seconds_of(runner.learn, 5)
    assert runner.current_learning_iteration == before + 5
    assert taken < without + 2.0  # at 100 ms a scalar, 5 iterations of 12 scalars would be 6 s
    texts = messages(record)
    for part in expected:
        assert len([text for text in texts if part in text]) == 1, texts
    assert all(f"'{writer.__name__}'" in text for text in texts if "log writer" in text)
    assert len(read_scalars(tmp_path / "with")["Loss/value"].steps) == 5
    assert (tmp_path / "with" / f"model_{before + 5}").exists()


def test_everything_arrives_in_order_and_from_one_other_thread():
    writer = BackgroundWriter(Recording, "recording")
    writer.wait_until_open()
    writer.store_config({"task": 1}, {"seed": 2})
    for it in range(100):
        writer.add_iteration({"Loss/value": 1.0 * it, "Train/mean_reward": 2.0}, it, 7)
        writer.save_model(f"model_{it}", it)
    writer.stop()
    writer.stop()
    expected = [("config", {"task": 1}, {"seed": 2})]
    for it in range(100):
        expected += [("scalar", "Loss/value", 1.0 * it, it), ("scalar", "Train/mean_reward", 2.0, it)]
        expected += [("scalar", "Train/mean_reward/time", 2.0, 7), ("model", f"model_{it}", it)]
    assert writer.writer.calls == [*expected, ("stop",)]
    assert threading.current_thread() not in writer.writer.threads
    assert len(writer.writer.threads) == 1


def test_a_writer_that_fails_is_called_again_and_warned_of_once():
    all_logged = threading.Event()

    class Interrupted(Recording):
        def add_scalar(self, tag, value, global_step):
            all_logged.wait()  # so that all warnings are due at the end
            if global_step < 50:
                raise ConnectionError(f"failure {global_step}")
            super().add_scalar(tag, value, global_step)

    writer = BackgroundWriter(Interrupted, "interrupted")
    for it in range(60):
        writer.add_scalar("Loss/value", 0.0, it)
    all_logged.set()
    with pytest.warns(RuntimeWarning) as record:
        writer.stop()
    assert messages(record) == [
        "The log writer 'interrupted' failed in add_scalar: ConnectionError: failure 0. Training continues. The writer "
        "is called again the next time; the same failure is not reported again."
    ]
    assert [call[3] for call in writer.writer.calls if call[0] == "scalar"] == list(range(50, 60))


def test_one_bad_tag_does_not_take_the_rest_of_an_iteration_with_it():
    class Picky(Recording):
        def add_scalar(self, tag, value, global_step):
            if tag == "bad":
                raise ValueError(tag)
            super().add_scalar(tag, value, global_step)

    writer = BackgroundWriter(Picky, "picky")
    writer.add_iteration({"a": 1.0, "bad": 2.0, "c": 3.0}, 0, 0)
    with pytest.warns(RuntimeWarning, match="bad"):
        writer.stop()
    assert [call[1] for call in writer.writer.calls[:-1]] == ["a", "c"]


def test_a_full_queue_drops_scalars_with_one_warning_and_has_room_for_a_checkpoint():
    gate = threading.Event()
    writer = BackgroundWriter(lambda: Gated(gate), "gated", queue_size=20)
    writer.wait_until_open()
    writer.add_iteration({"Loss/value": 0.0}, 0, 0)
    deadline = time.monotonic() + 10.0
    while writer._queue and time.monotonic() < deadline:  # until the thread has taken it, and waits at the gate
        time.sleep(0.001)
    for it in range(1, 19):
        writer.add_iteration({"Loss/value": 0.0}, it, 0)
    with pytest.warns(RuntimeWarning, match="slower than the training: 18 entries wait"):
        writer.add_iteration({"Loss/value": 0.0}, 19, 0)
    for it in range(20, 101):
        writer.add_iteration({"Loss/value": 0.0}, it, 0)
    writer.save_model("model_100", 100)
    assert writer.dropped == 82
    gate.set()
    writer.stop()
    calls = writer.writer.calls
    assert [call[3] for call in calls if call[0] == "scalar"] == list(range(19))
    assert calls[-2:] == [("model", "model_100", 100), ("stop",)]


def test_what_comes_while_a_writer_opens_is_not_lost():
    gate = threading.Event()

    def make():
        gate.wait()
        return Recording()

    writer = BackgroundWriter(make, "late", open_timeout=0.05)
    with pytest.warns(RuntimeWarning, match=r"not ready after 0.05 s"):
        writer.wait_until_open()
    writer.add_scalar("Loss/value", 1.0, 3)
    gate.set()
    writer.stop()
    assert writer.writer.calls == [("scalar", "Loss/value", 1.0, 3), ("stop",)]


def test_a_slow_writer_is_still_stopped_properly():
    writer = BackgroundWriter(Slow, "slow", stop_timeout=1.0)
    for it in range(50):
        writer.add_iteration({"a": 0.0, "b": 0.0}, it, 0)
    with pytest.warns(RuntimeWarning, match="no time for the last") as record:
        assert seconds_of(writer.stop) < 1.0
    assert len(record) == 1
    assert writer.writer.calls[-1] == ("stop",)
    assert 2 <= len(writer.writer.calls) < 12
    assert writer.dropped > 40


def test_hanging_writers_have_their_time_together(tmp_path):
    background = {"open_timeout": 0.1, "stop_timeout": 0.5}
    loggers = [{"class_name": cls, "background": background} for cls in (Hanging, HangingAtOnce, Slow)]
    logger = Logger(tmp_path, {"logger": loggers}, num_envs=4, num_steps_per_env=8, console=False)
    with pytest.warns(RuntimeWarning, match="not ready"):
        assert seconds_of(logger.start, 0, 1) < 1.0
    logger.log(0, {f"Loss/{k}": 1.0 for k in range(20)}, collection_time=None, learning_time=1.0)
    with pytest.warns(RuntimeWarning) as record:
        assert seconds_of(logger.stop) < 0.9
    assert len([text for text in messages(record) if "abandoned" in text]) == 2


def test_a_process_ends_though_a_writer_hangs():
    script = (
        "import threading\n"
        "from rsl_jax.logging import BackgroundWriter, LogWriter\n"
        "class Hanging(LogWriter):\n"
        "    def add_scalar(self, *args): threading.Event().wait()\n"
        "writer = BackgroundWriter(Hanging, 'hanging', stop_timeout=0.1)\n"
        "writer.add_scalar('Loss/value', 1.0, 0)\n"
        "writer.stop()\n"
        "print('ended')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "ended\n"
    assert "did not end within 0.1 s and is abandoned" in done.stderr


def test_a_full_disk_stops_nothing_and_nothing_is_lost_when_there_is_room_again(tmp_path):
    inner = TensorboardLogWriter(tmp_path, flush_secs=0.0)
    writer = GuardedWriter(inner, "tensorboard")
    writer.add_scalar("Loss/value", 0.0, 0)
    (path,) = tmp_path.iterdir()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def log_on_a_full_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limit[1]))  # in the middle of an event
        try:
            for it in range(1, 50):
                writer.add_scalar("Loss/value", 1.0 * it, it)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    with pytest.warns(RuntimeWarning, match="OSError") as record:
        log_on_a_full_disk()
    assert len(record) == 1
    before = read_scalars(tmp_path)["Loss/value"].steps
    np.testing.assert_array_equal(before, range(len(before)))
    writer.stop()
    np.testing.assert_array_equal(read_scalars(tmp_path)["Loss/value"].steps, range(50))


def test_a_writer_made_for_rsl_rl_works_as_it_is(tmp_path):
    theirs = pytest.importorskip("rsl_rl.utils.log_writer")
    seen = []

    class Theirs(theirs.LogWriter):
        def __init__(self, log_dir: str, project_name: str) -> None:
            seen.append((log_dir, project_name))

        def add_scalar(self, tag, scalar_value, global_step):
            seen.append((tag, scalar_value, global_step))

    logger = Logger(
        tmp_path,
        {"logger": {"class_name": Theirs, "project_name": "robots"}},
        num_envs=4,
        num_steps_per_env=8,
        console=False,
    )
    with logger.start(0, 1):
        logger.log(0, {"Train/mean_reward": 5.0}, collection_time=1.0, learning_time=1.0)
        logger.save_model(tmp_path / "model_0.pt", 0)
    assert seen[0] == (str(tmp_path), "robots")
    assert {("Train/mean_reward", 5.0, 0), ("Train/mean_reward/time", 5.0, 2)} <= set(seen[1:])
    assert logger.logger_type == "Theirs"


def test_a_policy_exported_during_training_reaches_the_writers(runner, tmp_path):
    seen = []

    class Files(Recording):
        def save_file(self, path):
            seen.append(path)

    runner.logger = logger_with(tmp_path, Files)
    with runner.logger.start(0, 1):
        written = runner.export_policy_to_jit(tmp_path, "policy.jax")
    assert [path for path in seen if not path.endswith(".diff")] == [str(written)]
