"""Extensions of PPO. A new one is a file and a line in :data:`rsl_jax.registry.PARTS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsl_jax.config import RunnerConfig, build_part
from rsl_jax.extensions.base import Extension, combine
from rsl_jax.types import Spec

RSL_RL = {"rnd": "rnd_cfg", "symmetry": "symmetry_cfg"}
"""Extensions with their own key in RSL-RL's section of PPO, by name."""


def build_extensions(
    cfg: RunnerConfig,
    spec: Spec,
    *,
    obs_groups: Mapping[str, tuple[str, ...]],
    recurrent: bool = False,
    axis_name: str | None = None,
) -> Extension:
    """Build all extensions of a config and combine them into one.

    Args:
        cfg: the whole run's config; its ``algorithm`` section names the extensions.
        spec: the environment.
        obs_groups: observation groups of every set, those of actor and critic among them.
        recurrent: whether a model is recurrent.
        axis_name: mesh axis over which the environments are spread, or None.

    Raises:
        ValueError: if one does not fit the environment or the models.
    """
    given: dict[str, Any] = {"obs_groups": obs_groups, "recurrent": recurrent, "axis_name": axis_name}
    built = {}
    for name, section in sections_of(cfg.algorithm).items():
        built[name] = build_part(section, "extension", cfg=cfg, spec=spec, **given)
        if not isinstance(built[name], Extension):
            raise TypeError(
                f"The extension '{name}' ({section.class_name}) returned a {type(built[name]).__name__}; it must "
                "return a rsl_jax.extensions.Extension."
            )
    return combine(built)


def sections_of(algorithm: Any) -> dict[str, Any]:
    """Return the sections of all extensions in an algorithm's section, by name.

    Raises:
        ValueError: if two have the same name.
    """
    ours = {name: getattr(algorithm, key, None) for name, key in RSL_RL.items()}
    more = dict(getattr(algorithm, "extensions", {}))
    for name in more:
        if ours.get(name) is not None:
            raise ValueError(f"algorithm.extensions.{name} is already there as algorithm.{RSL_RL[name]}; rename it.")
    return {name: section for name, section in {**ours, **more}.items() if section is not None}


def to_act(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, as a dict, without what only training needs: extensions and log writers."""
    algorithm, unneeded = config.get("algorithm"), {*RSL_RL.values(), "extensions"}
    if isinstance(algorithm, Mapping):
        algorithm = {key: value for key, value in algorithm.items() if key not in unneeded}
    return {**{key: value for key, value in config.items() if key != "logger"}, "algorithm": algorithm}


__all__ = ["Extension", "build_extensions", "combine", "sections_of", "to_act"]
