"""Recording of videos of an environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.cli.output import CommandError
from rsl_jax.runners.film import FORMATS, film_writer, frame_rate

LONGEST = 60.0
"""Maximum duration of a video in seconds."""

_CANNOT = "No video of this environment can be recorded: {reason}\nRemove --video to play without one."


@contextlib.contextmanager
def filming(env: Any, path: Path | None) -> Iterator[Callable[[], None]]:
    """Record a video of the first environment, in real time if the duration of a step is known.

    The file gets its name when it is complete; after an error it is removed.

    Args:
        env: an environment with ``render()``.
        path: the video file; None for no video.

    Returns:
        a function to call after each step.

    Raises:
        CommandError: if the environment cannot be rendered here, or the file type is not supported.
    """
    if path is None:
        yield lambda: None
        return
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"A video file must end in {' or '.join(FORMATS)}; got '{path}'.")
    first = picture(env)
    every, frames_per_second = frame_rate(getattr(env, "step_dt", None))
    with film_writer(path, frames_per_second) as append:
        yield _Camera(env, append, first, every=every, most=int(LONGEST * frames_per_second)).on_step


def picture(env: Any) -> np.ndarray:
    """Render the first environment, uint8 ``[H, W, 3]``.

    Raises:
        CommandError: if it cannot be rendered here; says why.
    """
    if not hasattr(env, "render"):
        raise CommandError(_CANNOT.format(reason="It has no method render()."), status=1)
    try:
        return env.render()
    except (NotImplementedError, ImportError, RuntimeError) as error:
        raise CommandError(_CANNOT.format(reason=error), status=1) from error


class _Camera:
    """Records a frame every few steps."""

    def __init__(self, env: Any, append: Callable[[np.ndarray], None], first: np.ndarray, *, every: int, most: int):
        self._env, self._append, self._every, self._most = env, append, every, most
        self._steps, self._frames = 0, 1
        append(first)

    def on_step(self) -> None:
        self._steps += 1
        if self._steps % self._every == 0 and self._frames < self._most:
            self._append(self._env.render())
            self._frames += 1
