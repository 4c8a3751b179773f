"""Parsing of arguments into dataclasses by tyro, with rules for the types that tyro does not know.

The options of the command are parsed first. The remaining flags, such as ``--actor.hidden-dims 128 64``, are applied to
the config that the options select.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import tyro
import yaml
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from rsl_jax.cli.output import CommandError
from rsl_jax.config import BaseRunnerConfig, CustomConfig
from rsl_jax.config.keys import Part, alternatives, part_of, range_text, split_annotation
from rsl_jax.config.paths import is_section, value_at, with_value
from rsl_jax.config.sections import (
    all_arguments_of,
    arguments_of,
    convert,
    hints_for,
    keys_for,
    meanings_for,
    read_section,
    with_arguments,
)
from rsl_jax.registry import nearest

Command = TypeVar("Command")

_UNSET = ("", "''", "None")  # as tyro shows them


def option(metavar: str | None = None, *, default: str, text: str | None = None) -> Any:
    """Configure an option whose None or empty value stands for a default that is determined later.

    Args:
        metavar: placeholder of the value in ``--help``.
        default: description of that default.
        text: description of the option; that of the docstring if None.
    """
    return tyro.conf.arg(
        metavar=metavar,
        help=text,
        help_behavior_hint=lambda shown: f"(default: {default if shown in _UNSET else shown})",
    )


LATEST = "latest"
"""Value of ``--resume`` without a path."""

OFF = ("none", "null")
"""Values that disable a section."""


def parse(command: type[Command], args: Sequence[str], *, prog: str, default: Command | None = None) -> Command:
    """Parse arguments into a dataclass; ``--help`` and invalid arguments end the process with a message.

    Args:
        command: the dataclass.
        args: the arguments.
        prog: name of the command.
        default: values of arguments that are not given.
    """
    return tyro.cli(
        command,
        prog=prog,
        args=args,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.AvoidSubcommands,),
        registry=_registry(),
    )


def parse_options(command: type[Command], args: Sequence[str], *, prog: str) -> tuple[Command, list[str]]:
    """Parse the options of a command; returns them, and the other arguments in their order."""
    config = (tyro.conf.AvoidSubcommands,)
    return tyro.cli(command, prog=prog, args=args, config=config, registry=_registry(), return_unknown_args=True)


def parse_config(cfg: BaseRunnerConfig, flags: Sequence[str], *, prog: str, options: type) -> BaseRunnerConfig:
    """Apply flags to a config.

    Args:
        cfg: the config, with the values of keys that are not given.
        flags: the arguments that are not options of the command.
        prog: name of the command.
        options: the dataclass of the command's options, for hints at misspelt ones.

    Raises:
        CommandError: for an unknown flag or component, or an invalid value.
    """
    given = list(_flags(flags))
    _refuse_misspelt(cfg, given, options)
    try:
        cfg, rest = choose_parts(cfg, given)
        return parse(type(cfg), [arg for flag in rest for arg in flag.args], prog=prog, default=cfg)
    except (ValueError, TypeError, ImportError) as error:
        raise CommandError(str(error)) from error


# --- choice of components ---------------------------------------------------------------------------------------------


class Flag(NamedTuple):
    """A flag of the command line.

    Attributes:
        path: the keys that it consists of.
        values: the values that follow it.
        args: both, as written.
    """

    path: tuple[str, ...]
    values: tuple[str, ...]
    args: tuple[str, ...]


def _flags(args: Sequence[str]) -> Iterator[Flag]:
    starts = [index for index, arg in enumerate(args) if arg.startswith("--")]
    if args and not (starts and starts[0] == 0):
        raise CommandError(f"Unexpected argument '{args[0]}': it does not belong to an option.")
    for start, end in itertools.pairwise([*starts, len(args)]):
        name, separator, value = args[start].removeprefix("--").partition("=")
        values = ((value,) if separator else ()) + tuple(args[start + 1 : end])
        yield Flag(tuple(name.replace("-", "_").split(".")), values, tuple(args[start:end]))


def take_lists(cfg: BaseRunnerConfig, flags: Sequence[str]) -> tuple[list[str], dict[str, list[Any]]]:
    """Extract the flags that give several values to a key.

    A key whose value is a list, such as ``hidden_dims``, is given several lists:
    ``--actor.hidden-dims "[64, 64]" "[128, 128]"``.

    Returns:
        the other flags, and the values by path.

    Raises:
        CommandError: for an argument that does not belong to a flag.
    """
    rest: list[str] = []
    lists: dict[str, list[Any]] = {}
    for flag in _flags(flags):
        values = [_from_yaml(value) for value in flag.values]
        holds_a_list = isinstance(value_at(cfg, flag.path), (tuple, list, Mapping))
        if len(values) > 1 and (not holds_a_list or all(isinstance(value, list) for value in values)):
            lists[".".join(flag.path)] = values
        else:
            rest += flag.args
    return rest, lists


def _refuse_misspelt(cfg: BaseRunnerConfig, flags: Sequence[Flag], options: type) -> None:
    """Reject options that the command does not have; within sections of the config, tyro suggests similar ones."""
    keys = {f.name for f in dataclasses.fields(cfg)}
    known = keys | {f.name for f in dataclasses.fields(options)}
    for flag in flags:
        if flag.path[0] not in keys and flag.path[0].removeprefix("no_") not in keys:
            names = [f"--{name.replace('_', '-')}" for name in sorted(known - {"runner", "env", "extra"})]
            name = flag.args[0].partition("=")[0]
            raise CommandError(f"Unknown option '{name}'.{nearest(name.partition('.')[0], names)}")


def choose_parts(cfg: Any, flags: Sequence[Flag]) -> tuple[Any, list[Flag]]:
    """Replace the components that flags select by ``class-name``, or enable by one of their keys.

    A section keeps the values that its new component accepts. A flag of a section that is null in the config enables
    the section, with the default component of its kind. ``none`` disables a section.

    Returns:
        the config, and the remaining flags.

    Raises:
        ValueError: if there is no such component.
        ImportError: if the import path of one cannot be imported.
    """
    chosen: dict[tuple[str, ...], Any] = {}
    rest = []
    for flag in flags:
        *section, key = flag.path
        if key == "class_name" and flag.values:
            chosen[tuple(section)] = flag.values[0]
        elif flag.values and flag.values[0].lower() in OFF and _hintvalue_at(cfg, flag.path) is not None:
            chosen[flag.path] = None
        else:
            part = _hintvalue_at(cfg, section)
            if part is not None and part.default and value_at(cfg, section) is None:
                chosen.setdefault(tuple(section), part.default)
            rest.append(flag)
    for path, name in sorted(chosen.items()):  # outer sections first
        old, part = value_at(cfg, path), _hintvalue_at(cfg, path)
        new = None if name is None else _another_part(old, name, part, ".".join(path))
        cfg = with_value(cfg, path, new)
    return cfg, rest


def _hintvalue_at(node: Any, path: Sequence[str]) -> Part | None:
    """Return the kind of component whose section a path may hold, if it may hold one."""
    hint: Any = None
    for key in path:
        if isinstance(node, Mapping):
            hint = typing.get_args(hint)[1] if typing.get_args(hint) else None
        else:
            hint = hints_for(node).get(key) if is_section(node) else None
        node = value_at(node, [key])
    return None if hint is None else part_of(hint)


def _another_part(old: Any, name: str, part: Part | None, where: str) -> Any:
    """Return the section of a component, with the values of an old section that it accepts."""
    if part is None:
        raise ValueError(f"{where} is not a section with a class_name.")
    takes = keys_for(part, name, where)
    values = arguments_of(old) if is_section(old) else {}
    kept = {key: value for key, value in values.items() if takes is None or key in takes}
    return read_section(part, {**kept, "class_name": name}, where)


# --- how tyro reads a config ------------------------------------------------------------------------------------------


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_config_values)
    registry.struct_rule(_section)
    return registry


def _section(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Let tyro read a section, or a mapping of sections, by recursive flags."""
    section = info.default
    if isinstance(section, Mapping) and section and all(is_section(item) for item in section.values()):
        fields = [StructFieldSpec(name, type(item), item) for name, item in section.items()]
        return StructConstructorSpec(instantiate=lambda **items: items, fields=tuple(fields))
    if not is_section(section):
        return None
    hints, meanings, values = hints_for(section), meanings_for(section), all_arguments_of(section)
    fields = [_field(key, hints.get(key, Any), value, meanings.get(key, "")) for key, value in values.items()]

    def instantiate(**given: Any) -> Any:
        read = {key: convert(hints.get(key, Any), value, key) for key, value in given.items()}
        if isinstance(section, CustomConfig):  # its callable has the defaults
            read = {key: value for key, value in read.items() if key in section.kwargs or value != values[key]}
        return with_arguments(section, **read)

    return StructConstructorSpec(instantiate=instantiate, fields=tuple(fields))


def _field(key: str, hint: Any, value: Any, meaning: str) -> StructFieldSpec:
    allowed = ", ".join(filter(None, map(range_text, alternatives(hint))))
    text = f"{meaning.rstrip('.')} ({allowed})." if allowed and meaning else meaning
    if is_section(value) or (isinstance(value, Mapping) and value and all(map(is_section, value.values()))):
        return StructFieldSpec(key, type(value), value, helptext=text)
    if hint in (Any, None) and isinstance(value, bool):
        hint = bool
    kind: Any = hint if _is_plain(hint) else Annotated[Any, _ANY]
    return StructFieldSpec(key, kind, value, helptext=text)


def _is_plain(hint: Any) -> bool:
    """Return whether tyro can parse a type, by itself or by a rule here; anything else is parsed as YAML."""
    if hint in (Mapping[str, tuple[str, ...]], Mapping[str, Any]):
        return True
    for choice in alternatives(hint):
        kind, _ = split_annotation(choice)
        if typing.get_origin(kind) is tuple:
            if not all(argument is Ellipsis or _is_plain(argument) for argument in typing.get_args(kind)):
                return False
        elif kind not in (int, float, bool, str) and typing.get_origin(kind) is not Literal:
            return False
    return True


def _key_value_pairs(args: list[str]) -> dict[str, Any]:
    pairs = [arg.partition("=") for arg in args]
    for key, separator, _ in pairs:
        if not key or not separator:
            raise ValueError(f"'{key}' is not of the form KEY=VALUE")
    return {key: _from_yaml(value) for key, _, value in pairs}


def _from_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"'{text}' is not valid YAML: {' '.join(str(error).split())}") from error


def _to_yaml(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False).removesuffix("\n...\n").strip()


def _groups(args: list[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(str(groups).split(",")) for name, groups in _key_value_pairs(args).items()}


def _whether_to_randomize(args: list[str]) -> bool | str:
    if len(args) > 1:
        raise ValueError(f"at most one randomizer can be given, got {len(args)}")
    value = _from_yaml(args[0]) if args else True
    if not isinstance(value, bool) and ":" not in str(value):
        raise ValueError(f"'{args[0]}' is neither module:function nor true nor false")
    return value if isinstance(value, bool) else args[0]


def _at_most_one(args: list[str]) -> str:
    if len(args) > 1:
        raise ValueError(f"at most one checkpoint can be given, got {len(args)}")
    return args[0] if args else LATEST


_KEY_VALUES = PrimitiveConstructorSpec(
    nargs="*",
    metavar="KEY=VALUE ...",
    instance_from_str=_key_value_pairs,
    is_instance=lambda value: isinstance(value, Mapping),
    str_from_instance=lambda value: [f"{key}={_to_yaml(item)}" for key, item in value.items()],
)

_OBS_GROUPS = PrimitiveConstructorSpec(
    nargs="*",
    metavar="SET=GROUP,... ...",
    instance_from_str=_groups,
    is_instance=lambda value: isinstance(value, Mapping),
    str_from_instance=lambda value: [f"{name}={','.join(groups)}" for name, groups in value.items()],
)

_ANY = PrimitiveConstructorSpec(
    nargs=1,
    metavar="YAML",
    instance_from_str=lambda args: _from_yaml(args[0]),
    is_instance=lambda _: True,
    str_from_instance=lambda value: [_to_yaml(value)],
)

_CHECKPOINT = PrimitiveConstructorSpec(
    nargs="*",
    metavar="[CHECKPOINT]",
    instance_from_str=_at_most_one,
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: [] if value is None else [value],
)

_RANDOMIZE = PrimitiveConstructorSpec(
    nargs="*",
    metavar="[MODULE:FUNCTION]",
    instance_from_str=_whether_to_randomize,
    is_instance=lambda value: value is None or isinstance(value, (bool, str)),
    str_from_instance=lambda value: [] if value is True else [str(value).lower() if value is False else value],
)

KeyValues = Annotated[Mapping[str, Any], _KEY_VALUES]
"""``--flag key=value other=1.5``; values are YAML."""

CheckpointFlag = Annotated[str | None, _CHECKPOINT]
"""``--flag`` for :data:`LATEST`, ``--flag PATH`` for a path."""

RandomizeFlag = Annotated[bool | str | None, _RANDOMIZE]
"""``--flag`` for the environment's own randomizer, ``--flag module:function`` for another, ``--flag false``."""


def with_randomization(
    env_kwargs: Mapping[str, Any], randomize: bool | str | None, every: int | None
) -> dict[str, Any]:
    """Apply the flags ``--randomize`` and ``--randomize-every`` to the options of an environment.

    Raises:
        CommandError: for an interval without randomization.
    """
    options = dict(env_kwargs)
    if randomize is not None:
        options = {**options, "randomize": randomize}
        if not randomize:
            options.pop("randomize_every", None)
    if every is not None:
        if not options.get("randomize"):
            raise CommandError("--randomize-every has no effect without --randomize. Add --randomize, or remove it.")
        options["randomize_every"] = every
    return options


def _config_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    if info.type == Mapping[str, tuple[str, ...]]:
        return _OBS_GROUPS
    if info.type == Mapping[str, Any]:
        return _KEY_VALUES
    return _ANY if info.type is Any else None
