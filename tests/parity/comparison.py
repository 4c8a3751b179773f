"""What both the recorded and the live comparison share: loading, tolerances, and our side of the update."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

DTYPES = ("float64", "float32")
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
DATA = Path(__file__).parent / "data"


@functools.cache
def load(name: str, dtype: str) -> Arrays:
    """A recording of ``generate.py``."""
    with np.load(DATA / f"{name}_{dtype}.npz") as file:
        return dict(file)


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays under ``prefix/``, without it."""
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}


def assert_close(actual: Any, expected: Any, dtype: str, what: str) -> None:
    """Hold ``||actual - expected||`` to the tolerance of the type times ``||expected||``.

    Raises:
        AssertionError: says how far they are apart, and where most.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, the reference has {expected.shape}"
    if np.issubdtype(expected.dtype, np.floating):
        assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, the reference has {expected.dtype}"
    assert np.all(np.isfinite(actual)), f"{what} is not finite: {actual}"
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    distance, norm = np.linalg.norm(difference), np.linalg.norm(expected.astype(np.float64))
    if distance > TOLERANCES[dtype] * norm:
        worst = np.unravel_index(np.argmax(difference), difference.shape) if difference.ndim else ()
        raise AssertionError(
            f"{what}: apart by {distance / max(norm, 1e-300):.2e} of its norm, allowed are {TOLERANCES[dtype]:.0e}; most at "
            f"{tuple(map(int, worst))}: {actual[worst]!r} against {expected[worst]!r}"
        )
