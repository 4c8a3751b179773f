"""NaN and infinity in the metrics of a compiled run, which cannot stop or warn by itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from rsl_jax.ops.guards import PREFIX, likeliest_first


class Failure(NamedTuple):
    """Record of a run in which numbers became NaN or infinite.

    Attributes:
        run: its index among those that were vectorised, ``(seed,)``; ``()`` for a single one.
        iteration: in which it first happened, counted from 0.
        names: which quantities contained NaN or infinity then, the likeliest cause first.
        skipped: total number of updates that were skipped because of it.
    """

    run: tuple[int, ...]
    iteration: int
    names: tuple[str, ...]
    skipped: int


def find_failures(metrics: Mapping[str, Any]) -> list[Failure]:
    """Find the runs in which numbers were NaN or infinite.

    Args:
        metrics: what :func:`make_train` returned, each ``[..., num_iterations]``: whatever axes ``vmap`` put in front.
    """
    reports = {name: np.asarray(x) for name, x in metrics.items() if name.startswith(PREFIX)}
    if not reports:
        return []
    counts = np.stack(list(jax.device_get(reports).values()))  # [names, ..., num_iterations]
    failed, failures = np.any(counts > 0, axis=0), []
    for run in np.argwhere(np.any(failed, axis=-1)):
        row = failed[tuple(run)]
        first = int(np.argmax(row))
        names = [name for name, x in reports.items() if x[(*run, first)] > 0]
        ordered = likeliest_first(name.removeprefix(PREFIX) for name in names)
        failures.append(Failure(tuple(int(i) for i in run), first, tuple(ordered), int(np.sum(row))))
    return failures


def warn_of_failures(metrics: Mapping[str, Any]) -> list[Failure]:
    """Find the runs in which numbers were NaN or infinite, and warn of them, if there are any.

    Args:
        metrics: what :func:`make_train` returned, each ``[..., num_iterations]``.
    """
    failures = find_failures(metrics)
    if failures:
        texts = [
            f"run {', '.join(map(str, run)) or 'itself'}: {', '.join(names)} in iteration {iteration} "
            f"({skipped} {'update' if skipped == 1 else 'updates'} skipped)"
            for run, iteration, names, skipped in failures[:8]
        ]
        more = f"; and {len(failures) - 8} more runs" if len(failures) > 8 else ""
        warnings.warn(
            f"NaN or infinity, whose updates were discarded: {'; '.join(texts)}{more}. The training state "
            "stayed as it was before each of these updates.",
            stacklevel=2,
        )
    return failures
