"""What happens when a number stops being finite.

A compiled program cannot raise, so it reports: metrics under ``NonFinite/`` count what went wrong, by name, and all
that learns stays as it was before the iteration. The runner turns the report into an error, or goes on with the next
rollout.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rsl_jax.ops.gradients import largest_entry
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
"""What reports begin with; the earlier one causes the later one. What is not among them comes last."""


def non_finite(arrays: Mapping[str, Array]) -> Metrics:
    """How many elements of each array are NaN or infinite, as metrics ``NonFinite/<name>``, each ``[]``."""
    return {f"{PREFIX}{name}": jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for name, x in arrays.items()}


def became_non_finite(new: Any, old: Any) -> Metrics:
    """How many numbers of a state's parts are NaN or infinite that were finite before; metrics ``NonFinite/<part>``.

    Args:
        new: a dataclass of pytrees, such as :class:`rsl_jax.types.TrainState`.
        old: one of the same structure.

    Returns:
        counts by field, and by entry where a field is a mapping (``params.actor``), each ``[]``.
    """
    counts = {}
    for name, (part, before) in _parts(new, old).items():
        pairs = zip(jax.tree.leaves(part), jax.tree.leaves(before), strict=True)
        by_dtype: dict[Any, list[tuple[Array, Array]]] = {}
        for pair in pairs:
            if jnp.issubdtype(pair[0].dtype, jnp.floating):
                by_dtype.setdefault(pair[0].dtype, []).append(pair)
        # One long vector instead of many leaves, each of which would be a loop of its own to compile.
        appeared = [
            jnp.sum(~jnp.isfinite(_flat(after)) & jnp.isfinite(_flat(ahead)), dtype=jnp.int32)
            for after, ahead in (zip(*same, strict=True) for same in by_dtype.values())
        ]
        if appeared:
            counts[f"{PREFIX}{name}"] = functools.reduce(jnp.add, appeared)
    return counts


def failures(losses: Mapping[str, Array], gradients: Mapping[str, Any]) -> dict[str, Array]:
    """Which losses and gradients of one step of an optimiser are not finite, by name; each bool ``[]``.

    What counts are the gradients. A loss that overflows may have one that does not, from which RSL-RL learns, too; a
    loss is only named where a gradient failed with it.

    Args:
        losses: by name, ``[...]``.
        gradients: pytrees by the name of what learns.
    """
    failed = {f"gradient.{name}": ~jnp.isfinite(largest_entry(gradient)) for name, gradient in gradients.items()}
    some = functools.reduce(jnp.logical_or, failed.values())
    return {**{f"loss.{name}": jnp.any(~jnp.isfinite(x)) & some for name, x in losses.items()}, **failed}


def first_failure(failed: Mapping[str, Array]) -> Metrics:
    """What failed in the first of many steps in which anything did; whatever fails later may follow from it.

    Args:
        failed: whether each thing failed in each step, by name, bool ``[...]``, all of one shape.

    Returns:
        1 or 0, as metrics ``NonFinite/<name>``, each ``[]``.
    """
    steps = jnp.stack([jnp.ravel(values) for values in failed.values()])
    first = steps[:, jnp.argmax(jnp.any(steps, axis=0))]
    return {f"{PREFIX}{name}": first[index].astype(jnp.int32) for index, name in enumerate(failed)}


def likeliest_first(names: Iterable[str]) -> list[str]:
    """Names of reports in the order in which one is likely to have caused the next."""

    def rank(name: str) -> tuple[int, int]:
        kind = name.split(".")[0]
        # Of PPO's losses the surrogate's advantages follow from the values, and the entropy from the policy.
        late = ("loss.surrogate", "loss.entropy")
        return CAUSES.index(kind) if kind in CAUSES else len(CAUSES), late.index(name) + 1 if name in late else 0

    return sorted(names, key=rank)


def has_failed(metrics: Metrics) -> Array:
    """Whether any report of ``metrics`` is above zero, bool ``[]``."""
    reports = [count for name, count in metrics.items() if name.startswith(PREFIX)]
    return jnp.any(jnp.stack(reports) > 0) if reports else jnp.zeros((), bool)


def keep_if_finite(new: Any, old: Any, metrics: Metrics) -> Any:
    """``new`` where all reports of ``metrics`` are zero, ``old`` otherwise; two pytrees of the same structure.

    Raises:
        AssertionError: if leaves of the two have different shapes or dtypes.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(new, old, custom_message="the new and the old to keep")
    return jax.lax.cond(has_failed(metrics), lambda a, b: b, lambda a, b: a, new, old)


def _flat(leaves: Iterable[Array]) -> Array:
    return jnp.concatenate([x.ravel() for x in leaves])


def _parts(new: Any, old: Any) -> dict[str, tuple[Any, Any]]:
    parts: dict[str, tuple[Any, Any]] = {}
    for field in dataclasses.fields(new):
        part, before = getattr(new, field.name), getattr(old, field.name)
        if isinstance(part, Mapping):
            parts |= {f"{field.name}.{name}": (part[name], before[name]) for name in part}
        else:
            parts[field.name] = (part, before)
    return parts
