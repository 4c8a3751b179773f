"""RSL-RL in functional JAX: training runs as pure functions, with RSL-RL's configuration and numbers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers know of them
    from rsl_jax.compilation_cache import use_compilation_cache as use_compilation_cache
    from rsl_jax.config import RunnerConfig as RunnerConfig
    from rsl_jax.env import make_env as make_env
    from rsl_jax.env import make_vec_env as make_vec_env
    from rsl_jax.sweeps import population_based_training as population_based_training
    from rsl_jax.sweeps import sweep as sweep
    from rsl_jax.training import make_train as make_train
    from rsl_jax.trusted import trust as trust

__version__ = "0.1.0"

# Imported on first use, so that a program that loads an exported policy does not import the whole library.
_HOMES = {
    "RunnerConfig": "rsl_jax.config",
    "make_env": "rsl_jax.env",
    "make_train": "rsl_jax.training",
    "make_vec_env": "rsl_jax.env",
    "population_based_training": "rsl_jax.sweeps",
    "trust": "rsl_jax.trusted",
    "sweep": "rsl_jax.sweeps",
    "use_compilation_cache": "rsl_jax.compilation_cache",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rsl_jax' has no attribute '{name}'; it has {', '.join(sorted(__all__))}.")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, including those that are not imported yet."""
    return [*__all__]
