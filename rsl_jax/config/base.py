"""What all sections share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class CustomConfig:
    """A part of the user's own: a callable (or its import path) and the arguments to build it with."""

    class_name: Callable | str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def require_at_least(minimum: int, **values: int) -> None:
    """Refuse numbers that are too small to mean anything; says which.

    Raises:
        ValueError: if one is below the minimum.
    """
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}; got {value}.")
