"""Between plain dicts and the dataclasses of the config."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union

from rsl_jax.config.algorithms import ALGORITHM_CONFIGS
from rsl_jax.config.base import CustomConfig
from rsl_jax.config.distributions import DISTRIBUTION_CONFIGS
from rsl_jax.config.models import MODEL_CONFIGS, EncoderConfigs
from rsl_jax.registry import nearest, resolve_callable

Config = TypeVar("Config")

SECTIONS: Mapping[str, Mapping[str, type]] = {
    "algorithm": ALGORITHM_CONFIGS,
    "actor": MODEL_CONFIGS,
    "critic": MODEL_CONFIGS,
    "student": MODEL_CONFIGS,
    "teacher": MODEL_CONFIGS,
    "distribution_cfg": DISTRIBUTION_CONFIGS,
}
"""What ``class_name`` may be in each section, and the dataclass that then holds it."""

NOT_TOGETHER: Mapping[str, tuple[str, ...]] = {"DistillationConfig": ("rnd_cfg", "symmetry_cfg")}
"""RSL-RL's keys of features that a section cannot have; configs often hold them switched off, which is accepted."""


def structural_fields(config: Any) -> set[str]:
    """Names of the fields that shape the program; the other ones are floats that may be traced."""
    hints = typing.get_type_hints(type(config))
    return {f.name for f in dataclasses.fields(config) if float not in (hints[f.name], *typing.get_args(hints[f.name]))}


def build_section(cls: type[Config], section: Mapping[str, Any], *, where: str) -> Config:
    """A dataclass from the section that describes it; ``where`` it stands is for errors.

    Raises:
        ValueError: for an unknown key, with the nearest valid one.
        TypeError: for a value of the wrong type.
    """
    section = _without_excluded(cls, section, where)
    hints = typing.get_type_hints(cls)
    unknown = [key for key in section if key not in hints]
    if unknown:
        raise ValueError(
            f"Unknown key '{unknown[0]}' in {where or 'the config'}. Allowed: {', '.join(sorted(hints))}."
            f"{nearest(unknown[0], hints)}"
        )
    parameters = inspect.signature(cls).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in section]
    if missing:
        raise ValueError(f"{where} needs the key '{missing[0]}'.")
    return cls(**{key: _value(hints[key], value, key, f"{where}.{key}".lstrip(".")) for key, value in section.items()})


def _without_excluded(cls: Any, section: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    excluded = NOT_TOGETHER.get(cls.__name__, ())
    for key in excluded:
        if section.get(key):
            raise ValueError(f"{where}.{key} does not go with {cls.class_name}. Remove it, or set it to null.")
    return {key: value for key, value in section.items() if key not in excluded}


def _value(hint: Any, value: Any, key: str, where: str) -> Any:
    if key in SECTIONS and not dataclasses.is_dataclass(value):
        return None if value is None else _section(value, key, where)
    if key == "obs_groups":
        return {name: tuple([groups] if isinstance(groups, str) else groups) for name, groups in value.items()}
    return _convert(hint, value, where)


def _section(section: Any, key: str, where: str) -> Any:
    if not isinstance(section, Mapping) or "class_name" not in section:
        raise ValueError(
            f"{where} is a section with a 'class_name', one of {', '.join(SECTIONS[key])} or an import path; got "
            f"{section!r}."
        )
    kind = where.rsplit(".", 1)[-1].removesuffix("_cfg")
    target = resolve_callable(section["class_name"], SECTIONS[key], kind)
    kwargs = {name: value for name, value in section.items() if name != "class_name"}
    if isinstance(target, type) and target in SECTIONS[key].values():
        name = next(name for name, cls in SECTIONS[key].items() if cls is target)
        return build_section(target, {"class_name": name, **kwargs}, where=where)
    _check_arguments(target, kwargs, where)
    for name, hint in (("distribution_cfg", Any), ("cnn_cfg", EncoderConfigs)):
        if name in kwargs:
            kwargs[name] = _value(hint, kwargs[name], name, f"{where}.{name}")
    return CustomConfig(section["class_name"], kwargs)


def _check_arguments(target: Callable, kwargs: Mapping[str, Any], where: str) -> None:
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    allowed = {*parameters, "distribution_cfg"}
    for key in kwargs:
        if key not in allowed:
            raise ValueError(
                f"Unknown key '{key}' in {where}: {target} takes {', '.join(sorted(allowed))}.{nearest(key, allowed)}"
            )


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Bring a value read from YAML or Python into the type of its field, where that loses nothing."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(_alternative([a for a in arguments if a is not type(None)], value), value, where)
    if origin is Literal:
        if value not in arguments:
            hint_text = nearest(str(value), arguments)
            raise ValueError(f"{where} is one of {', '.join(map(repr, arguments))}; got {value!r}.{hint_text}")
        return value
    if origin is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise TypeError(f"{where} is a list; got {value!r}.")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ValueError(f"{where} has {len(arguments)} entries; got {value!r}.")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is collections.abc.Mapping and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and not dataclasses.is_dataclass(value):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where} is a section of keys and values; got {value!r}.")
        return build_section(typing.cast(type, hint), value, where=where)
    if hint in (int, float, bool, str):
        return _scalar(hint, value, where)
    return value


def _alternative(hints: list[Any], value: Any) -> Any:
    """The type among several that a value is meant for: a list, a mapping of sections, or one of those."""
    is_list = isinstance(value, (list, tuple))
    is_nested = (
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(item, Mapping) for item in value.values())
    )
    for hint in hints:
        origin = typing.get_origin(hint)
        if (origin is tuple, origin is collections.abc.Mapping) == (is_list, is_nested):
            return hint
    return hints[0]


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        try:
            return float(value)
        except ValueError:
            pass
    allowed = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}[hint]
    is_bool_for_number = isinstance(value, bool) and hint is not bool
    if isinstance(value, allowed) and not is_bool_for_number:
        return float(value) if hint is float else value
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return value  # a number that JAX traces
    raise TypeError(f"{where} is of type {hint.__name__}; got {value!r}.")


def to_plain(value: Any) -> Any:
    """A config, or a part of one, as dicts, lists and scalars that YAML can hold."""
    if isinstance(value, CustomConfig):
        name = value.class_name
        path = name if isinstance(name, str) else f"{name.__module__}:{name.__qualname__}"
        return {"class_name": path, **to_plain(dict(value.kwargs))}
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else str(value)
