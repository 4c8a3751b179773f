"""Statistics of learning curves over runs."""

from __future__ import annotations

import numpy as np

SCORE = "Train/mean_reward"
"""Tag by which runs are ranked by default."""

POINTS = 100
"""Number of points on the x axis of a plot at which bands are computed."""

RESAMPLES = 2000
"""Number of resamples of a bootstrap."""

CONFIDENCE = 0.95


def interquartile_mean(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the interquartile mean, and the bounds of its 95 % percentile bootstrap over runs.

    A sweep has a single task, so the stratified bootstrap of the paper has one stratum. NaN is ignored; a column with
    only NaN is NaN.

    Args:
        rows: ``[runs, K]``.

    Returns:
        mean, lower and upper bound, each ``[K]``.

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
    """
    from scipy.stats import trim_mean

    result = np.full((3, rows.shape[1]), np.nan)
    generator = np.random.default_rng(0)
    for column in range(rows.shape[1]):
        values = rows[~np.isnan(rows[:, column]), column]
        if not len(values):
            continue
        result[0, column] = trim_mean(values, 0.25)
        drawn = values[generator.integers(0, len(values), (RESAMPLES, len(values)))]
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        result[1:, column] = np.quantile(trim_mean(drawn, 0.25, axis=1), tails)
    return result[0], result[1], result[2]


def thinned(curves: np.ndarray, steps_per_iteration: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most :data:`POINTS` points: steps ``[K]`` and values ``[runs, K]``, without points that are all NaN."""
    there = np.flatnonzero(~np.isnan(curves).all(0))
    chosen = there[np.unique(np.linspace(0, len(there) - 1, min(len(there), POINTS)).round().astype(int))]
    return (chosen + 1) * steps_per_iteration, curves[:, chosen]


def latest(rows: np.ndarray) -> np.ndarray:
    """Return the last value of each run that is not NaN, ``[runs]``; NaN if there is none.

    Args:
        rows: ``[runs, K]``.
    """
    there = ~np.isnan(rows)
    last = rows.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    return np.where(there.any(1), rows[np.arange(len(rows)), last], np.nan)


def mean_of_last(rows: np.ndarray, last: int) -> np.ndarray:
    """Compute the mean of each run's last values, ``[runs]``, ignoring NaN.

    If all of these are NaN (evaluations are further apart), it is the latest value; NaN if there is none at all.

    Args:
        rows: ``[runs, K]``.
        last: number of values to average.
    """
    tail = rows[:, -last:]
    there = ~np.isnan(tail)
    means = np.where(there, tail, 0).sum(1) / np.maximum(there.sum(1), 1)
    return np.where(there.any(1), means, latest(rows))
