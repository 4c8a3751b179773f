"""Metadata of exported files."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib import metadata as packages
from typing import Any

import numpy as np

from rsl_jax.plain import to_plain

Metadata = dict[str, Any]

JSON_KEY = "metadata_json"
"""Key of an ONNX file's metadata that holds all of it once more, typed, as one JSON object."""


def library_versions(names: Iterable[str]) -> Metadata:
    """Return ``{"jax_version": "0.10.2", ...}`` of the installed packages among ``names``."""
    versions = {}
    for name in names:
        try:
            versions[f"{name.replace('-', '_')}_version"] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return versions


def merge(ours: Metadata, users: Mapping[str, Any] | None) -> Metadata:
    """Merge our facts about a policy with the user's, as plain Python values.

    Raises:
        ValueError: if an entry of the user's has the name of one of ours, or is not a finite number.
        TypeError: if a name is not a string, or a value cannot be represented.
    """
    merged = {key: _plain(value, key) for key, value in ours.items()}
    for key, value in (users or {}).items():
        if not isinstance(key, str):
            raise TypeError(f"Names of metadata must be strings; got {key!r}.")
        if key in merged or key == JSON_KEY:
            raise ValueError(
                f"metadata['{key}'] is written by the export itself; rename yours. Taken: "
                f"{', '.join(sorted([*merged, JSON_KEY]))}."
            )
        merged[key] = _plain(value, key)
    return merged


def to_strings(metadata: Metadata) -> dict[str, str]:
    """Convert metadata to strings, as ONNX requires.

    Flat lists are joined by commas, which robot code splits (mjlab's and Isaac Lab's deployment does); all
    else that is not a string is JSON. Under :data:`JSON_KEY` everything is stored once more without any loss.
    """
    strings = {key: _to_string(value) for key, value in metadata.items()}
    return {**strings, JSON_KEY: json.dumps(metadata)}


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [item if isinstance(item, str) else json.dumps(item) for item in value]
        if not any(isinstance(item, (list, dict)) for item in value) and not any("," in part for part in parts):
            return ",".join(parts)
    return json.dumps(value)


def _plain(value: Any, key: str) -> Any:
    """Convert a value to JSON types: strings, numbers, booleans, None, lists and objects."""
    return to_plain(value, functools.partial(_leaf, key=key))


def _leaf(value: Any, key: str) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise ValueError(f"metadata['{key}'] holds {value!r}; numbers must be finite.")
        # str returns the shortest digits of the value's own precision: 0.1 in float32 is written as 0.1.
        return float(str(value)) if isinstance(value, np.floating) else value
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.ndim:
            return [_leaf(item, key) for item in array]
        return _leaf(array[()] if array.dtype.kind == "f" else array.item(), key)
    raise TypeError(
        f"metadata['{key}'] holds {value!r} of type {type(value).__name__}; write strings, numbers, booleans, None, "
        "and lists, dicts or arrays of them."
    )
