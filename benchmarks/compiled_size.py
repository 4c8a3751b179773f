"""What every contestant of ``compiled_speed.py`` does in a turn; imports nothing, so that any Python can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """Work of a turn.

    Attributes:
        env: gymnax's name of the environment.
        num_envs: environments of a run.
        num_steps: steps of a rollout.
        iterations: rollouts, each with its update.
        seeds: runs in one ``vmap``; a single one is not vectorised.
        num_epochs: passes over a rollout.
        num_mini_batches: mini-batches of a pass.
        hidden: sizes of the hidden layers of actor and critic, tanh between them.
        learning_rate: fixed.
    """

    env: str = "Pendulum-v1"
    num_envs: int = 32
    num_steps: int = 32
    iterations: int = 50
    seeds: int = 1
    num_epochs: int = 4
    num_mini_batches: int = 4
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 3e-4

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's config of it."""
        model = {"class_name": "MLPModel", "hidden_dims": list(self.hidden), "activation": "tanh"}
        return {
            "num_steps_per_env": self.num_steps,
            "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
            "actor": model,
            "critic": model,
            "algorithm": {
                "class_name": "PPO",
                "schedule": "fixed",
                "learning_rate": self.learning_rate,
                "num_learning_epochs": self.num_epochs,
                "num_mini_batches": self.num_mini_batches,
            },
        }
