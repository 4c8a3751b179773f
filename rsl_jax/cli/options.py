"""From arguments to dataclasses, by tyro, and how tyro is to read what it does not know by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

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

from rsl_jax.config import CustomConfig

Command = TypeVar("Command")

LATEST = "latest"
"""What ``--resume`` means without a path."""


def parse(command: type[Command], args: Sequence[str], *, prog: str, default: Command | None = None) -> Command:
    """Read arguments into a dataclass; ``--help`` and mistakes end the process with a message.

    Args:
        command: the dataclass.
        args: the arguments.
        prog: how the command is called.
        default: what arguments that are not given stay at.
    """
    return tyro.cli(
        command,
        prog=prog,
        args=args,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.AvoidSubcommands,),
        registry=_registry(),
    )


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
        raise ValueError(f"'{text}' is not YAML: {' '.join(str(error).split())}") from error


def _to_yaml(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False).removesuffix("\n...\n").strip()


def _groups(args: list[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(str(groups).split(",")) for name, groups in _key_value_pairs(args).items()}


def _at_most_one(args: list[str]) -> str:
    if len(args) > 1:
        raise ValueError(f"one checkpoint or none, not {len(args)}")
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

KeyValues = Annotated[Mapping[str, Any], _KEY_VALUES]
"""``--flag key=value other=1.5``; values are YAML."""

CheckpointFlag = Annotated[str | None, _CHECKPOINT]
"""``--flag`` for :data:`LATEST`, ``--flag PATH`` for a path."""


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_config_values)
    registry.struct_rule(_custom_section)
    return registry


def _config_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type == Mapping[str, tuple[str, ...]]:
        return _OBS_GROUPS
    if info.type == Mapping[str, Any]:
        return _KEY_VALUES
    return _ANY if info.type is Any else None


def _custom_section(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A section of the user's own class: its arguments, as far as they are given, become flags."""
    if info.type is not CustomConfig or not isinstance(info.default, CustomConfig):
        return None
    section = info.default
    arguments = [
        StructFieldSpec(name, type(value) if isinstance(value, bool) or hasattr(value, "class_name") else Any, value)
        for name, value in section.kwargs.items()
    ]
    return StructConstructorSpec(
        instantiate=lambda class_name, **kwargs: CustomConfig(class_name, kwargs),
        fields=(StructFieldSpec("class_name", str, section.class_name), *arguments),
    )
