"""Sections of the config: from the factory of a component to the dataclass of its section, and from dicts to these.

A component (part) is a function or a class, found by its name in :data:`rsl_jax.registry.PARTS` or by its import path.
Its section holds the arguments that the config gives it. They are declared once, as the keyword parameters of the
factory, or as a dataclass that it names as its ``section``.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import functools
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from rsl_jax.config.keys import (
    LARGEST_FLOAT,
    Part,
    alternatives,
    check_ranges,
    may_be_none,
    part_of,
    split_annotation,
)
from rsl_jax.config.reading import ReadsLikeADict
from rsl_jax.registry import PARTS, library_name, load, nearest, resolve_part, vet

Config = TypeVar("Config")

GIVEN: Mapping[str, frozenset[str]] = {
    "algorithm": frozenset({"cfg", "spec", "axis_name", "permute"}),
    "model": frozenset({"obs_shapes", "obs_groups", "output_dim", "distribution", "dtype", "parent", "name"}),
    "distribution": frozenset({"output_dim", "num_actions"}),
    "extension": frozenset({"section", "cfg", "spec", "obs_groups", "recurrent", "axis_name"}),
    "optimizer": frozenset(),
    "logger": frozenset({"log_dir", "cfg"}),
}
"""Parameters of a factory that are not keys of its section, because the library gives them; by kind."""

BESIDE: Mapping[str, Mapping[str, Any]] = {
    "model": {"distribution_cfg": Annotated[Any, Part("distribution", default="GaussianDistribution")] | None}
}
"""Keys that a section has beside its factory's parameters, by kind: the library computes one of those from them."""

TAKES: Mapping[str, tuple[str, ...]] = {
    "algorithm": ("cfg", "spec"),
    "model": ("obs_shapes", "obs_groups", "output_dim", "distribution"),
}
"""Parameters that a custom callable of a kind must have."""

DISTRIBUTION_MEANING = (
    "distribution over the output. A model without one is deterministic, except PPO's actor, which then gets the "
    "distribution that the environment needs: a Gaussian, or a Categorical for discrete actions."
)


@dataclass(frozen=True)
class Checked(ReadsLikeADict):
    """Frozen dataclass that rejects numbers outside the ranges that its fields are annotated with.

    It can also be read like a dict.
    """

    def __post_init__(self) -> None:
        """Reject invalid numbers; traced ones pass."""
        for name, hint in hints_of(type(self)).items():
            check_ranges(hint, getattr(self, name), name)


@dataclass(frozen=True)
class Section(Checked):
    """Section of a component of the library, or of a custom one that declares its own dataclass.

    Attributes:
        class_name: the component, by its name in the library or its import path.
    """

    class_name: str = ""


@dataclass(frozen=True)
class CustomConfig:
    """Section of a custom component: a callable (or its import path) and the arguments to build it with.

    Attributes:
        class_name: the callable, or its import path.
        kwargs: the given arguments; the callable has its own defaults.
        kind: the kind of component, a key of :data:`rsl_jax.registry.PARTS`.
    """

    class_name: Callable[..., Any] | str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    kind: str = field(default="model", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the section as a dict."""
        return {"class_name": path_of(self.class_name), **self.kwargs}


# --- from a factory to its section ------------------------------------------------------------------------------------


def hints_of(target: Any) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, a class's attributes or a function's parameters."""
    return _cached_hints(target)


@functools.cache
def _cached_hints(target: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):  # a user's annotation that is not a type; nothing is known then
        return {}
    is_config = inspect.isclass(target) and issubclass(target, Checked)
    return {f.name: hints[f.name] for f in dataclasses.fields(target)} if is_config else hints


@functools.cache
def section_type(kind: str, name: str) -> type:
    """Return the dataclass of the section of a library's component.

    Args:
        kind: a key of :data:`rsl_jax.registry.PARTS`.
        name: one of its names.
    """
    from rsl_jax.config.known import KNOWN  # which itself imports this module

    return KNOWN.get(name) or derive(resolve_part(name, kind), kind, name)


class Keys(NamedTuple):
    """Parameters of a factory that its section may set.

    Attributes:
        hints: annotations by key, ``Any`` if there is none.
        defaults: defaults by key, of those that have one.
        is_open: whether the factory accepts any other key too.
    """

    hints: Mapping[str, Any]
    defaults: Mapping[str, Any]
    is_open: bool


def keys_of(factory: Any, kind: str) -> Keys:
    """Return the parameters of a factory that are keys of its section."""
    make, beside = getattr(factory, "build", factory), BESIDE.get(kind, {})
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return Keys(beside, dict.fromkeys(beside), is_open=True)
    # The first parameter of a distribution is the size that it is given, whatever its name.
    given = {*GIVEN[kind], *(list(parameters)[:1] if kind == "distribution" else ())}
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keys = {name: p for name, p in parameters.items() if p.kind in by_name and name not in given}
    hints = hints_of(make)
    return Keys(
        {**{name: hints.get(name, Any) for name in keys}, **beside},
        {**{name: p.default for name, p in keys.items() if p.default is not p.empty}, **dict.fromkeys(beside)},
        is_open=any(p.kind is p.VAR_KEYWORD for p in parameters.values()),
    )


def derive(factory: Any, kind: str, name: str) -> type:
    """Derive the dataclass of a component's section from the parameters of its factory, unless it declares one."""
    declared = getattr(factory, "section", None)
    if declared is not None:
        return declared
    keys = keys_of(factory, kind)
    fields: list[tuple[Any, ...]] = [
        (key, hint, field(default=keys.defaults[key]) if key in keys.defaults else field())
        for key, hint in keys.hints.items()
    ]
    named = ("class_name", str, field(default=name))
    derived = dataclasses.make_dataclass(f"{name}Config", [named, *fields], bases=(Section,), frozen=True)
    derived.__doc__ = documentation(factory, keys.hints)
    return derived


def documentation(factory: Any, keys: collections.abc.Iterable[str]) -> str:
    """Return the docstring of a section, built from that of its factory."""
    meanings = {"distribution_cfg": DISTRIBUTION_MEANING, **meanings_of(factory)}
    summary = (inspect.getdoc(factory) or "Section of a component.").splitlines()[0]
    lines = [
        textwrap.fill(f"{key}: {meanings[key]}", 116, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for key in keys
        if key in meanings
    ]
    return "\n".join([summary, *(["", "Attributes:", *lines] if lines else [])])


def meanings_of(target: Any) -> dict[str, str]:
    """Return the description of each key in the docstring of a class (and its bases) or of a function."""
    texts = [vars(cls).get("__doc__") for cls in reversed(target.__mro__)] if inspect.isclass(target) else []
    meanings: dict[str, str] = {}
    for text in texts or [target.__doc__]:
        listed = re.split(r"\n(?:Attributes|Args):\n", inspect.cleandoc(text or ""), maxsplit=1)
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed[-1] if len(listed) > 1 else "", re.MULTILINE)
        meanings |= {name: re.sub(r"\s+", " ", meaning) for name, meaning in entries}
    return meanings


# --- from dicts to sections -------------------------------------------------------------------------------------------


def read_section(part: Part, section: Any, where: str) -> Any:
    """Read the section of a component from the dict that describes it.

    Args:
        part: the kind of component.
        section: the dict; a section is returned as it is, and a name where this is allowed.
        where: path of the section in the config, for errors.

    Raises:
        ValueError: for an unknown component or key; says what is allowed and what is nearest.
        TypeError: for a value of the wrong type.
    """
    called = where.rsplit(".", 1)[-1].removesuffix("_cfg")
    if isinstance(section, (Section, CustomConfig)):
        with at(f"{where}.class_name"):
            library_name(section.class_name, part.kind, called=called)
        return section
    if part.bare and not isinstance(section, Mapping):
        with at(where):
            return _checked_name(section, part.kind, called)
    if not isinstance(section, Mapping) or not ("class_name" in section or part.default):
        raise ValueError(
            f"{where} must be a section with a 'class_name', one of {', '.join(PARTS[part.kind])} or an import path; "
            f"got {section!r}."
        )
    refuse_keys_without_name(section, where)
    arguments = {key: value for key, value in section.items() if key != "class_name"}
    class_name = section.get("class_name", part.default)
    with at(f"{where}.class_name"):
        name = library_name(class_name, part.kind, called=called)
        factory = resolve_part(class_name, part.kind, called=called) if name is None else None
    if name is not None:
        return build(section_type(part.kind, name), {"class_name": name, **arguments}, where=where)
    declared = getattr(factory, "section", None)
    if dataclasses.is_dataclass(declared):
        return build(typing.cast(type, declared), {**arguments, "class_name": path_of(class_name)}, where=where)
    return CustomConfig(class_name, _custom_arguments(factory, part.kind, arguments, where), part.kind)


@contextlib.contextmanager
def at(where: str) -> Iterator[None]:
    """Prefix errors raised in this context with the place in the config, unless they have it already."""
    try:
        yield
    except (ValueError, TypeError, ImportError) as error:
        plain = (ValueError, TypeError, ImportError, ModuleNotFoundError)
        if not where or where in str(error) or type(error) not in plain:
            raise
        raise type(error)(f"{where}: {error}") from error


def _checked_name(name: Any, kind: str, called: str) -> Any:
    name = name.lower() if isinstance(name, str) and name.lower() in PARTS[kind] else name
    known = library_name(name, kind, called=called)
    if known is None:
        resolve_part(name, kind, called=called)
    return name if known is None else known


def _custom_arguments(factory: Any, kind: str, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    keys = keys_of(factory, kind)
    _refuse_other_callables(factory, kind, where)
    if not keys.is_open:
        _refuse_unknown(arguments, keys.hints, where, f"{factory} takes")
    missing = [key for key in keys.hints if key not in keys.defaults and key not in arguments]
    if missing and not keys.is_open:
        raise ValueError(f"{where} needs the key '{missing[0]}'.")
    return {key: _checked(keys.hints.get(key, Any), value, f"{where}.{key}") for key, value in arguments.items()}


def _refuse_other_callables(factory: Any, kind: str, where: str) -> None:
    """Reject a callable that is not of a kind: it lacks parameters that the library fills.

    Raises:
        TypeError: if any are missing; says which.
    """
    article = "an" if kind[0] in "aeiou" else "a"
    if not callable(factory):
        raise TypeError(f"{where}.class_name names {factory!r}, which is not callable, so it is not {article} {kind}.")
    parameters: Mapping[str, inspect.Parameter] = {}
    with contextlib.suppress(TypeError, ValueError):  # a builtin may have no signature
        parameters = inspect.signature(getattr(factory, "build", factory)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()) and kind != "algorithm":
        return
    missing = [name for name in TAKES.get(kind, ()) if name not in parameters]
    if missing:
        raise TypeError(
            f"{where}.class_name names {factory!r}, which is not {article} {kind}: it has no parameter "
            f"{' and no '.join(repr(name) for name in missing)}. docs/custom_parts.md says what {article} {kind} "
            "consists of."
        )


def refuse_keys_without_name(section: Mapping[Any, Any], where: str) -> None:
    """Reject keys that are not strings.

    Raises:
        TypeError: if there are any; names the first one.
    """
    for key in section:
        if not isinstance(key, str):
            raise TypeError(f"{where or 'the config'} has the key {key!r}; keys must be strings.")


def build(cls: type[Config], section: Mapping[str, Any], *, where: str) -> Config:
    """Build a dataclass from the dict that describes it.

    Args:
        cls: the dataclass.
        section: the dict.
        where: path of the section in the config, for errors; "" for the config itself.

    Raises:
        ValueError: for an unknown key, with the nearest valid one, a missing one, or a number out of range.
        TypeError: for a value of the wrong type.
    """
    refuse_keys_without_name(section, where)
    section = _without_excluded(cls, section, where)
    hints = hints_of(cls)
    _refuse_unknown(section, hints, where or "the config", "Allowed:", separator=". ")
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is f.default_factory is dataclasses.MISSING and f.name not in section
    ]
    if missing:
        raise ValueError(f"{where} needs the key '{missing[0]}'.")
    values = {key: _checked(hints[key], value, f"{where}.{key}".lstrip(".")) for key, value in section.items()}
    with at(where):
        return cls(**values)


def _refuse_unknown(
    section: Mapping[str, Any], allowed: collections.abc.Iterable[str], where: str, what: str, *, separator: str = ": "
) -> None:
    for key in section:
        if key not in allowed:
            raise ValueError(
                f"Unknown key '{key}' in {where}{separator}{what} {', '.join(sorted(allowed))}.{nearest(key, allowed)}"
            )


def _without_excluded(cls: Any, section: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    excluded = getattr(cls, "not_together", ())
    for key in excluded:
        if section.get(key):
            raise ValueError(f"{where}.{key} cannot be combined with {cls.class_name}. Remove it, or set it to null.")
    return {key: value for key, value in section.items() if key not in excluded}


def _checked(hint: Any, value: Any, where: str) -> Any:
    value = convert(hint, value, where)
    check_ranges(hint, value, where)
    return value


def convert(hint: Any, value: Any, where: str) -> Any:
    """Convert a value read from YAML or Python to the type of its key, if that loses nothing.

    Raises:
        ValueError: for a value that is not among the allowed ones, or an invalid section.
        TypeError: for a value of the wrong type.
    """
    if value is None and may_be_none(hint):
        return None
    part = part_of(hint)
    if part is not None and part in split_annotation(alternatives(hint)[0])[1]:
        return read_section(part, value, where)
    if any(typing.get_origin(choice) is collections.abc.Callable for choice in alternatives(hint)):
        vet(value, where.rsplit(".", 1)[-1])
    hint, _ = split_annotation(_alternative(alternatives(hint), value))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            hint_text = nearest(str(value), arguments)
            raise ValueError(f"{where} must be one of {', '.join(map(repr, arguments))}; got {value!r}.{hint_text}")
        return value
    if origin is tuple:
        if isinstance(value, (str, bytes, Mapping, set, frozenset)) or not hasattr(value, "__iter__"):
            raise TypeError(f"{where} must be a list; got {value!r}.")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ValueError(f"{where} must have {len(arguments)} entries; got {value!r}.")
        return tuple(convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is collections.abc.Mapping:
        if not isinstance(value, Mapping):
            raise TypeError(f"{where} must map names to values; got {value!r}.")
        refuse_keys_without_name(value, where)
        return {key: convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is collections.abc.Callable and not (callable(value) or isinstance(value, str)):
        raise TypeError(f"{where} must be a callable or its import path; got {value!r}.")
    if dataclasses.is_dataclass(hint) and not isinstance(value, typing.cast(type, hint)):
        if not isinstance(value, Mapping):
            raise TypeError(f"{where} must be a section of keys and values; got {value!r}.")
        return build(typing.cast(type, hint), value, where=where)
    return _scalar(hint, value, where) if hint in (int, float, bool, str) else value


def _alternative(hints: tuple[Any, ...], value: Any) -> Any:
    """Select the type among several that a value is meant for: a list, a mapping of sections, or one of those."""
    is_list = isinstance(value, (list, tuple))
    is_nested = (
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(item, Mapping) for item in value.values())
    )
    for hint in hints:
        origin = typing.get_origin(split_annotation(hint)[0])
        if (origin is tuple, origin is collections.abc.Mapping) == (is_list, is_nested):
            return hint
    return hints[0]


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        with contextlib.suppress(ValueError):
            value = float(value)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    allowed = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}[hint]
    is_bool_for_number = isinstance(value, bool) and hint is not bool
    if isinstance(value, allowed) and not is_bool_for_number:
        return float(value) if isinstance(value, int) and hint is float and abs(value) <= LARGEST_FLOAT else value
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return value  # a number that JAX traces
    raise TypeError(f"{where} must be of type {hint.__name__}; got {value!r}.")


def keys_for(part: Part, class_name: Callable[..., Any] | str, where: str) -> Mapping[str, Any] | None:
    """Return the keys that the section of a component may hold, with their annotations; None for any."""
    called = where.rsplit(".", 1)[-1].removesuffix("_cfg")
    name = library_name(class_name, part.kind, called=called)
    factory = resolve_part(class_name, part.kind, called=called) if name is None else None
    declared = section_type(part.kind, name) if name is not None else getattr(factory, "section", None)
    if declared is not None:
        return hints_of(declared)
    keys = keys_of(factory, part.kind)
    return None if keys.is_open else keys.hints


# --- contents of a section --------------------------------------------------------------------------------------------


def arguments_of(section: Any) -> dict[str, Any]:
    """Return the arguments that a section holds beside its ``class_name``."""
    if isinstance(section, CustomConfig):
        return dict(section.kwargs)
    return {f.name: getattr(section, f.name) for f in dataclasses.fields(section) if f.name != "class_name"}


def hints_for(section: Any) -> Mapping[str, Any]:
    """Return the annotations of a section's keys."""
    if isinstance(section, CustomConfig):
        return keys_of(load(section.class_name, section.kind), section.kind).hints
    return hints_of(type(section))


def meanings_for(section: Any) -> dict[str, str]:
    """Return the description of each of a section's keys."""
    return meanings_of(load(section.class_name, section.kind) if isinstance(section, CustomConfig) else type(section))


def all_arguments_of(section: Any) -> dict[str, Any]:
    """Return the arguments of a section, with the defaults of those that a custom component is not given."""
    if not isinstance(section, CustomConfig):
        return arguments_of(section)
    return {**keys_of(load(section.class_name, section.kind), section.kind).defaults, **section.kwargs}


def with_arguments(section: Any, **arguments: Any) -> Any:
    """Return the section with other arguments."""
    if isinstance(section, CustomConfig):
        return dataclasses.replace(section, kwargs={**section.kwargs, **arguments})
    return dataclasses.replace(section, **arguments)


def build_part(section: Any, kind: str, **given: Any) -> Any:
    """Build the component that a section describes.

    Args:
        section: the section.
        kind: a key of :data:`rsl_jax.registry.PARTS`.
        **given: what the library provides; a factory gets those that it has parameters for. ``section`` is the
            section as a whole, for a factory that declares its dataclass, and so gets no arguments one by one.
    """
    factory = resolve_part(section.class_name, kind)
    make = getattr(factory, "build", factory)
    parameters = inspect.signature(make).parameters
    asked = {name: value for name, value in {**given, "section": section}.items() if name in parameters}
    return make(**asked, **({} if hasattr(factory, "section") else arguments_of(section)))


def structural_fields(config: Any) -> set[str]:
    """Return the names of the fields that shape the program; the other ones are floats that may be traced."""
    hints = hints_for(config)
    floats = {name for name, hint in hints.items() if any(split_annotation(h)[0] is float for h in alternatives(hint))}
    return {"class_name", *all_arguments_of(config)} - floats


def path_of(callable_or_name: Any) -> str:
    """Return the import path of a callable; a name is returned as it is."""
    if isinstance(callable_or_name, str):
        return callable_or_name
    return f"{callable_or_name.__module__}:{callable_or_name.__qualname__}"
