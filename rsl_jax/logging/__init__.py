"""What a run leaves behind: scalars through a writer, progress on the console, curves as a picture."""

from rsl_jax.logging.background import BackgroundWriter as BackgroundWriter
from rsl_jax.logging.console import TrainingConsole as TrainingConsole
from rsl_jax.logging.curves import plot as plot
from rsl_jax.logging.events import Curve as Curve
from rsl_jax.logging.events import read_scalars as read_scalars
from rsl_jax.logging.git_state import store_git_state as store_git_state
from rsl_jax.logging.logger import Logger as Logger
from rsl_jax.logging.status import Status as Status
from rsl_jax.logging.tensorboard_writer import TensorboardLogWriter as TensorboardLogWriter
from rsl_jax.logging.writer import LogWriter as LogWriter
from rsl_jax.logging.writer import make_writer as make_writer
