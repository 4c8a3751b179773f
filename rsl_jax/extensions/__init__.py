"""Extensions of PPO. A new one is a file, a line in :data:`EXTENSIONS`, and a section ``<name>_cfg`` of the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rsl_jax.config import RunnerConfig
from rsl_jax.extensions.base import Extension, combine
from rsl_jax.types import Spec

EXTENSIONS: Mapping[str, Callable[..., Extension]] = {}
"""By name: ``(cfg, spec, *, recurrent, axis_name) -> Extension``, as :func:`build_extensions` is called."""


def build_extensions(
    cfg: RunnerConfig, spec: Spec, *, recurrent: bool = False, axis_name: str | None = None
) -> Extension:
    """Build all extensions that a config asks for, as one.

    Args:
        cfg: the whole run's config; its ``algorithm`` section says which.
        spec: the environment.
        recurrent: whether a model has hidden states.
        axis_name: mesh axis over which the environments are spread, or None.

    Raises:
        ValueError: if one does not fit the environment or the models.
    """
    wanted = {name: build for name, build in EXTENSIONS.items() if getattr(cfg.algorithm, f"{name}_cfg", None)}
    return combine({name: build(cfg, spec, recurrent=recurrent, axis_name=axis_name) for name, build in wanted.items()})


__all__ = ["EXTENSIONS", "Extension", "build_extensions", "combine"]
