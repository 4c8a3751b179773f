"""What a key of the config may be: a part of the library or of the user's, or a value within a range.

The annotation of a field (or of a factory's parameter) is the one place that says so. The reader converts and checks by
it, ``--help`` and docs/configuration.md are written from it.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, Le, MinLen, Predicate

Count = Annotated[int, Ge(1)]
"""How many of something that there must be."""

NonNegative = Annotated[float, Ge(0)]

Positive = Annotated[float, Gt(0)]

Fraction = Annotated[float, Interval(ge=0, le=1)]


def _is_layer_size(size: int) -> bool:
    """at least 1, or -1 for the size of the input"""  # noqa: D403, D415 (is read within a sentence)
    return size == -1 or size >= 1


LayerSizes = tuple[Annotated[int, Predicate(_is_layer_size)], ...]
"""Sizes of hidden layers; -1 means the size of the input."""


@dataclass(frozen=True)
class Part:
    """Annotates a key that holds a section of a part, as in ``actor: Annotated[Any, Part("model")]``.

    Attributes:
        kind: a key of :data:`rsl_jax.registry.PARTS`.
        default: the part that a section means which does not say; None where it must say.
        bare: whether the name alone will do, in place of a section.
    """

    kind: str
    default: str | None = None
    bare: bool = False


def split_annotation(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what annotates it."""
    if typing.get_origin(hint) is Annotated:
        kind, *metadata = typing.get_args(hint)
        return kind, tuple(metadata)
    return hint, ()


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types among which a union leaves the choice, None left out; any other type is its only one."""
    if typing.get_origin(hint) is Annotated or not typing.get_args(hint) or not _is_union(hint):
        return (hint,)
    return tuple(argument for argument in typing.get_args(hint) if argument is not type(None))


def may_be_none(hint: Any) -> bool:
    """Whether null is allowed."""
    return _is_union(hint) and type(None) in typing.get_args(hint)


def part_of(hint: Any) -> Part | None:
    """The part whose section a key holds, if it holds one."""
    metadata = [entry for choice in alternatives(hint) for entry in split_annotation(choice)[1]]
    return next((entry for entry in metadata if isinstance(entry, Part)), None)


def check_ranges(hint: Any, value: Any, name: str) -> None:
    """Refuse numbers beyond what their annotation allows; those that JAX traces pass.

    Args:
        hint: the annotation.
        value: the value, already of the right type.
        name: what it is called in the error.

    Raises:
        ValueError: says what is allowed.
    """
    if value is None:
        return
    for choice in alternatives(hint):
        kind, metadata = split_annotation(choice)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(value, (tuple, list)):
            if origin is tuple and not (metadata and len(value) < _fewest(metadata)):
                for item in value:
                    check_ranges(arguments[0], item, name)
            elif origin is tuple:
                raise ValueError(f"{name} needs at least {_fewest(metadata)} entries; got {list(value)}.")
        elif isinstance(value, Mapping):
            if origin is not None and len(arguments) == 2:
                for key, item in value.items():
                    check_ranges(arguments[1], item, f"{name}.{key}")
        elif kind in (int, float) and isinstance(value, (int, float)) and not all(_holds(m, value) for m in metadata):
            raise ValueError(f"{name} must be {range_text(choice)}; got {value}.")


def range_text(hint: Any) -> str:
    """What the numbers of an annotation may be, as in "at least 1"; "" where all are allowed."""
    texts = []
    for entry in split_annotation(hint)[1]:
        if isinstance(entry, Interval) and entry.ge is not None and entry.le is not None:
            texts.append(f"from {entry.ge} to {entry.le}")
        elif isinstance(entry, Ge):
            texts.append(f"at least {entry.ge}")
        elif isinstance(entry, Gt):
            texts.append(f"above {entry.gt}")
        elif isinstance(entry, Le):
            texts.append(f"at most {entry.le}")
        elif isinstance(entry, Predicate):
            texts.append((entry.func.__doc__ or "").strip())
    return ", ".join(texts)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"


def _fewest(metadata: tuple[Any, ...]) -> int:
    return max((entry.min_length for entry in metadata if isinstance(entry, MinLen)), default=0)


def _holds(entry: Any, value: float) -> bool:
    if isinstance(entry, Interval):
        return all(_holds(part, value) for part in entry)
    if isinstance(entry, Predicate):
        return bool(entry.func(value))
    tests: dict[str, Callable[[Any, Any], bool]] = {"ge": operator.ge, "gt": operator.gt, "le": operator.le}
    bounds = {name: getattr(entry, name, None) for name in tests}
    return all(tests[name](value, bound) for name, bound in bounds.items() if bound is not None)
