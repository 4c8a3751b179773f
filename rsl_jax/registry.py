"""From a name in a config to the callable it means."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint ``" Did you mean 'x'?"`` for a misspelt name, or ``""`` where nothing is near."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def lookup(name: str, table: Mapping[str, Any], kind: str) -> Any:
    """The entry of a table.

    Raises:
        ValueError: if there is none; says what is allowed and what is nearest.
    """
    if name not in table:
        raise ValueError(f"Unknown {kind} '{name}'. Allowed: {', '.join(sorted(table))}.{nearest(name, table)}")
    return table[name]


def resolve_callable(callable_or_name: Callable | str, table: Mapping[str, Callable], kind: str) -> Callable:
    """Resolve what a config calls a class or a function.

    Args:
        callable_or_name: a callable, ``"module.path:Attr"``, ``"module.path.Attr"`` or a bare name of ``table``. Paths
            into ``rsl_rl`` and its classes mean the entry of ``table`` with the same name, so that its configs work.
        table: what bare names mean.
        kind: what is looked for, for the error.

    Raises:
        TypeError: if neither a callable nor a string is given.
        ValueError: if a bare name is unknown.
        ImportError: if a path leads nowhere.
    """
    if not isinstance(callable_or_name, str):
        if not callable(callable_or_name):
            raise TypeError(f"A {kind} is a callable or its name; got {callable_or_name!r}.")
        name, module = getattr(callable_or_name, "__name__", ""), getattr(callable_or_name, "__module__", "") or ""
        return table[name] if module.split(".")[0] == "rsl_rl" and name in table else callable_or_name
    module_path, separator, attribute = callable_or_name.rpartition(":")
    if not separator:
        module_path, separator, attribute = callable_or_name.rpartition(".")
    if not separator:
        return lookup(callable_or_name, table, kind)
    if module_path.split(".")[0] == "rsl_rl":
        return lookup(attribute, table, kind)
    try:
        target: Any = importlib.import_module(module_path)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        bare = f", or one of: {', '.join(sorted(table))}" if table else ""
        raise ImportError(
            f"The {kind} '{callable_or_name}' cannot be imported: {error}. Write 'module.path:Name' of something that "
            f"can be imported from here{bare}."
        ) from error
    return target
