"""Where scalars go: the writer interface, the TensorBoard writer, and how a config names one."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsl_jax.plain import to_plain
from rsl_jax.registry import resolve_callable

if TYPE_CHECKING:
    from tensorboardX import RecordWriter


class LogWriter:
    """Sends what a run logs to one service. A subclass must implement :meth:`add_scalar`; the rest may stay silent.

    The methods are those of RSL-RL's writers, so that one written for it works here too.
    """

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Log one scalar.

        Args:
            tag: what it is, e.g. ``"Loss/value"``.
            value: a finite or infinite number; missing values (NaN) never get here.
            global_step: the iteration; elapsed whole seconds for tags that end in ``/time``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement add_scalar(tag, value, global_step).")

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Keep the configs of the environment and the training; called once, when training starts."""

    def save_model(self, path: str, it: int) -> None:
        """Keep the checkpoint at ``path``, saved after iteration ``it``."""

    def save_file(self, path: str) -> None:
        """Keep the file at ``path``."""

    def save_video(self, path: Path, it: int) -> None:
        """Keep the video at ``path``; called once for each that appears in the folder of the run."""

    def stop(self) -> None:
        """Write out what is pending and let go of all resources."""


class TensorboardLogWriter(LogWriter):
    """Writes TensorBoard event files, which :func:`rsl_jax.logging.read_scalars` reads back.

    Events are written where they arise, without the queue and thread of ``tensorboardX.SummaryWriter``, which cost nine
    times as much processor time.
    """

    def __init__(self, log_dir: str | os.PathLike[str], *, flush_secs: float = 10.0) -> None:
        """Open a new event file.

        Args:
            log_dir: folder of the run, created where it is missing.
            flush_secs: longest time in seconds that a scalar may wait before it is on disk.
        """
        from tensorboardX import RecordWriter  # imports torch where it is installed, so not before it is needed

        Path(log_dir).mkdir(parents=True, exist_ok=True)
        # Microseconds and process in the name: two writers of one second must not overwrite each other's file.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file: RecordWriter | None = RecordWriter(str(Path(log_dir, name)))
        self._flush_secs = flush_secs
        self._flushed_at = time.monotonic()
        self._write(file_version="brain.Event:2")

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Append the scalar to the event file."""
        self._write(step=global_step, summary={"value": [{"tag": tag, "simple_value": value}]})

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Show both configs on TensorBoard's text page."""
        from tensorboardX.summary import text

        for tag, cfg in (("Config/train", train_cfg), ("Config/environment", env_cfg)):
            self._write(summary=text(tag, f"```json\n{config_as_json(cfg)}\n```"))

    def stop(self) -> None:
        """Write out what is pending and close the file; a second call does nothing."""
        if self._file is not None:
            self._file.flush()
            self._file.close()
            self._file = None

    def _write(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        if self._file is None:
            raise ValueError("This TensorBoard writer has been stopped; make a new one to write more.")
        self._file.write(Event(wall_time=time.time(), **fields).SerializeToString())
        if time.monotonic() - self._flushed_at >= self._flush_secs:
            self._file.flush()
            self._flushed_at = time.monotonic()


def config_as_json(cfg: object) -> str:
    """A config as readable JSON, whatever it is made of: mappings, dataclasses, objects with ``to_dict()``.

    Values that JSON does not know stand as text: functions and classes by name, others as their ``str()``.
    """
    try:
        return json.dumps(to_plain(cfg), indent=2)
    except (ValueError, RecursionError):  # a config that contains itself
        return repr(cfg)


def _not_yet(service: str, extra: str) -> Callable[..., LogWriter]:
    """A table entry for a writer that is planned."""

    def refuse(**kwargs: object) -> LogWriter:
        raise NotImplementedError(
            f"The writer for {service} is not part of this version; it will come with the extra 'rsl-jax[{extra}]'. "
            "Until then choose logger='tensorboard', or a writer of your own: logger={'class_name': "
            "'my_module:MyWriter'} (a subclass of rsl_jax.logging.LogWriter)."
        )

    return refuse


WRITERS: dict[str, Callable[..., LogWriter]] = {
    "tensorboard": TensorboardLogWriter,
    "TensorboardLogWriter": TensorboardLogWriter,
    "wandb": _not_yet("Weights & Biases", "wandb"),
    "WandbLogWriter": _not_yet("Weights & Biases", "wandb"),
    "neptune": _not_yet("Neptune", "neptune"),
    "NeptuneLogWriter": _not_yet("Neptune", "neptune"),
}
"""Writers by the name a config may use; a new one is one line here."""


def make_writer(logger_cfg: str | Callable | Mapping[str, Any], log_dir: str | os.PathLike[str]) -> LogWriter:
    """Make the writer that the config key ``logger`` describes.

    Args:
        logger_cfg: a name of :data:`WRITERS`, a class path ``"module:Attr"``, a class or function, or a mapping with
            one of these under ``class_name`` and the writer's keyword arguments beside it.
        log_dir: folder of the run, handed to the writer as ``log_dir``.

    Raises:
        ValueError: if the name is unknown or ``class_name`` is missing.
        TypeError: if what was made lacks a method of :class:`LogWriter`.
        NotImplementedError: if the writer is planned for a later version.
    """
    kwargs = dict(logger_cfg) if isinstance(logger_cfg, Mapping) else {"class_name": logger_cfg}
    if "class_name" not in kwargs:
        raise ValueError(
            f"A logger given as a mapping names its writer under 'class_name'; got only the keys {sorted(kwargs)}. "
            "Write for example {'class_name': 'tensorboard'}."
        )
    writer = resolve_callable(kwargs.pop("class_name"), WRITERS, "log writer")(log_dir=str(log_dir), **kwargs)
    methods = [name for name in vars(LogWriter) if not name.startswith("_")]
    missing = [name for name in methods if not callable(getattr(writer, name, None))]
    if missing:
        raise TypeError(
            f"The log writer {type(writer).__name__} lacks {', '.join(missing)}. Derive it from "
            "rsl_jax.logging.LogWriter, which does nothing where a method is not overridden."
        )
    return writer
