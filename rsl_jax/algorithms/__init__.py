"""Algorithms as frozen records of pure functions. A new one is a file and a line in :data:`rsl_jax.registry.PARTS`."""

from rsl_jax.algorithms.distillation import Distillation
from rsl_jax.algorithms.ppo import PPO

__all__ = ["PPO", "Distillation"]
