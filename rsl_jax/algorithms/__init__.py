"""Algorithms as records of pure functions. A new one is a file and a line in :data:`ALGORITHMS`."""

from collections.abc import Callable, Mapping

from rsl_jax.algorithms.distillation import Distillation, distillation
from rsl_jax.algorithms.ppo import PPO, ppo
from rsl_jax.types import Algorithm

ALGORITHMS: Mapping[str, Callable[..., Algorithm]] = {"PPO": ppo, "Distillation": distillation}

__all__ = ["ALGORITHMS", "PPO", "Distillation", "distillation", "ppo"]
