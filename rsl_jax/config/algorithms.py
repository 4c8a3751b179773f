"""Sections of algorithms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Union

from rsl_jax.config.base import CustomConfig, require_at_least
from rsl_jax.config.extensions import RndConfig, SymmetryConfig


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation.

    Attributes:
        optimizer: adam, adamw, sgd or rmsprop.
        learning_rate: initial rate of the optimiser.
        num_learning_epochs: passes over each rollout.
        num_mini_batches: mini-batches of a pass.
        schedule: adaptive keeps the policy's steps near ``desired_kl`` by changing the learning rate; fixed does not.
        value_loss_coef: weight of the value loss.
        clip_param: how far the probability ratio (and a clipped value) may move.
        use_clipped_value_loss: whether values are clipped too.
        desired_kl: what the adaptive schedule aims at.
        entropy_coef: weight of the entropy bonus.
        gamma: discount of a step.
        lam: lambda of generalised advantage estimation.
        max_grad_norm: largest gradient norm, of actor and critic apart.
        normalize_advantage_per_mini_batch: normalise advantages in each mini-batch, not once a rollout.
        use_mixed_precision: run the networks of the update in bfloat16.
        share_cnn_encoders: let the critic use the actor's encoders, which then learn from both losses; its own cnn_cfg
            is ignored.
        time_out_bootstrap: what stands in for the unseen rest of an episode that ran out of time (not in RSL-RL): final
            takes the value of the final observation where the environment hands it over, current takes the value of the
            observation before, as RSL-RL does.
        grad_reduce_bucket_mb: accepted for RSL-RL's sake; XLA decides how gradients travel.
        rnd_cfg: random network distillation, a reward for what is new; null leaves it out.
        symmetry_cfg: mirrored copies of the data, for a robot that is symmetric; null leaves it out.
    """

    class_name: str = "PPO"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    num_learning_epochs: int = 5
    num_mini_batches: int = 4
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    value_loss_coef: float = 1.0
    clip_param: float = 0.2
    use_clipped_value_loss: bool = True
    desired_kl: float | None = 0.01
    entropy_coef: float = 0.01
    gamma: float = 0.99
    lam: float = 0.95
    max_grad_norm: float = 1.0
    normalize_advantage_per_mini_batch: bool = False
    use_mixed_precision: bool = False
    share_cnn_encoders: bool = False
    time_out_bootstrap: Literal["final", "current"] = "final"
    grad_reduce_bucket_mb: float = 25
    rnd_cfg: RndConfig | None = None
    symmetry_cfg: SymmetryConfig | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything; traced ones pass."""
        require_at_least(1, num_learning_epochs=self.num_learning_epochs, num_mini_batches=self.num_mini_batches)


@dataclass(frozen=True)
class DistillationConfig:
    """Student-teacher distillation.

    Attributes:
        optimizer: adam, adamw, sgd or rmsprop.
        learning_rate: rate of the optimiser.
        num_learning_epochs: passes over each rollout.
        gradient_length: steps whose losses are summed before each step of the optimiser; as far back in time do the
            gradients of a recurrent student reach.
        max_grad_norm: largest gradient norm; None or 0 for no limit.
        loss_type: mse (mean square) or huber (linear beyond 1) between the student's and the teacher's actions.
        use_mixed_precision: run the student of the update in bfloat16.
        grad_reduce_bucket_mb: accepted for RSL-RL's sake; XLA decides how gradients travel.
    """

    class_name: str = "Distillation"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    num_learning_epochs: int = 1
    gradient_length: int = 15
    max_grad_norm: float | None = None
    loss_type: Literal["mse", "huber"] = "mse"
    use_mixed_precision: bool = False
    grad_reduce_bucket_mb: float = 25

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything."""
        require_at_least(1, num_learning_epochs=self.num_learning_epochs, gradient_length=self.gradient_length)


AlgorithmConfig = Union[PPOConfig, DistillationConfig, CustomConfig]  # noqa: UP007

ALGORITHM_CONFIGS: Mapping[str, type] = {"PPO": PPOConfig, "Distillation": DistillationConfig}
"""By ``class_name``."""
