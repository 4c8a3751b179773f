"""What happens when a number stops being finite.

A compiled program cannot raise, so it reports: metrics under ``NonFinite/`` count what went wrong, by name, and the
parameters stay those of the last good iteration. The runner turns the report into an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rsl_jax.types import Array, Metrics

PREFIX = "NonFinite/"


def non_finite(arrays: Mapping[str, Array]) -> Metrics:
    """How many elements of each array are NaN or infinite, as metrics ``NonFinite/<name>``, each ``[]``."""
    return {f"{PREFIX}{name}": jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for name, x in arrays.items()}


def keep_if_finite(new: Any, old: Any, metrics: Metrics) -> Any:
    """``new`` where all reports of ``metrics`` are zero, ``old`` otherwise; two pytrees of the same structure.

    Raises:
        AssertionError: if leaves of the two have different shapes or dtypes.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(new, old, custom_message="the new and the old to keep")
    finite = sum((count for name, count in metrics.items() if name.startswith(PREFIX)), jnp.zeros((), jnp.int32)) == 0
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
