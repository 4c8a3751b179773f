"""The interface of log writers, and their construction from a config."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rsl_jax.plain import to_plain
from rsl_jax.registry import resolve_part

OPTIONAL = ("add_iteration", "flush")
"""Optional methods of a writer."""

TIMED_TAGS = ("Train/mean_reward", "Train/mean_episode_length")
"""Tags that are logged a second time, as ``<tag>/time``, over the elapsed seconds."""


class LogWriter:
    """Interface of log writers, one per service. Subclasses must implement :meth:`add_scalar`; the rest is optional.

    The methods are those of RSL-RL's writers, so that one written for it works here too; :meth:`add_iteration` and
    :meth:`flush` are additional and optional. All of them, and the constructor, are called from one thread, which is
    not the training's.
    """

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Log one scalar.

        Args:
            tag: name of the scalar, e.g. ``"Loss/value"``.
            value: a finite or infinite number; missing values (NaN) are never passed.
            global_step: the iteration; elapsed whole seconds for tags that end in ``/time``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement add_scalar(tag, value, global_step).")

    def add_iteration(self, scalars: Mapping[str, float], it: int, seconds: int) -> None:
        """Log all scalars of an iteration; by default one after the other, through :meth:`add_scalar`.

        Args:
            scalars: numbers by tag, without missing values.
            it: the iteration.
            seconds: elapsed whole seconds, over which some are logged a second time (:func:`scalars_one_by_one`).
        """
        for call in scalars_one_by_one(scalars, it, seconds):
            self.add_scalar(*call)

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Save the configs of the environment and the training; called once, when training starts."""

    def save_model(self, path: str, it: int) -> None:
        """Save the checkpoint at ``path``, a file or a folder, written after iteration ``it``."""

    def save_file(self, path: str) -> None:
        """Save the file at ``path``."""

    def save_video(self, path: Path, it: int) -> None:
        """Save the video at ``path``; called once for each that appears in the folder of the run."""

    def flush(self) -> None:
        """Write pending data; called before each checkpoint, so that the log is complete up to it."""

    def stop(self) -> None:
        """Write pending data and release all resources."""


_REQUIRED = [name for name in vars(LogWriter) if not name.startswith("_") and name not in OPTIONAL]


def scalars_one_by_one(scalars: Mapping[str, float], it: int, seconds: int) -> Iterator[tuple[str, float, int]]:
    """Yield the arguments of :meth:`LogWriter.add_scalar` for an iteration: tag, value and step."""
    for tag, value in scalars.items():
        yield tag, value, it
        if tag in TIMED_TAGS:
            yield f"{tag}/time", value, seconds


def config_as_json(cfg: object) -> str:
    """Convert a config to readable JSON, whatever it consists of: mappings, dataclasses, objects with ``to_dict()``.

    Values that JSON does not support become text: functions and classes by name, others as their ``str()``.
    """
    try:
        return json.dumps(to_plain(cfg), indent=2)
    except (ValueError, RecursionError):  # a config that contains itself
        return repr(cfg)


def config_as_plain(cfg: object) -> Any:
    """Convert a config to dicts, lists and scalars, whatever it consists of."""
    text = config_as_json(cfg)
    try:
        return json.loads(text)
    except ValueError:
        return {"repr": text}


def read_section(
    logger_cfg: str | Callable[..., Any] | Mapping[str, Any],
) -> tuple[Callable[..., LogWriter], dict[str, Any]]:
    """Find the writer that a config's section names, and the arguments beside the name.

    Args:
        logger_cfg: a name in :data:`rsl_jax.registry.PARTS`, a class path ``"module:Attr"``, a class or function, or a
            mapping with one of these under ``class_name`` and the writer's keyword arguments beside it.

    Raises:
        ValueError: if the name is unknown or ``class_name`` is missing.
        TypeError: if it is none of these, or a class that lacks a method of :class:`LogWriter`.
        ImportError: if a class path leads nowhere.
    """
    kwargs = dict(logger_cfg) if isinstance(logger_cfg, Mapping) else {"class_name": logger_cfg}
    if "class_name" not in kwargs:
        raise ValueError(
            f"A logger given as a mapping names its writer under 'class_name'; got only the keys {sorted(kwargs)}. "
            "Write for example {'class_name': 'tensorboard'}."
        )
    target = resolve_part(kwargs.pop("class_name"), "logger", called="log writer")
    if isinstance(target, type):
        _require_methods(target, target.__name__)
    return target, kwargs


def make_writer(logger_cfg: str | Callable[..., Any] | Mapping[str, Any], log_dir: str | os.PathLike[str]) -> LogWriter:
    """Construct the writer that a config's section describes, unwrapped: its errors are raised, its calls block.

    Args:
        logger_cfg: see :func:`read_section`, which also says what is raised.
        log_dir: folder of the run, passed to the writer as ``log_dir``.
    """
    target, kwargs = read_section(logger_cfg)
    return construct(target, kwargs, log_dir)


def construct(
    target: Callable[..., LogWriter], kwargs: Mapping[str, Any], log_dir: str | os.PathLike[str]
) -> LogWriter:
    """Call the constructor of a writer.

    Raises:
        TypeError: if its result lacks a method of :class:`LogWriter`.
    """
    writer = target(log_dir=str(log_dir), **kwargs)
    _require_methods(writer, type(writer).__name__)
    return writer


def _require_methods(writer: object, name: str) -> None:
    missing = [method for method in _REQUIRED if not callable(getattr(writer, method, None))]
    if missing:
        raise TypeError(
            f"The log writer {name} lacks {', '.join(missing)}. Derive it from "
            "rsl_jax.logging.LogWriter, which does nothing where a method is not overridden."
        )
