"""Detection of NaN and infinity.

A compiled program cannot raise, so it reports: metrics under ``NonFinite/`` count the affected elements by name, and
the training state stays as it was before the iteration. The runner turns the report into an error, or continues with
the next rollout.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rsl_jax.ops.gradients import flat, largest_entry
from rsl_jax.types import Array, Metrics

PREFIX = "NonFinite/"

CAUSES = (
    "observations",
    "last_observations",
    "final_observations",
    "rewards",
    "dones",
    "time_outs",
    "teacher",
    "added_rewards",
    "learning_rate",
    "loss",
    "gradient",
)
"""First part of the reports' names, in causal order: an earlier one may cause a later one. Any others come last."""


def non_finite(arrays: Mapping[str, Array]) -> Metrics:
    """Count the NaN and infinite elements of each array, as metrics ``NonFinite/<name>``, each ``[]``."""
    return {f"{PREFIX}{name}": jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for name, x in arrays.items()}


def became_non_finite(new: Any, old: Any) -> Metrics:
    """Count the elements of a state that are NaN or infinite and were finite before, as metrics ``NonFinite/<part>``.

    Args:
        new: a dataclass of pytrees, such as :class:`rsl_jax.types.TrainState`.
        old: one of the same structure.

    Returns:
        counts by field, and by entry if a field is a mapping (``params.actor``), each ``[]``.
    """
    counts = {}
    for name, (part, before) in _parts(new, old).items():
        pairs = zip(jax.tree.leaves(part), jax.tree.leaves(before), strict=True)
        by_dtype: dict[Any, list[tuple[Array, Array]]] = {}
        for pair in pairs:
            if jnp.issubdtype(pair[0].dtype, jnp.floating):
                by_dtype.setdefault(pair[0].dtype, []).append(pair)
        appeared = [
            jnp.sum(~jnp.isfinite(flat(after)) & jnp.isfinite(flat(ahead)), dtype=jnp.int32)
            for after, ahead in (zip(*same, strict=True) for same in by_dtype.values())
        ]
        if appeared:
            counts[f"{PREFIX}{name}"] = functools.reduce(jnp.add, appeared)
    return counts


def failures(losses: Mapping[str, Array], gradients: Mapping[str, Any]) -> dict[str, Array]:
    """Return which losses and gradients of one optimiser step are NaN or infinite, by name; each bool ``[]``.

    The gradients decide. A loss that overflows may have a finite gradient, from which RSL-RL learns, too; so a loss is
    only reported together with a gradient.

    Args:
        losses: by name, ``[...]``.
        gradients: pytrees by the name of what they train.
    """
    failed = {f"gradient.{name}": ~jnp.isfinite(largest_entry(gradient)) for name, gradient in gradients.items()}
    some = functools.reduce(jnp.logical_or, failed.values())
    return {**{f"loss.{name}": jnp.any(~jnp.isfinite(x)) & some for name, x in losses.items()}, **failed}


def first_failure(failed: Mapping[str, Array]) -> Metrics:
    """Return the failures of the first failed step among many; later failures may follow from these.

    Args:
        failed: what failed in each step, by name, bool ``[...]``, all of one shape.

    Returns:
        1 or 0, as metrics ``NonFinite/<name>``, each ``[]``.
    """
    steps = jnp.stack([jnp.ravel(values) for values in failed.values()])
    first = steps[:, jnp.argmax(jnp.any(steps, axis=0))]
    return {f"{PREFIX}{name}": first[index].astype(jnp.int32) for index, name in enumerate(failed)}


def likeliest_first(names: Iterable[str]) -> list[str]:
    """Sort names of reports so that the likely cause comes before its effects."""

    def rank(name: str) -> tuple[int, int]:
        kind = name.split(".")[0]
        # Of PPO's losses the surrogate's advantages follow from the values, and the entropy from the policy.
        late = ("loss.surrogate", "loss.entropy")
        return CAUSES.index(kind) if kind in CAUSES else len(CAUSES), late.index(name) + 1 if name in late else 0

    return sorted(names, key=rank)


def has_failed(metrics: Metrics) -> Array:
    """Return whether any report in ``metrics`` is above zero, bool ``[]``."""
    reports = [count for name, count in metrics.items() if name.startswith(PREFIX)]
    return jnp.any(jnp.stack(reports) > 0) if reports else jnp.zeros((), bool)


def keep_if_finite(new: Any, old: Any, metrics: Metrics) -> Any:
    """Return ``new`` if all reports in ``metrics`` are zero, ``old`` otherwise; two pytrees of the same structure.

    Raises:
        AssertionError: if leaves of the two have different shapes or dtypes.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(new, old, custom_message="the new and the old to keep")
    return jax.lax.cond(has_failed(metrics), lambda a, b: b, lambda a, b: a, new, old)


def _parts(new: Any, old: Any) -> dict[str, tuple[Any, Any]]:
    parts: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(new):
        part, before = getattr(new, field.name), getattr(old, field.name)
        if isinstance(part, Mapping):
            parts |= {f"{field.name}.{name}": (part[name], before[name]) for name in part}
        else:
            parts[field.name] = (part, before)
    return parts
