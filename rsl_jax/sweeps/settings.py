"""The members of a sweep: all seeds of all settings, grouped by the program that trains them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.paths import find_path, is_float, value_at, with_checked_value

Setting = Mapping[str, Any]
"""Values by the path of their keys in the config: ``{"algorithm.gamma": 0.99}``."""


@dataclass(frozen=True)
class Member:
    """A training run of a sweep.

    Attributes:
        index: its place in the sweep.
        setting: its varied values, by path.
        seed: random seed, as of an ``OnPolicyRunner``.
    """

    index: int
    setting: Setting
    seed: int

    @property
    def label(self) -> str:
        """The setting as text, ``learning_rate=0.001 gamma=0.99``; ``"as configured"`` if nothing varies."""
        return label_of(self.setting)


def label_of(setting: Setting) -> str:
    """Return a setting as text, with the last keys of its paths."""
    names = [path.rsplit(".", 1)[-1] for path in setting]
    shown = [path if names.count(name) > 1 else name for path, name in zip(setting, names, strict=True)]
    return " ".join(f"{name}={_text(value)}" for name, value in zip(shown, setting.values(), strict=True)) or (
        "as configured"
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def list_settings(
    cfg: BaseRunnerConfig, varied: Mapping[str, Iterable[Any]], settings: Sequence[Setting] | None
) -> list[dict[str, Any]]:
    """Return every combination of varied values, or the given settings, checked against the config.

    Args:
        cfg: the config that they change.
        varied: lists of values by key; a key is a path, or the end of one if that is unambiguous.
        settings: values by key, one mapping per setting; instead of ``varied``.

    Returns:
        settings by full paths, without duplicates, in order.

    Raises:
        ValueError: for both or an unknown key, no values, a value out of range, or settings of different keys.
        TypeError: for a value of the wrong type, or a single value instead of a list.
    """
    if settings is not None and varied:
        raise ValueError("Give either lists of values by key, which are combined, or settings, not both.")
    if settings is None:
        for name, values in varied.items():
            if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
                raise TypeError(f"'{name}' of a sweep must be a list of values; got {values!r}. Write [{values!r}].")
        lists = {name: list(values) for name, values in varied.items()}
        for name, values in lists.items():
            if not values:
                raise ValueError(f"'{name}' of a sweep has no values. Give at least one, or leave it out.")
        settings = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    if not settings:
        raise ValueError("A sweep needs at least one setting; got an empty list.")
    by_path = []
    for setting in settings:
        if set(setting) != set(settings[0]):
            raise ValueError(
                f"All settings of a sweep must have the same keys; got {sorted(settings[0])} and {sorted(setting)}. "
                "Give each key in each of them."
            )
        by_path.append(_checked(cfg, {find_path(cfg, name): _plain(value) for name, value in setting.items()}))
    return [setting for index, setting in enumerate(by_path) if setting not in by_path[:index]]


def _checked(cfg: BaseRunnerConfig, setting: Setting) -> dict[str, Any]:
    """Check a setting against the config; text such as ``1e-4``, which YAML does not read as a number, becomes one.

    Raises:
        ValueError: for a value out of range.
        TypeError: for a value of the wrong type.
    """
    changed = apply_setting(cfg, setting)
    return {
        path: value_at(changed, path.split(".")) if is_float(cfg, path) else value for path, value in setting.items()
    }


def _plain(value: Any) -> Any:
    """Convert a number of numpy or JAX to a Python number; return anything else unchanged."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def apply_setting(cfg: BaseRunnerConfig, setting: Setting) -> BaseRunnerConfig:
    """Return the config with the values of a setting, which may be traced.

    Raises:
        ValueError: for a value out of range.
        TypeError: for a value of the wrong type.
    """
    for path, value in setting.items():
        cfg = with_checked_value(cfg, path, value)
    return cfg


def list_seeds(seeds: int | Iterable[int]) -> list[int]:
    """List the seeds ``0`` to ``seeds - 1``, or the given ones.

    Raises:
        ValueError: if there is none, or a duplicate.
        TypeError: if something is not an integer.
    """
    listed = [*range(seeds)] if isinstance(seeds, int) and not isinstance(seeds, bool) else seeds
    if not isinstance(listed, Iterable):
        raise TypeError(f"seeds must be the number of seeds, or a list of them; got {seeds!r}.")
    listed = [_plain(seed) for seed in listed]
    if not listed:
        raise ValueError(f"A sweep needs at least one seed; got seeds={seeds!r}.")
    for seed in listed:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"A seed must be a whole number; got {seed!r}.")
        if seed < 0 or seed >= 2**32:
            raise ValueError(f"A seed must be at least 0 and below 2**32; got {seed}.")
    if len(set(listed)) < len(listed):
        raise ValueError(f"A seed is given twice in {listed}; the two runs would be the same.")
    return listed


def shapes_of(
    cfg: BaseRunnerConfig, members: Sequence[Member], traceable: Iterable[str]
) -> list[tuple[BaseRunnerConfig, list[Member]]]:
    """Group members by program: those that differ only in traced numbers share one.

    Args:
        cfg: the config that the settings change.
        members: all of them.
        traceable: paths of numbers that may be traced.

    Returns:
        for each program its config, with the values that determine the program, and its members.
    """
    traced = set(traceable)
    groups: dict[str, tuple[BaseRunnerConfig, list[Member]]] = {}
    for member in members:
        fixed = {path: value for path, value in member.setting.items() if path not in traced}
        shape = repr(sorted(fixed.items(), key=lambda item: item[0]))
        if shape not in groups:
            groups[shape] = (apply_setting(cfg, fixed), [])
        groups[shape][1].append(member)
    return list(groups.values())


def numeric_paths(cfg: BaseRunnerConfig, settings: Sequence[Setting]) -> list[str]:
    """Return the paths of floats that are numbers in every setting."""
    paths = settings[0] if settings else {}
    return [path for path in paths if is_float(cfg, path) and all(_is_number(s[path]) for s in settings)]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
