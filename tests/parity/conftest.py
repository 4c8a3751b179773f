"""Fixtures: both precisions, and the recordings."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

from .comparison import DTYPES


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test in float64, with JAX's 64-bit types on, and again in float32."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
