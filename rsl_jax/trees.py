"""Leaves of pytrees by name."""

from __future__ import annotations

from typing import Any

import jax


def path_name(path: Any, separator: str = "/") -> str:
    """Where a leaf stands, as text: ``params/actor/layer_0/kernel``; of a path as JAX gives it beside the leaf."""
    return jax.tree_util.keystr(path, simple=True, separator=separator)


def leaves_by_name(tree: Any, separator: str = "/") -> dict[str, Any]:
    """The leaves of a pytree by the names of their paths, in order."""
    return {path_name(path, separator): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
