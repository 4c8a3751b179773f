"""Progress of a compiled run, reported by callbacks into Python while it runs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from rsl_jax.types import Array, Metrics, Report, default_dtype

REPORTS = 100
"""Default number of reports of a run."""


ProgressCallback = Callable[[Report], Any]


class Reporter:
    """Function within a compiled run that calls back at regular intervals of iterations."""

    def __init__(
        self, callback: ProgressCallback, iterations: int, *, every: int | None, axis_name: str | None = None
    ) -> None:
        """Set up.

        Args:
            callback: called with each :class:`Report`.
            iterations: number of iterations of a run.
            every: number of iterations between two reports; a hundredth of all if None. The last one is reported, too.
            axis_name: mesh axis over which the environments are sharded, or None; only the first device reports.

        Raises:
            TypeError: if the callback is not callable, or ``every`` is not a whole number.
            ValueError: if ``every`` is below 1.
        """
        if not callable(callback):
            raise TypeError(f"progress must be a function of a report; got {type(callback).__name__}.")
        every = max(1, iterations // REPORTS) if every is None else every
        if isinstance(every, bool) or not isinstance(every, int):
            raise TypeError(f"report_every must be a whole number of iterations; got {every!r}.")
        if every < 1:
            raise ValueError(f"report_every must be at least 1; got {every}.")
        self._callback, self._iterations, self._every, self._axis_name = callback, iterations, every, axis_name
        self._failed_at: int | None = None

    def __call__(self, iteration: Array, metrics: Metrics) -> None:
        """Report, if it is due.

        Args:
            iteration: index of the iteration that has just finished, the same in all runs under ``vmap``.
            metrics: its metrics.
        """
        finished = iteration + 1
        due = (finished % self._every == 0) | (finished == self._iterations)
        if self._axis_name is not None:
            due &= jax.lax.axis_index(self._axis_name) == 0
        # One array, because each array is a transfer. Counts are small enough to be exact as floats.
        values = jnp.stack([x.astype(default_dtype()) for x in metrics.values()])
        report = _called_once(lambda done, rows: self._call(tuple(metrics), done, rows))
        jax.lax.cond(due, report, lambda *_: (), finished, values)

    def _call(self, tags: tuple[str, ...], finished: Any, values: Any) -> None:
        rows, iteration = np.asarray(values), int(finished)
        if self._failed_at is not None and iteration > self._failed_at:
            return  # of the same run
        self._failed_at = None
        try:
            self._callback(Report(iteration, self._iterations, {tag: rows[..., i] for i, tag in enumerate(tags)}))
        except Exception:
            self._give_up(iteration, "The progress callback failed, so it is not called again; the run continues:")
        except KeyboardInterrupt:
            if self._axis_name is None:
                raise  # which ends the run; with several devices, the others would wait for this one forever
            self._give_up(iteration, "A run on several devices cannot be interrupted, so it continues to its end:")

    def _give_up(self, iteration: int, message: str) -> None:
        self._failed_at = iteration
        print(message, traceback.format_exc(), sep="\n", file=sys.stderr, flush=True)


def _called_once(function: Callable[[Any, Any], None]) -> Callable[[Array, Array], tuple[()]]:
    """Return a traceable function that calls back once, also under ``vmap``: then with the values of all runs.

    ``jax.debug.callback`` alone would call once for each run.
    """

    @custom_vmap
    def call(finished: Array, values: Array) -> tuple[()]:
        jax.debug.callback(function, finished, values)
        return ()

    @call.def_vmap
    def call_for_all(axis_size: int, is_batched: Any, finished: Array, values: Array) -> Any:
        return call(finished, values), ()

    return call
