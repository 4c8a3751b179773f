"""Stand-ins for RSL-RL's algorithms, to inspect and to name in a config; ``runner.alg`` has their interface."""

from __future__ import annotations

import dataclasses
from typing import Any

from rsl_jax.config import DistillationConfig, PPOConfig
from rsl_jax.rsl_rl.stand_ins import parameters_of, stand_in

__all__ = ["PPO", "Distillation"]

_WAY_OUT = (
    "Algorithms are records of pure functions here, which the runner builds from its config: OnPolicyRunner(env, cfg). "
    "Write additions to PPO as an extension, and another algorithm as a factory that is given by import path: "
    "docs/custom_parts.md."
)


def _settings(section: Any) -> dict[str, Any]:
    """Return the keys of a section with their defaults, and the other parameters of RSL-RL's constructors."""
    instance = section()
    settings = {f.name: getattr(instance, f.name) for f in dataclasses.fields(section) if f.name != "class_name"}
    return {**settings, "device": "cpu", "multi_gpu_cfg": None}


PPO = stand_in(
    "PPO",
    "PPO: stands for :class:`rsl_jax.algorithms.PPO` in scripts that inspect its parameters.",
    way_out=_WAY_OUT,
    parameters=parameters_of(["actor", "critic", "storage"], _settings(PPOConfig)),
)

Distillation = stand_in(
    "Distillation",
    "Distillation: stands for :class:`rsl_jax.algorithms.Distillation` in scripts that inspect its parameters.",
    way_out=_WAY_OUT,
    parameters=parameters_of(["student", "teacher", "storage"], _settings(DistillationConfig)),
)
