"""Writer of TensorBoard event files."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsl_jax.logging.writer import LogWriter, config_as_json

_LARGEST_BACKLOG = 64 * 1024**2


class TensorboardLogWriter(LogWriter):
    """Writer of TensorBoard event files, which :func:`rsl_jax.logging.read_scalars` reads.

    Events are collected in memory and appended to the file in one piece, without the queue and thread of
    ``tensorboardX.SummaryWriter``, which cost nine times as much processor time. Where the file cannot be written (the
    disk is full) they stay in memory and are tried again; the file always consists of whole records.
    """

    def __init__(self, log_dir: str | os.PathLike[str], *, flush_secs: float = 10.0) -> None:
        """Open a new event file.

        Args:
            log_dir: folder of the run, created if it is missing.
            flush_secs: maximum time in seconds before a scalar is on disk; a checkpoint does not wait
                for it (:meth:`flush` is called before).
        """
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        # Microseconds and process in the name: two writers of one second must not overwrite each other's file.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file: int | None = os.open(Path(log_dir, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._pending = bytearray()
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

    def flush(self) -> None:
        """Append pending events to the file.

        Raises:
            OSError: if that fails; what is not written stays pending.
        """
        self._flushed_at = time.monotonic()  # also where it fails, so that it is not tried again at every scalar
        while self._pending and self._file is not None:
            written = os.write(self._file, self._pending)
            del self._pending[:written]

    def stop(self) -> None:
        """Flush and close the file; a second call does nothing."""
        if self._file is not None:
            try:
                self.flush()
                os.fsync(self._file)
            finally:
                os.close(self._file)
                self._file = None

    def _write(self, **fields: Any) -> None:
        from tensorboardX.proto.event_pb2 import (
            Event,
        )  # imports torch where it is installed, so not before it is needed

        if self._file is None:
            raise ValueError("This TensorBoard writer has been stopped; create a new one to write more.")
        if len(self._pending) < _LARGEST_BACKLOG:
            self._pending += _record(Event(wall_time=time.time(), **fields).SerializeToString())
        if time.monotonic() - self._flushed_at >= self._flush_secs:
            self.flush()


def _record(data: bytes) -> bytes:
    """Encode an event as TensorFlow's TFRecord: length, its checksum, the event, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
