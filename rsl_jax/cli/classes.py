"""``--actor.class-name``: another class for a section of the config, before its other keys are read as flags."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rsl_jax.cli.output import CommandError
from rsl_jax.config import SECTIONS, BaseRunnerConfig
from rsl_jax.registry import resolve_callable

_FLAG = re.compile(r"--(?P<section>[\w.-]+)\.(?P<key>[\w-]+)(?:=(?P<value>.*))?")


def choose_classes(cfg: BaseRunnerConfig, args: Sequence[str]) -> BaseRunnerConfig:
    """The config, with the classes that ``args`` name; a section keeps those of its values that its new class takes.

    A flag of a section that the config does not have brings the section, of the first class in its table.

    Args:
        cfg: the config.
        args: all arguments; those that are no flags of a section are ignored.

    Raises:
        CommandError: if there is no such class or section.
    """
    config = cfg.to_dict()
    chosen = _chosen(config, args)
    if not chosen:
        return cfg
    try:
        for path, name in chosen.items():
            config = _with_class(config, path.split("."), name)
        return BaseRunnerConfig.from_dict(config)
    except (ValueError, TypeError, ImportError) as error:
        raise CommandError(str(error)) from error


def _chosen(config: Mapping[str, Any], args: Sequence[str]) -> dict[str, str]:
    """Names of classes by the path of their section."""
    flags = [(_FLAG.fullmatch(flag), following) for flag, following in zip(args, [*args[1:], None], strict=True)]
    matches = [(match["section"].replace("-", "_"), match, following) for match, following in flags if match]
    chosen = {path: next(iter(SECTIONS[_key(path)])) for path, *_ in matches if _is_absent(config, path)}
    for path, match, following in matches:
        name = match["value"] or following
        if match["key"].replace("-", "_") == "class_name" and name:
            chosen[path] = name
    return chosen


def _key(path: str) -> str:
    return path.rpartition(".")[2]


def _is_absent(config: Mapping[str, Any], path: str) -> bool:
    """Whether a path leads to a section that could be there."""
    *parents, key = path.split(".")
    section: Any = config
    for parent in parents:
        section = section.get(parent) if isinstance(section, Mapping) else None
    return key in SECTIONS and isinstance(section, Mapping) and key in section and section[key] is None


def _with_class(config: Mapping[str, Any], path: Sequence[str], name: str) -> dict[str, Any]:
    key, *rest = path
    section = config.get(key) or {}
    if rest:
        return {**config, key: _with_class(section, rest, name)}
    if key not in SECTIONS:
        return dict(config)  # the parser knows better what to say about it
    takes = _takes(resolve_callable(name, SECTIONS[key], key.removesuffix("_cfg")))
    kept = {argument: value for argument, value in section.items() if takes is None or argument in takes}
    return {**config, key: {**kept, "class_name": name}}


def _takes(target: Any) -> set[str] | None:
    """Names of the arguments that a section of this class may hold; None for any."""
    if dataclasses.is_dataclass(target):
        return {f.name for f in dataclasses.fields(target)}
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return {*parameters, "distribution_cfg"}
