"""Logging of a run: scalars through a writer, progress on the console, plots of curves."""

from rsl_jax.logging.background import BackgroundWriter
from rsl_jax.logging.console import TrainingConsole
from rsl_jax.logging.curves import plot
from rsl_jax.logging.events import Curve, read_scalars
from rsl_jax.logging.git_state import store_git_state
from rsl_jax.logging.live_progress import LiveProgress
from rsl_jax.logging.logger import Logger
from rsl_jax.logging.status import Status
from rsl_jax.logging.tensorboard_writer import TensorboardLogWriter
from rsl_jax.logging.writer import LogWriter, make_writer

__all__ = [
    "BackgroundWriter",
    "Curve",
    "LiveProgress",
    "LogWriter",
    "Logger",
    "Status",
    "TensorboardLogWriter",
    "TrainingConsole",
    "make_writer",
    "plot",
    "read_scalars",
    "store_git_state",
]
