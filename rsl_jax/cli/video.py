"""Filming an environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.cli.output import CommandError
from rsl_jax.runners.film import FORMATS, film_writer, frame_rate

LONGEST = 60.0
"""Seconds of film at most."""

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
    with film_writer(path, frames_per_second) as append:
        yield _Camera(env, append, first, every=every, most=int(LONGEST * frames_per_second)).on_step


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
