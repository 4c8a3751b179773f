"""Extensions of PPO. A new one is a file, a line in :data:`EXTENSIONS`, and a section ``<name>_cfg`` of the config."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from rsl_jax.config import BaseRunnerConfig, RunnerConfig
from rsl_jax.extensions.base import Extension, combine
from rsl_jax.extensions.rnd import rnd
from rsl_jax.extensions.symmetry import symmetry
from rsl_jax.types import Spec

EXTENSIONS: Mapping[str, Callable[..., Extension]] = {"rnd": rnd, "symmetry": symmetry}
"""By name: callables with the arguments of :func:`build_extensions` that give an :class:`Extension`."""


def build_extensions(
    cfg: RunnerConfig,
    spec: Spec,
    *,
    obs_groups: Mapping[str, tuple[str, ...]],
    recurrent: bool = False,
    axis_name: str | None = None,
) -> Extension:
    """Build all extensions that a config asks for, as one.

    Args:
        cfg: the whole run's config; its ``algorithm`` section says which.
        spec: the environment.
        obs_groups: observation groups of every set, those of actor and critic among them.
        recurrent: whether a model has hidden states.
        axis_name: mesh axis over which the environments are spread, or None.

    Raises:
        ValueError: if one does not fit the environment or the models.
    """
    wanted = {name: build for name, build in EXTENSIONS.items() if getattr(cfg.algorithm, f"{name}_cfg", None)}
    given: dict[str, Any] = {"obs_groups": obs_groups, "recurrent": recurrent, "axis_name": axis_name}
    return combine({name: build(cfg, spec, **given) for name, build in wanted.items()})


def without_extensions(cfg: BaseRunnerConfig) -> Any:
    """The same config with all extensions switched off."""
    algorithm: Any = cfg.algorithm
    sections = {f"{name}_cfg": None for name in EXTENSIONS if hasattr(algorithm, f"{name}_cfg")}
    return dataclasses.replace(cfg, algorithm=dataclasses.replace(algorithm, **sections))


__all__ = ["EXTENSIONS", "Extension", "build_extensions", "combine", "rnd", "symmetry", "without_extensions"]
