"""The writers of a run: selection from the config, checks, and combination."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsl_jax.config.sections import at
from rsl_jax.logging.background import BackgroundWriter, GuardedWriter
from rsl_jax.logging.tensorboard_writer import TensorboardLogWriter
from rsl_jax.logging.tracker import TrackerWriter
from rsl_jax.logging.writer import LogWriter, construct, read_section
from rsl_jax.registry import nearest

_BACKGROUND = ("queue_size", "open_timeout", "stop_timeout")


@dataclass(frozen=True)
class WriterChoice:
    """Writer that a config names, not constructed yet.

    Attributes:
        name: its name in the config.
        target: its constructor, called with ``log_dir`` and the arguments.
        arguments: its arguments in the config.
        background: arguments of :class:`rsl_jax.logging.background.BackgroundWriter`.
    """

    name: str
    target: Callable[..., LogWriter]
    arguments: Mapping[str, Any]
    background: Mapping[str, float]

    @property
    def is_tracker(self) -> bool:
        """Whether it logs to a service."""
        return isinstance(self.target, type) and issubclass(self.target, TrackerWriter)


class Writers(LogWriter):
    """Combination of several writers; none of them raises or waits."""

    def __init__(self, writers: Sequence[LogWriter]) -> None:
        """Combine writers, in the order in which they are called."""
        self.writers = tuple(writers)

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Log one scalar to all writers."""
        for writer in self.writers:
            writer.add_scalar(tag, value, global_step)

    def add_iteration(self, scalars: Mapping[str, float], it: int, seconds: int) -> None:
        """Log an iteration to all writers."""
        for writer in self.writers:
            writer.add_iteration(scalars, it, seconds)

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Save the configs to all writers."""
        for writer in self.writers:
            writer.store_config(env_cfg, train_cfg)

    def save_model(self, path: str, it: int) -> None:
        """Save a checkpoint to all writers."""
        for writer in self.writers:
            writer.save_model(path, it)

    def save_file(self, path: str) -> None:
        """Save a file to all writers."""
        for writer in self.writers:
            writer.save_file(path)

    def save_video(self, path: Path, it: int) -> None:
        """Save a video to all writers."""
        for writer in self.writers:
            writer.save_video(path, it)

    def flush(self) -> None:
        """Flush all writers."""
        for writer in self.writers:
            writer.flush()

    def stop(self) -> None:
        """Stop all; those in the background share one timeout."""
        for writer in self.writers:
            if isinstance(writer, BackgroundWriter):
                writer.close()
        for writer in self.writers:
            writer.stop()


def choose_writers(train_cfg: Mapping[str, Any], *, will_open: bool) -> list[WriterChoice]:
    """Find the writers that a training config names under ``logger``.

    It holds a name, a class path, a section with ``class_name``, or a list of these; None or an empty list is none.
    Beside a tracker, TensorBoard's event files are always written, as in RSL-RL: they remain when the tracker is not
    available.

    Args:
        train_cfg: the training config.
        will_open: whether they are going to be opened, so that packages and keys must exist.

    Raises:
        ValueError: if a name is unknown, a key is missing, or a writer is given twice.
        TypeError: if an argument is unknown, or something is not a name at all.
        ImportError: if a package is missing.
    """
    logger_cfg = train_cfg.get("logger", "tensorboard")
    sections = [] if logger_cfg is None else logger_cfg if isinstance(logger_cfg, (list, tuple)) else [logger_cfg]
    choices: list[WriterChoice] = []
    for section in sections:
        with at("logger"):
            choice = _choose(section, train_cfg)
        if any(choice.target is other.target and choice.arguments == other.arguments for other in choices):
            raise ValueError(f"The logger '{choice.name}' is twice in the list {logger_cfg!r}; remove one.")
        choices.append(choice)
    if any(choice.is_tracker for choice in choices) and not any(_is_tensorboard(choice) for choice in choices):
        choices.insert(0, _choose("tensorboard", train_cfg))
    for choice in choices:
        if will_open and choice.is_tracker:
            choice.target.check(**choice.arguments)  # type: ignore[attr-defined]
    return choices


def open_writers(choices: Sequence[WriterChoice], log_dir: Path) -> LogWriter | None:
    """Construct the writers and wait for those in the background, as long as each may take to open.

    TensorBoard's is called directly: nothing of a local file may be dropped. All others, also custom ones,
    are called in the background.

    Raises:
        OSError: if TensorBoard's files cannot be created.
    """
    writers: list[LogWriter] = []
    began = time.monotonic()
    for choice in sorted(choices, key=lambda choice: not _is_tensorboard(choice)):
        if _is_tensorboard(choice):
            writers.append(GuardedWriter(construct(choice.target, choice.arguments, log_dir), choice.name))
        else:
            writers.append(_in_background(choice, log_dir))
    for writer in writers:
        if isinstance(writer, BackgroundWriter):
            writer.wait_until_open(began)
    return None if not writers else writers[0] if len(writers) == 1 else Writers(writers)


def logger_type(choices: Sequence[WriterChoice]) -> str | None:
    """Return one name for all writers, as in RSL-RL 5.4.2: the first that is not TensorBoard's, if there is one."""
    names = [choice.name for choice in sorted(choices, key=_is_tensorboard)]
    return names[0] if names else None


def _in_background(choice: WriterChoice, log_dir: Path) -> BackgroundWriter:
    arguments = dict(choice.arguments)
    if choice.is_tracker and "stop_timeout" in choice.background:
        arguments["stop_timeout"] = choice.background["stop_timeout"]
    options: dict[str, Any] = dict(choice.background)
    return BackgroundWriter(lambda: construct(choice.target, arguments, log_dir), choice.name, **options)


def _choose(section: Any, train_cfg: Mapping[str, Any]) -> WriterChoice:
    target, arguments = read_section(section)
    given = section["class_name"] if isinstance(section, Mapping) else section
    name = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    background = _background_options(arguments.pop("background", None), name)
    if isinstance(target, type) and issubclass(target, TrackerWriter):
        arguments = {**target.arguments_from(train_cfg), **arguments}
    try:
        inspect.signature(target).bind(log_dir="", **arguments)
    except TypeError as error:
        known = [parameter for parameter in inspect.signature(target).parameters if parameter != "log_dir"]
        raise TypeError(
            f"The log writer '{name}' cannot be created from the keys {sorted(arguments)}: {error}. Its arguments "
            f"beside log_dir: {', '.join(known) or 'none'}."
        ) from error
    return WriterChoice(name, target, arguments, background)


def _background_options(options: Any, name: str) -> dict[str, float]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(
            f"'background' of the logger '{name}' is a section with {', '.join(_BACKGROUND)}; got {options!r}."
        )
    for key, value in options.items():
        if key not in _BACKGROUND:
            raise ValueError(
                f"Unknown key '{key}' in 'background' of the logger '{name}'. Allowed: {', '.join(_BACKGROUND)}."
                f"{nearest(str(key), _BACKGROUND)}"
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ValueError(f"'{key}' in 'background' of the logger '{name}' is a number above zero; got {value!r}.")
    return dict(options)


def _is_tensorboard(choice: WriterChoice) -> bool:
    return choice.target is TensorboardLogWriter
