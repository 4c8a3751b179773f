"""Environments: the interfaces that rsl_jax trains on, and adapters to other libraries."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rsl_jax.env.arrays import like, to_jax, to_jax_observations
from rsl_jax.env.base import Env, SingleEnv, Transition, VecEnv
from rsl_jax.env.camera import WithCamera, draw_segments
from rsl_jax.env.groups import RegroupedEnv, regroup
from rsl_jax.env.randomization import Randomize, Randomizer
from rsl_jax.env.registry import list_envs, make_env, make_vec_env, missing_extras, needs_download
from rsl_jax.env.sensor_options import Sensors, evaluation_options
from rsl_jax.env.sensors import WithActionDelay, WithHistory, WithNoise, WithObservationDelay, WithPushes
from rsl_jax.env.suites import Suite
from rsl_jax.env.vec_env import JaxVecEnv
from rsl_jax.env.vectorized import VectorizedEnv, VectorState, vectorize
from rsl_jax.env.wrappers import Wrapper

if TYPE_CHECKING:
    from rsl_jax.env.symmetry import SymmetryReport, check_symmetry

__all__ = [
    "Env",
    "JaxVecEnv",
    "Randomize",
    "Randomizer",
    "RegroupedEnv",
    "Sensors",
    "SingleEnv",
    "Suite",
    "SymmetryReport",
    "Transition",
    "VecEnv",
    "VectorState",
    "VectorizedEnv",
    "WithActionDelay",
    "WithCamera",
    "WithHistory",
    "WithNoise",
    "WithObservationDelay",
    "WithPushes",
    "Wrapper",
    "check_symmetry",
    "draw_segments",
    "evaluation_options",
    "like",
    "list_envs",
    "make_env",
    "make_vec_env",
    "missing_extras",
    "needs_download",
    "regroup",
    "to_jax",
    "to_jax_observations",
    "vectorize",
]


def __getattr__(name: str) -> Any:
    """Import the symmetry checker on first use: it imports extensions, which environments do not need."""
    if name not in ("SymmetryReport", "check_symmetry"):
        raise AttributeError(f"module 'rsl_jax.env' has no attribute '{name}'.")
    return getattr(importlib.import_module("rsl_jax.env.symmetry"), name)


def __dir__() -> list[str]:
    """List the public names, those that were not imported yet among them."""
    return __all__
