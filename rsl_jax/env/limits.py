"""Time limits in steps, of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

from rsl_jax.env.arrays import to_numpy

LARGEST = int(np.iinfo(np.int32).max)
"""The largest time limit, to which larger ones are clamped: steps are counted in 32 bits."""


def step_limit(limit: Any) -> Any:
    """Convert a time limit to int32; simulators without one use large numbers such as 5e10 steps, or infinity.

    Args:
        limit: a number of steps or an array of them, of any library; None for no limit.

    Returns:
        an int for a number, int32 for an array, None for None.

    Raises:
        ValueError: if it is not a number of steps of at least 1.
    """
    if limit is None:
        return None
    try:
        steps = np.ceil(to_numpy(limit).astype(np.float64))
    except (TypeError, ValueError):
        steps = np.asarray(np.nan)
    if not np.all(steps >= 1):
        raise ValueError(
            f"max_episode_length is {limit!r}; it must be a number of steps of at least 1, one for all or one for each "
            "environment, or None for no limit."
        )
    clamped = np.minimum(steps, LARGEST).astype(np.int32)
    return clamped if clamped.ndim else int(clamped)
