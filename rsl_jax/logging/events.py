"""Reading of the scalars of TensorBoard event files, without TensorFlow or TensorBoard."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event

_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4


class Curve(NamedTuple):
    """Scalar over a run.

    Attributes:
        steps: iterations in rising order, int64 ``[K]``.
        values: float64 ``[K]``.
    """

    steps: np.ndarray
    values: np.ndarray


def read_scalars(log_dir: str | os.PathLike[str]) -> dict[str, Curve]:
    """Read all scalars of the event files directly in ``log_dir``, by tag.

    If a run went back to an earlier iteration (resumed from a checkpoint), scalars logged beyond that are
    event file that is still being written, or was cut short, is read as far as it is complete.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(Path(log_dir).glob("*tfevents*")):
        for event in _events(path):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curve = points.setdefault(value.tag, [])
                    while curve and curve[-1][0] >= event.step:
                        curve.pop()
                    curve.append((event.step, value.simple_value))
    return {tag: Curve(*map(np.array, zip(*curve, strict=True))) for tag, curve in points.items()}


def _events(path: Path) -> Iterator[Event]:
    """Read the events of one TFRecord file. A record is: length, its checksum, the event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event  # imports torch where it is installed, so not before it is needed

    data = path.read_bytes()
    position = 0
    while position + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        start = position + _LENGTH.size + _CHECKSUM_BYTES
        position = start + length + _CHECKSUM_BYTES
        if position > len(data):
            return
        yield Event.FromString(data[start : start + length])


def iteration_times(scalars: dict[str, Curve]) -> Curve | None:
    """Compute the seconds of each iteration from the ``Perf/`` scalars of rsl_jax or RSL-RL; None without them."""
    if "Perf/iteration_time" in scalars:
        return scalars["Perf/iteration_time"]
    collection, learning = scalars.get("Perf/collection_time"), scalars.get("Perf/learning_time")
    if collection is None or learning is None:
        return None
    steps, at_collection, at_learning = np.intersect1d(collection.steps, learning.steps, return_indices=True)
    return Curve(steps, collection.values[at_collection] + learning.values[at_learning])
