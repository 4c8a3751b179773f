"""Videos of environments."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOST_FRAMES_PER_SECOND = 50
"""Maximum frame rate; GIFs cannot show more."""

FRAMES_PER_SECOND = 30
"""Frame rate if the duration of a step is unknown."""

FORMATS = (".mp4", ".gif")


def frame_rate(step_dt: float | None, *, most: float = MOST_FRAMES_PER_SECOND) -> tuple[int, float]:
    """Return the number of steps per frame, and the frames per second that show them in real time.

    Args:
        step_dt: seconds between two actions, or None if unknown.
        most: maximum number of frames per second.
    """
    if not step_dt:
        return 1, FRAMES_PER_SECOND
    every = max(1, int(np.ceil(1 / (step_dt * most) - 1e-6)))
    return every, 1 / (step_dt * every)


@contextlib.contextmanager
def film_writer(path: Path, frames_per_second: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a video file, which gets its name when it is complete; after an error it is removed.

    Args:
        path: the file, ``.mp4`` or ``.gif``.
        frames_per_second: speed at which it is shown.

    Returns:
        function that appends a frame, uint8 ``[H, W, 3]``.

    Raises:
        ImportError: if a package is missing; says how to install it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        with _writer(unfinished, frames_per_second) as append:
            yield append
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _writer(path: Path, frames_per_second: float) -> Iterator[Callable[[np.ndarray], None]]:
    from rsl_jax.env.extras import import_extra

    imageio = import_extra("imageio.v2", "playground")
    if path.suffix.lower() == ".gif":
        options: dict[str, Any] = {"duration": 1000 / frames_per_second, "loop": 0}
    else:
        import_extra("imageio_ffmpeg", "playground")
        options = {"fps": frames_per_second, "macro_block_size": 2, "ffmpeg_log_level": "error"}
    with imageio.get_writer(path, **options) as writer:

        def append(frame: np.ndarray) -> None:
            with warnings.catch_warnings():
                # The first frame starts ffmpeg as a process. That is no danger to JAX: it replaces the fork at once.
                warnings.filterwarnings("ignore", message=".*os.fork", category=RuntimeWarning)
                writer.append_data(frame)

        yield append
