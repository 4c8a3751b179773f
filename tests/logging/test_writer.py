import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rsl_jax.logging import LogWriter, TensorboardLogWriter, make_writer, read_scalars
from rsl_jax.logging.writer import config_as_json


class MemoryWriter(LogWriter):
    """Keeps what it is given."""

    def __init__(self, log_dir: str, project: str = "none") -> None:
        self.log_dir, self.project = log_dir, project
        self.scalars: list[tuple[str, float, int]] = []

    def add_scalar(self, tag, value, global_step):
        self.scalars.append((tag, value, global_step))


class BareWriter:
    def __init__(self, log_dir: str) -> None:
        pass

    def add_scalar(self, tag, value, global_step):
        pass


def test_scalars_read_back(tmp_path):
    writer = TensorboardLogWriter(tmp_path / "run")
    for it in range(3):
        writer.add_scalar("Loss/value", 0.5 * it, it)
    writer.add_scalar("Train/mean_reward", float("inf"), 2)
    writer.stop()
    scalars = read_scalars(tmp_path / "run")
    np.testing.assert_array_equal(scalars["Loss/value"].steps, [0, 1, 2])
    np.testing.assert_array_equal(scalars["Loss/value"].values, [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(scalars["Train/mean_reward"].values, [np.inf])


def test_tensorboard_itself_reads_scalars_and_config(tmp_path):
    accumulator_module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = TensorboardLogWriter(tmp_path)
    writer.store_config({"task": "cartpole"}, {"seed": 3})
    writer.add_scalar("Loss/value", 0.25, 7)
    writer.stop()
    accumulator = accumulator_module.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    (event,) = accumulator.Scalars("Loss/value")
    assert (event.step, event.value) == (7, 0.25)
    (text,) = accumulator.Tensors("Config/train/text_summary")
    assert b'"seed": 3' in text.tensor_proto.string_val[0]


def test_torch_summaries_are_read(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    writer = tensorboard.SummaryWriter(log_dir=str(tmp_path))
    writer.add_scalar("Train/mean_reward", 1.5, 4)
    writer.close()
    np.testing.assert_array_equal(read_scalars(tmp_path)["Train/mean_reward"].values, [1.5])


def test_what_a_resumed_run_repeats_replaces_the_old(tmp_path):
    for first, last, value in ((0, 8, 1.0), (5, 7, 2.0)):
        writer = TensorboardLogWriter(tmp_path)
        for it in range(first, last):
            writer.add_scalar("Loss/value", value, it)
        writer.stop()
    curve = read_scalars(tmp_path)["Loss/value"]
    np.testing.assert_array_equal(curve.steps, range(7))
    np.testing.assert_array_equal(curve.values, [1, 1, 1, 1, 1, 2, 2])


def test_a_cut_short_file_is_read_as_far_as_it_is_whole(tmp_path):
    writer = TensorboardLogWriter(tmp_path)
    for it in range(3):
        writer.add_scalar("Loss/value", 1.0, it)
    writer.stop()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    np.testing.assert_array_equal(read_scalars(tmp_path)["Loss/value"].steps, [0, 1])


def test_scalars_survive_a_kill(tmp_path):
    script = (
        "import os, sys; from rsl_jax.logging import TensorboardLogWriter\n"
        "writer = TensorboardLogWriter(sys.argv[1], flush_secs=0.0)\n"
        "for it in range(5): writer.add_scalar('Loss/value', 1.0, it)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    np.testing.assert_array_equal(read_scalars(tmp_path)["Loss/value"].steps, range(5))


def test_a_stopped_writer_says_so(tmp_path):
    writer = TensorboardLogWriter(tmp_path)
    writer.stop()
    writer.stop()
    with pytest.raises(ValueError, match="has been stopped"):
        writer.add_scalar("Loss/value", 1.0, 0)


@pytest.mark.parametrize(
    "logger_cfg", ["tensorboard", {"class_name": "TensorboardLogWriter", "flush_secs": 1.0}, TensorboardLogWriter]
)
def test_tensorboard_by_its_names(logger_cfg, tmp_path):
    writer = make_writer(logger_cfg, tmp_path)
    assert isinstance(writer, TensorboardLogWriter)
    writer.stop()


@pytest.mark.parametrize("class_name", [MemoryWriter, f"{__name__}:MemoryWriter", f"{__name__}.MemoryWriter"])
def test_own_writer_gets_its_arguments(class_name, tmp_path):
    writer = make_writer({"class_name": class_name, "project": "robots"}, tmp_path)
    assert (type(writer).__name__, writer.project, writer.log_dir) == ("MemoryWriter", "robots", str(tmp_path))


def test_making_a_writer_leaves_the_config_alone(tmp_path):
    logger_cfg = {"class_name": MemoryWriter, "project": "robots"}
    make_writer(logger_cfg, tmp_path)
    assert logger_cfg == {"class_name": MemoryWriter, "project": "robots"}


@pytest.mark.parametrize(
    ("logger_cfg", "error", "message"),
    [
        ("tensorbord", ValueError, "Did you mean 'tensorboard'"),
        ({"project": "robots"}, ValueError, "'class_name'"),
        (BareWriter, TypeError, "store_config, save_model, save_file, save_video, stop"),
        (5, TypeError, "got 5"),
    ],
)
def test_errors_say_what_to_do(logger_cfg, error, message, tmp_path):
    with pytest.raises(error, match=message):
        make_writer(logger_cfg, tmp_path)


def test_base_writer_names_the_method_to_implement():
    with pytest.raises(NotImplementedError, match="LogWriter must implement add_scalar"):
        LogWriter().add_scalar("Loss/value", 1.0, 0)


def test_a_config_that_contains_itself_stops_nothing():
    cfg = {"gain": 2.0}
    cfg["self"] = cfg
    assert "'gain': 2.0" in config_as_json(cfg)


def test_any_config_becomes_readable():
    @dataclasses.dataclass
    class Inner:
        gain: float = 2.0

    class Simulator:
        def to_dict(self):
            return {"inner": Inner()}

    text = config_as_json({"sim": Simulator(), "path": Path("a"), "function": np.sum, "class": Inner})
    for part in ('"gain": 2.0', '"path": "a"', "numpy:sum", "Inner"):
        assert part in text
