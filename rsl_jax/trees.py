"""Helpers for pytrees: leaves by path, restoring arrays into a known structure, selecting rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


def path_of(path: Any, *, separator: str = "/") -> str:
    """Format a path of :mod:`jax.tree_util` as text: ``"params/actor/mlp"``."""
    return jax.tree_util.keystr(path, simple=True, separator=separator)


def leaves_by_path(tree: Any, *, separator: str = "/") -> dict[str, Any]:
    """Return all leaves by their paths, in order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_of(path, separator=separator): leaf for path, leaf in leaves}


def plain_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree as plain arrays, by path; typed random keys become their raw words.

    Leaves without elements (such as the contacts of a simulator in which nothing can touch) are omitted.
    """
    leaves = leaves_by_path(tree)
    return {path: jax.random.key_data(leaf) if is_key(leaf) else leaf for path, leaf in leaves.items() if np.size(leaf)}


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Convert leaves by path to nested dicts."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def restore(template: Any, arrays: Any, *, strict: bool = True, what: str = "checkpoint") -> Any:
    """Put arrays, for example of a checkpoint, into a pytree of known structure.

    Args:
        template: a pytree with the structure, shapes and types.
        arrays: nested dicts of arrays, or any tree with the same paths.
        strict: whether everything must fit; otherwise a leaf that does not fit keeps the template's value, with a
            warning.
        what: name of the arrays in messages.

    Returns:
        a pytree like ``template``.

    Raises:
        ValueError: if a leaf does not fit and ``strict``; lists the leaves.
    """
    expected, given = plain_leaves(template), plain_leaves(arrays)
    misfits, fitting = [], set()
    for name in sorted({*expected, *given}):
        if name not in given:
            misfits.append(f"{name}: missing in the checkpoint")
        elif name not in expected:
            misfits.append(f"{name}: only in the checkpoint")
        elif np.shape(expected[name]) != np.shape(given[name]):
            misfits.append(f"{name}: shape {np.shape(given[name])} in the checkpoint, {np.shape(expected[name])} here")
        elif not _holds(expected[name], given[name]):
            misfits.append(f"{name}: {_dtype(given[name])} in the checkpoint, {_dtype(expected[name])} here")
        else:
            fitting.add(name)
    if misfits:
        listing = "; ".join(misfits[:8]) + ("; ..." if len(misfits) > 8 else "")
        if strict:
            raise ValueError(
                f"The {what} does not fit what the config and the environment build: {listing}. Load it with the "
                "config it was trained with (it is in the checkpoint's metadata), choose parts by load_cfg, or pass "
                "strict=False."
            )
        warnings.warn(f"Parts of the {what} do not fit and are left as they were: {listing}.", stacklevel=2)

    def choose(path: Any, value: Any) -> Any:
        name = path_of(path)
        return _like(value, given[name]) if name in fitting else value

    return jax.tree_util.tree_map_with_path(choose, template)


def select_rows(mask: Any, chosen: Any, others: Any) -> Any:
    """Select rows of ``chosen`` where a mask is true, of ``others`` elsewhere.

    Args:
        mask: bool ``[N]``.
        chosen: a pytree, leaves ``[N, ...]``.
        others: a pytree of the same structure and shapes.

    Returns:
        a pytree like the two.

    Raises:
        AssertionError: if the mask has another rank, or shapes do not match.
    """
    chex.assert_rank(mask, 1, custom_message="the mask must have the shape [N]")
    chex.assert_trees_all_equal_shapes(chosen, others, custom_message="rows to select from")
    chex.assert_tree_shape_prefix(chosen, mask.shape, custom_message="leaves must have as many rows as the mask")

    def select(x: Any, y: Any) -> Any:
        return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(select, chosen, others)


def is_key(x: Any) -> bool:
    """Return whether a value is an array of typed random keys."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _dtype(value: Any) -> np.dtype[Any]:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def _holds(expected: Any, given: Any) -> bool:
    """Return whether a type can hold the values of another, up to rounding: a boolean cannot hold numbers."""
    kinds = (jnp.bool_, jnp.integer, jnp.inexact)
    ranks = [next((n for n, kind in enumerate(kinds) if jnp.issubdtype(_dtype(x), kind)), 3) for x in (given, expected)]
    return ranks[0] <= ranks[1] < len(kinds)


def _like(reference: Any, value: Any) -> Any:
    if is_key(reference):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(reference))
    return jnp.asarray(value, reference.dtype)
