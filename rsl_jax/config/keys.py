"""Types and ranges of config keys: a component of the library or a custom one, or a value within a range.

The annotation of a field (or of a factory's parameter) is the only place that defines it. The reader converts and
checks by it; ``--help`` and docs/configuration.md are written from it.
"""

from __future__ import annotations

import math
import operator
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, Le, MinLen, Predicate

from rsl_jax.registry import nearest

LARGEST_INT = 2**31 - 1
"""Largest integer that fits into the 32 bits in which devices count."""

LARGEST_FLOAT = (2 - 2**-23) * 2.0**127
"""The largest number of float32."""

Count = Annotated[int, Ge(1)]
"""A count of at least 1."""

NonNegative = Annotated[float, Ge(0)]

Positive = Annotated[float, Gt(0)]

Fraction = Annotated[float, Interval(ge=0, le=1)]


def _is_layer_size(size: int) -> bool:
    """at least 1, or -1 for the size of the input"""  # noqa: D403, D415 (is read within a sentence)
    return size == -1 or size >= 1


LayerSizes = Annotated[tuple[Annotated[int, Predicate(_is_layer_size)], ...], MinLen(1)]
"""Sizes of hidden layers, at least of one; -1 means the size of the input."""

Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
"""A seed that a random key of JAX uses in full, whatever the width of its integers."""


@dataclass(frozen=True)
class MayBeInfinite:
    """Annotation of a limit that may be infinite, as in ``Annotated[float, Ge(0), MayBeInfinite()]``."""


Limit = Annotated[float, Ge(0), MayBeInfinite()]
"""A limit; ``.inf`` is no limit."""


@dataclass(frozen=True)
class OneOf:
    """Annotation of a name that is one of several, case-insensitive.

    Attributes:
        names: in lower case.
    """

    names: tuple[str, ...]


Activation = Annotated[
    str,
    OneOf(
        (
            "elu",
            "selu",
            "relu",
            "crelu",
            "lrelu",
            "tanh",
            "sigmoid",
            "softplus",
            "gelu",
            "swish",
            "mish",
            "identity",
        )
    ),
]
"""A key of :data:`rsl_jax.modules.ACTIVATIONS` (a test compares the two)."""


@dataclass(frozen=True)
class Part:
    """Annotation of a key that holds a component's section, as in ``actor: Annotated[Any, Part("model")]``.

    Attributes:
        kind: a key of :data:`rsl_jax.registry.PARTS`.
        default: the component of a section without a ``class_name``; None where it is required.
        bare: whether the name alone is accepted in place of a section.
    """

    kind: str
    default: str | None = None
    bare: bool = False


def split_annotation(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split an annotation into the type and its metadata."""
    if typing.get_origin(hint) is Annotated:
        kind, *metadata = typing.get_args(hint)
        return kind, tuple(metadata)
    return hint, ()


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, without None; any other type is its only one."""
    if typing.get_origin(hint) is Annotated or not typing.get_args(hint) or not _is_union(hint):
        return (hint,)
    return tuple(argument for argument in typing.get_args(hint) if argument is not type(None))


def may_be_none(hint: Any) -> bool:
    """Return whether null is allowed."""
    return _is_union(hint) and type(None) in typing.get_args(hint)


def part_of(hint: Any) -> Part | None:
    """Return the component whose section a key holds, if it holds one."""
    metadata = [entry for choice in alternatives(hint) for entry in split_annotation(choice)[1]]
    return next((entry for entry in metadata if isinstance(entry, Part)), None)


def check_ranges(hint: Any, value: Any, name: str) -> None:
    """Reject numbers, names and lists that their annotation does not allow; numbers that JAX traces pass.

    Integers must fit into 32 bits unless their annotation has an upper bound, and floats into float32.

    Args:
        hint: the annotation.
        value: the value, already of the right type.
        name: its name in the error.

    Raises:
        ValueError: if something is not allowed; says what is.
    """
    for choice in alternatives(hint):
        kind, metadata = split_annotation(choice)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(value, (tuple, list)) and origin is tuple:
            if len(value) < _fewest(metadata):
                raise ValueError(f"{name} needs at least {_fewest(metadata)} entries; got {list(value)}.")
            for item in value:
                check_ranges(arguments[0], item, name)
        elif isinstance(value, Mapping) and origin is not None and len(arguments) == 2:
            for key, item in value.items():
                check_ranges(arguments[1], item, f"{name}.{key}")
        elif kind is str and isinstance(value, str):
            _check_name(metadata, value, name)
        elif kind in (int, float):
            _check_number(choice, value, name)


def _check_name(metadata: tuple[Any, ...], value: str, name: str) -> None:
    for entry in metadata:
        if isinstance(entry, OneOf) and value.lower() not in entry.names:
            raise ValueError(
                f"{name} must be one of {', '.join(entry.names)}; got {value!r}.{nearest(value.lower(), entry.names)}"
            )


def _check_number(hint: Any, value: Any, name: str) -> None:
    number = _number(value)
    if number is None:
        return
    kind, metadata = split_annotation(hint)
    if not all(_holds(entry, number) for entry in metadata):
        raise ValueError(f"{name} must be {range_text(hint)}; got {_shown(number)}.")
    is_bounded = any(getattr(entry, "le", None) is not None for entry in metadata)
    if kind is int and not is_bounded and abs(number) > LARGEST_INT:
        raise ValueError(f"{name} must fit into 32 bits (at most {LARGEST_INT} in size); got {_shown(number)}.")
    may_be_infinite = any(isinstance(entry, MayBeInfinite) for entry in metadata)
    if kind is float and not abs(number) <= LARGEST_FLOAT and not (may_be_infinite and number == math.inf):
        raise ValueError(f"{name} must be a number that float32 can represent; got {_shown(number)}.")


def _number(value: Any) -> int | float | None:
    """Return a concrete number; None for anything else, such as one that JAX traces."""
    if isinstance(value, (int, float)):
        return value
    if not hasattr(value, "dtype") or getattr(value, "ndim", 1) != 0:
        return None
    try:
        return value.item()
    except TypeError:  # JAX's, of a traced number
        return None


def _shown(number: int | float) -> str:
    if isinstance(number, float) or abs(number) < 10**40:
        return str(number)
    return f"a number of {number.bit_length()} bits"


def range_text(hint: Any) -> str:
    """Describe the allowed values of an annotation, as in "at least 1"; "" if all are allowed."""
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
        elif isinstance(entry, MayBeInfinite):
            texts.append("`.inf` for no limit")
        elif isinstance(entry, OneOf):
            texts.append(f"one of {', '.join(entry.names)}")
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
    if not isinstance(entry, (Ge, Gt, Le)):
        return True
    tests: dict[str, Callable[[Any, Any], bool]] = {"ge": operator.ge, "gt": operator.gt, "le": operator.le}
    bounds = {name: getattr(entry, name, None) for name in tests}
    return all(tests[name](value, bound) for name, bound in bounds.items() if bound is not None)
