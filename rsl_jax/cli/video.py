"""Filming an environment."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.cli.output import CommandError

MOST_FRAMES_PER_SECOND = 50
"""More than what GIFs can show."""

FRAMES_PER_SECOND = 30
"""Where the environment does not say how long a step takes."""

LONGEST = 60.0
"""Seconds of film at most."""

FORMATS = (".mp4", ".gif")

_CANNOT = "This environment cannot be filmed: {reason}\nWithout --video it plays."


@contextlib.contextmanager
def filming(env: Any, path: Path | None) -> Iterator[Callable[[], None]]:
    """Film the first environment, in real time where it says how long a step takes.

    The film appears under its name once it is complete; one that is cut short by an error is removed.

    Args:
        env: an environment with ``render()``.
        path: the film; None for none.

    Returns:
        what is to be called after each step.

    Raises:
        CommandError: if the environment cannot be drawn here, or not to this kind of file.
    """
    if path is None:
        yield lambda: None
        return
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"Films are {' or '.join(FORMATS)}; '{path}' is neither.")
    first = picture(env)
    every, frames_per_second = frame_rate(getattr(env, "step_dt", None))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        with _writer(unfinished, frames_per_second) as append:
            yield _Camera(env, append, first, every=every, most=int(LONGEST * frames_per_second)).on_step
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def frame_rate(step_dt: float | None) -> tuple[int, float]:
    """Of how many steps one is filmed, and how many frames make a second."""
    if not step_dt:
        return 1, FRAMES_PER_SECOND
    every = max(1, int(np.ceil(1 / (step_dt * MOST_FRAMES_PER_SECOND) - 1e-6)))
    return every, 1 / (step_dt * every)


def picture(env: Any) -> np.ndarray:
    """A picture of the first environment, uint8 ``[H, W, 3]``.

    Raises:
        CommandError: if it cannot be drawn here; says why.
    """
    if not hasattr(env, "render"):
        raise CommandError(_CANNOT.format(reason="It has no method render()."), status=1)
    try:
        return env.render()
    except (NotImplementedError, ImportError, RuntimeError) as error:
        raise CommandError(_CANNOT.format(reason=error), status=1) from error


class _Camera:
    """Takes a picture every few steps."""

    def __init__(self, env: Any, append: Callable[[np.ndarray], None], first: np.ndarray, *, every: int, most: int):
        self._env, self._append, self._every, self._most = env, append, every, most
        self._steps, self._frames = 0, 1
        append(first)

    def on_step(self) -> None:
        self._steps += 1
        if self._steps % self._every == 0 and self._frames < self._most:
            self._append(self._env.render())
            self._frames += 1


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
