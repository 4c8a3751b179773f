"""Values within a config by the path of their keys, ``actor.distribution_cfg.init_std``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rsl_jax.config.keys import alternatives, check_ranges, split_annotation
from rsl_jax.config.sections import (
    Checked,
    CustomConfig,
    all_arguments_of,
    arguments_of,
    convert,
    hints_for,
    with_arguments,
)
from rsl_jax.registry import nearest


def is_section(value: Any) -> bool:
    """Return whether a value is a section of the config, or a config."""
    return isinstance(value, (Checked, CustomConfig))


def value_at(node: Any, path: Sequence[str]) -> Any:
    """Return the value at a path, or None."""
    for key in path:
        arguments = arguments_of(node) if is_section(node) else node
        node = arguments.get(key) if isinstance(arguments, Mapping) else None
    return node


def with_value(node: Any, path: Sequence[str], value: Any) -> Any:
    """Return the config with another value at a path; None removes an entry of a mapping."""
    if not path:
        return value
    below = with_value(value_at(node, path[:1]), path[1:], value)
    if is_section(node):
        return with_arguments(node, **{path[0]: below})
    return {key: item for key, item in {**(node or {}), path[0]: below}.items() if item is not None}


def all_paths(node: Any, prefix: str = "") -> Iterator[str]:
    """List the paths of all values that are not sections."""
    items = all_arguments_of(node) if is_section(node) else node
    for key, value in items.items():
        path = f"{prefix}{key}"
        nested = is_section(value) or (isinstance(value, Mapping) and any(map(is_section, value.values())))
        yield from all_paths(value, f"{path}.") if nested else [path]


def find_path(cfg: Any, name: str) -> str:
    """Find the path for a name: itself if it is one, else the only path that ends in it.

    A key of the algorithm comes before the same key elsewhere.

    Raises:
        ValueError: if there is none, or several; names these, or the nearest.
    """
    paths = list(all_paths(cfg))
    if name in paths:
        return name
    if f"algorithm.{name}" in paths:
        return f"algorithm.{name}"
    ending = [path for path in paths if path.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise ValueError(f"'{name}' may be {' or '.join(ending)}. Give the whole path.")
    endings = {path.rsplit(".", 1)[-1]: path for path in paths}
    raise ValueError(f"There is no key '{name}' in the config.{nearest(name, [*paths, *endings])}")


def with_checked_value(cfg: Any, path: str, value: Any) -> Any:
    """Return the config with another value at a key's path, converted and checked as that key.

    Raises:
        ValueError: if the value is out of range, or the key does not exist.
        TypeError: if it is of another type.
    """
    *sections, key = path.split(".")
    section = value_at(cfg, sections)
    hint = hints_for(section).get(key, Any) if is_section(section) else Any
    value = convert(hint, value, path)
    check_ranges(hint, value, path)
    return with_value(cfg, path.split("."), value)


def is_float(cfg: Any, path: str) -> bool:
    """Return whether the key at a path holds a real number, which may be traced where nothing else depends on it."""
    *sections, key = path.split(".")
    section = value_at(cfg, sections)
    if not is_section(section):
        return False
    hint = hints_for(section).get(key, Any)
    return any(split_annotation(choice)[0] is float for choice in alternatives(hint))
