"""Custom components, one of each kind, as a package beside rsl_jax would have them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import flax.linen as nn
import optax

from rsl_jax.algorithms import PPO
from rsl_jax.config import PPOConfig
from rsl_jax.distributions import Distribution, gaussian
from rsl_jax.env import Suite, vectorize
from rsl_jax.extensions import Extension
from rsl_jax.logging import LogWriter
from rsl_jax.models import MLPModel
from tests.environments import PointMass


def wide_gaussian(num_actions: int, *, widen: float = 2.0) -> Distribution:
    """A Gaussian that starts wide.

    Args:
        num_actions: how many actions.
        widen: its first standard deviation.
    """
    return gaussian(num_actions, init_std=widen)


def lion(*, b1: float = 0.9) -> optax.GradientTransformation:
    """Signs of gradients."""
    return optax.scale_by_lion(b1=b1)


def bonus(spec, *, weight: float = 1.0) -> Extension:
    """A reward for every step.

    Args:
        spec: the environment.
        weight: how much.
    """

    def prepare(state, memory, rollout):
        rewards = {"Own/bonus": 0 * rollout.rewards + weight}
        return state, memory, rollout.replace(rewards=rollout.rewards + weight), rewards

    return Extension(prepare=prepare, reward_tags=("Own/bonus",))


class GatedModel(MLPModel):
    """A gate in front of the MLP.

    Attributes:
        num_gates: how many gates.
    """

    num_gates: int = 3

    def setup(self):
        super().setup()
        self.gate = nn.Dense(self.num_gates)

    def latent(self, observations, carry):
        return nn.sigmoid(self.gate(self.normalized(observations))), carry


class Memory(LogWriter):
    """Keeps scalars."""

    scalars: ClassVar[dict[str, float]] = {}

    def __init__(self, log_dir, factor: float = 1.0):
        self.factor = factor

    def add_scalar(self, tag, value, global_step):
        self.scalars[tag] = self.factor * value


def slow_ppo(cfg, spec, *, axis_name=None, slowness: float = 10.0):
    """PPO at a fraction of its learning rate."""
    algorithm = PPOConfig(learning_rate=1e-3 / slowness, schedule="fixed", num_learning_epochs=1, num_mini_batches=1)
    return PPO.build(dataclasses.replace(cfg, algorithm=algorithm), spec, axis_name=axis_name)


OWN_SUITE = Suite(
    "numpy", "pip install numpy", lambda name, num_envs: vectorize(PointMass(), num_envs), lambda: ["Mass"]
)
