"""Image observations for environments that have none: drawn in JAX, so that training stays one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple

import jax.numpy as jnp
import numpy as np

from rsl_jax.env.base import SingleEnv, State, Transition
from rsl_jax.env.wrappers import Wrapper
from rsl_jax.types import Array, Key, Observations


class Filmed(NamedTuple, Generic[State]):
    """State of an environment with a camera.

    Attributes:
        env: state of the environment itself.
        frames: the last images, the newest last, ``[frames * C, H, W]``.
    """

    env: State
    frames: Array


class WithCamera(Wrapper, Generic[State]):
    """Single environment whose observations also include camera images.

    The environment's own observations stay, so that a critic (or a teacher) may use the state while the actor
    (or the student) sees only the images.

    """

    def __init__(self, env: SingleEnv[Any], draw: Callable[[Any], Array], *, frames: int = 1, group: str = "camera"):
        """Add a camera to an environment.

        Args:
            env: single environment.
            draw: ``(state of the environment) -> image [C, H, W]``, a pure function.
            frames: how many images to observe, the newest last; with two of them velocities can be seen. An episode
                starts with copies of its first one.
            group: name of the observation group, ``[frames * C, H, W]``.
        """
        if frames < 1:
            raise ValueError(f"frames is {frames}, but must be at least 1.")
        super().__init__(env)
        self._draw, self._frames, self._group = draw, frames, group

    @property
    def env(self) -> Any:
        """The environment itself."""
        return self.inner

    def reset(self, key: Key) -> tuple[Filmed[Any], Observations]:
        """Start an episode; returns the state and the first observations."""
        env, observations = self.inner.reset(key)
        state = Filmed(env, jnp.concatenate([self._draw(env)] * self._frames))
        return state, self._observe(observations, state)

    def step(self, state: Filmed[Any], action: Array) -> tuple[Filmed[Any], Transition]:
        """Apply an action ``[A]``."""
        env, transition = self.inner.step(state.env, action)
        image = self._draw(env)
        state = Filmed(env, jnp.concatenate([state.frames[image.shape[0] :], image]))
        return state, transition._replace(observations=self._observe(transition.observations, state))

    def render(self, state: Filmed[Any]) -> np.ndarray:
        """Return the current camera image, enlarged, uint8 ``[H, W, 3]``."""
        image = np.asarray(self._draw(state.env))
        grey = np.round(255 * np.clip(image.mean(0), 0, 1)).astype(np.uint8)
        return np.repeat(np.kron(grey, np.ones((8, 8), np.uint8))[..., None], 3, axis=-1)

    def _observe(self, observations: Array | Observations, state: Filmed[Any]) -> Observations:
        groups = observations if isinstance(observations, Mapping) else {"policy": observations}
        if self._group in groups:
            raise ValueError(
                f"The environment already has an observation group '{self._group}'; give another name with group=..."
            )
        return {**groups, self._group: state.frames}


def draw_segments(
    starts: Array, ends: Array, *, size: tuple[int, int], radius: float = 0.1, extent: float = 1.25
) -> Array:
    """Draw lines with round ends, white on black, their edges smoothed over a pixel.

    Args:
        starts: where the lines start, ``(x, y)``, ``[lines, 2]``; x to the right and y upwards.
        ends: where they end, ``[lines, 2]``.
        size: height and width of the image in pixels.
        radius: half the lines' width.
        extent: the image shows y from ``-extent`` to ``extent``, and x as far as its width allows.

    Returns:
        the image ``[1, H, W]``, 0 to 1.
    """
    height, width = size
    pixel = 2 * extent / height
    rows = extent - pixel * (jnp.arange(height, dtype=starts.dtype) + 0.5)
    columns = pixel * (jnp.arange(width, dtype=starts.dtype) + 0.5 - width / 2)
    points = jnp.stack(jnp.meshgrid(columns, rows), axis=-1)[None]  # [1, H, W, 2]
    starts, along = starts[:, None, None], (ends - starts)[:, None, None]
    length_squared = jnp.maximum(jnp.sum(jnp.square(along), -1), 1e-12)
    nearest = jnp.clip(jnp.sum((points - starts) * along, -1) / length_squared, 0, 1)
    squares = jnp.sum(jnp.square(points - starts - nearest[..., None] * along), -1)
    distance = jnp.sqrt(jnp.maximum(squares, 1e-12))  # the square root has no derivative at 0
    return jnp.max(jnp.clip((radius - distance) / pixel + 0.5, 0, 1), axis=0, keepdims=True)
