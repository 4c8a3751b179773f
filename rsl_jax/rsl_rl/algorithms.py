"""RSL-RL's algorithms, to look at and to name in a config; ``runner.alg`` is what answers for one."""

from __future__ import annotations

import dataclasses
from typing import Any

from rsl_jax.config import DistillationConfig, PPOConfig
from rsl_jax.rsl_rl.stand_ins import parameters_of, stand_in

__all__ = ["PPO", "Distillation"]

_WAY_OUT = (
    "Algorithms are records of pure functions here, which the runner builds from its config: OnPolicyRunner(env, cfg). "
    "What PPO should do beside its own goes into an extension, and another algorithm is a factory by its import path: "
    "docs/custom_parts.md."
)


def _settings(section: Any) -> dict[str, Any]:
    """The keys of a section with their defaults, and what RSL-RL's constructors take beside them."""
    instance = section()
    settings = {f.name: getattr(instance, f.name) for f in dataclasses.fields(section) if f.name != "class_name"}
    return {**settings, "device": "cpu", "multi_gpu_cfg": None}


PPO = stand_in(
    "PPO",
    "PPO: the name of :class:`rsl_jax.algorithms.PPO` for scripts that look at its parameters.",
    way_out=_WAY_OUT,
    parameters=parameters_of(["actor", "critic", "storage"], _settings(PPOConfig)),
)

Distillation = stand_in(
    "Distillation",
    "Distillation: the name of :class:`rsl_jax.algorithms.Distillation` for scripts that look at its parameters.",
    way_out=_WAY_OUT,
    parameters=parameters_of(["student", "teacher", "storage"], _settings(DistillationConfig)),
)
