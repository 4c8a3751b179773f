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

_FLAG = re.compile(r"--(?P<section>[\w.-]+)\.class[-_]name(?:=(?P<name>.+))?")


def choose_classes(cfg: BaseRunnerConfig, args: Sequence[str]) -> BaseRunnerConfig:
    """The config, with the classes that ``args`` name; a section keeps those of its values that its new class takes.

    Args:
        cfg: the config.
        args: all arguments; those that name no class are ignored.

    Raises:
        CommandError: if there is no such class or section.
    """
    chosen = _chosen(args)
    if not chosen:
        return cfg
    try:
        config = cfg.to_dict()
        for path, name in chosen.items():
            config = _with_class(config, path.split("."), name)
        return BaseRunnerConfig.from_dict(config)
    except (ValueError, TypeError, ImportError) as error:
        raise CommandError(str(error)) from error


def _chosen(args: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for flag, following in zip(args, [*args[1:], None], strict=True):
        match = _FLAG.fullmatch(flag)
        name = match and (match["name"] or following)
        if match and name:
            chosen[match["section"].replace("-", "_")] = name
    return chosen


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
