"""Values as files hold them: dicts, lists and scalars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


def described(value: Any) -> Any:
    """A value that is no collection, as JSON and YAML know it; what they do not know is described by a text.

    Scalars stay, or come out of the array ``[]`` that holds them; functions and classes are named as
    ``"module:name"``; anything else is its ``str()``.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else str(value)


def to_plain(value: Any, leaf: Callable[[Any], Any] = described) -> Any:
    """A nest of collections as dicts (with strings for keys) and lists.

    Args:
        value: mappings, dataclasses, objects with ``to_dict()``, lists and tuples, nested as they please.
        leaf: what becomes of everything else.

    Raises:
        RecursionError: if something contains itself.
    """
    if not isinstance(value, type):
        if dataclasses.is_dataclass(value):
            return {field.name: to_plain(getattr(value, field.name), leaf) for field in dataclasses.fields(value)}
        if hasattr(value, "to_dict"):
            return to_plain(value.to_dict(), leaf)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, leaf) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, leaf) for item in value]
    return leaf(value)
