"""Algorithms as records of pure functions. A new one is a file and a line in :data:`rsl_jax.registry.PARTS`."""

from rsl_jax.algorithms.distillation import Distillation, distillation
from rsl_jax.algorithms.ppo import PPO, ppo

__all__ = ["PPO", "Distillation", "distillation", "ppo"]
