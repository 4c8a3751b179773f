"""Conversion between gymnasium's spaces and observation groups or actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rsl_jax.env.extras import import_extra

Groups = dict[str, np.ndarray]
"""Observation groups by name, leaves ``[N, ...]``."""


def action_converter(space: Any, num_envs: int) -> tuple[int, bool, Callable[[Any], np.ndarray]]:
    """Return a function from actions ``[N, A]`` (``[N]`` or ``[N, 1]`` where discrete) to a space's, clipped to bounds.

    Args:
        space: action space of one environment.
        num_envs: size of the batch, ``N``.

    Returns:
        the size of an action (or the number of discrete actions), whether actions are discrete, and the function.

    Raises:
        ValueError: for a space that is neither a Box nor Discrete.
    """
    spaces = import_extra("gymnasium", "gymnasium").spaces
    if not isinstance(space, spaces.Discrete | spaces.Box):
        raise ValueError(f"Actions are {space}; a Discrete or a Box is needed.")
    discrete = isinstance(space, spaces.Discrete)
    size = int(space.n) if discrete else int(np.prod(space.shape))
    allowed = ((num_envs,), (num_envs, 1)) if discrete else ((num_envs, size),)

    def convert(actions: Any) -> np.ndarray:
        actions = np.asarray(actions)
        if actions.shape not in allowed:
            shapes = " or ".join(str(list(shape)) for shape in allowed)
            raise ValueError(f"Actions must have the shape {shapes}, but have {list(actions.shape)}.")
        if discrete:
            return actions.reshape(num_envs).astype(space.dtype) + space.start
        return np.clip(actions.reshape(num_envs, *space.shape), space.low, space.high).astype(space.dtype)

    return size, discrete, convert


def observation_converter(space: Any, *, flatten: bool = False) -> Callable[[Any], Groups]:
    """Return a function from batches of a space to observation groups; it copies, as simulators may overwrite theirs.

    Args:
        space: observation space of one environment.
        flatten: whether images are flattened to vectors too.

    Raises:
        ValueError: for a space that is neither a Box, Discrete, MultiBinary nor a Dict of them.
    """
    spaces = import_extra("gymnasium", "gymnasium").spaces
    members = dict(space.spaces) if isinstance(space, spaces.Dict) else {"policy": space}
    converters = {name: _group_converter(spaces, name, member, flatten) for name, member in members.items()}
    if isinstance(space, spaces.Dict):
        return lambda observations: {name: convert(observations[name]) for name, convert in converters.items()}
    return lambda observations: {"policy": converters["policy"](observations)}


def _group_converter(spaces: Any, name: str, space: Any, flatten: bool) -> Callable[[np.ndarray], np.ndarray]:
    if isinstance(space, spaces.Discrete):
        identity = np.eye(int(space.n), dtype=np.float32)
        return lambda x: identity[np.asarray(x) - space.start]
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise ValueError(
            f"The observation group {name!r} is {space}; a Box, Discrete or MultiBinary is needed. "
            "gymnasium.wrappers.FlattenObservation makes one Box of anything."
        )
    dtype = space.dtype if np.issubdtype(space.dtype, np.floating) else np.float32
    if len(space.shape) != 3 or flatten:
        return lambda x: np.array(x, dtype).reshape(len(x), -1)
    channels_last = space.shape[-1] <= space.shape[0]
    # Bytes stay bytes to save memory (a quarter of float32); an encoder divides them by 255.
    dtype = space.dtype if space.dtype == np.uint8 else dtype
    return lambda x: np.array(np.moveaxis(x, -1, 1) if channels_last else x, dtype, order="C")
