"""Conversion of values to plain types for files: dicts, lists and scalars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


def described(value: Any) -> Any:
    """Convert a value that is not a collection to a type of JSON and YAML.

    Scalars are unchanged, arrays ``[]`` become their scalar, functions and classes become ``"module:name"``, and
    anything else its ``str()``.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else str(value)


def to_plain(value: Any, leaf: Callable[[Any], Any] = described) -> Any:
    """Convert nested collections to dicts (with strings as keys) and lists.

    Args:
        value: mappings, dataclasses, objects with ``to_dict()``, lists and tuples, nested in any way.
        leaf: conversion of everything else.

    Raises:
        RecursionError: if a collection contains itself.
    """
    if not isinstance(value, type):
        if hasattr(value, "to_dict"):
            return to_plain(value.to_dict(), leaf)
        if dataclasses.is_dataclass(value):
            return {field.name: to_plain(getattr(value, field.name), leaf) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, leaf) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, leaf) for item in value]
    return leaf(value)
