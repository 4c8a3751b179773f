"""Config sections of algorithms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from rsl_jax.config.keys import Count, Fraction, Limit, NonNegative, Part, Positive
from rsl_jax.config.sections import Section

Optimizer = Annotated[Any, Part("optimizer", bare=True)]


@dataclass(frozen=True)
class PPOConfig(Section):
    """Proximal policy optimisation.

    Attributes:
        optimizer: adam, adamw, sgd or rmsprop, an import path, or a section with ``class_name`` and arguments.
        learning_rate: initial learning rate; with 0 nothing is learned, and a warning says so.
        num_learning_epochs: passes over each rollout.
        num_mini_batches: mini-batches per pass.
        schedule: adaptive keeps the policy's steps near ``desired_kl`` by changing the learning rate; fixed does not.
        value_loss_coef: weight of the value loss.
        clip_param: largest change of the probability ratio (and of a clipped value).
        use_clipped_value_loss: clip values, too.
        desired_kl: target KL divergence of the adaptive schedule.
        entropy_coef: weight of the entropy bonus.
        gamma: discount factor per step.
        lam: lambda of generalised advantage estimation.
        max_grad_norm: largest gradient norm, of actor and critic separately; 0 blocks all gradients, as in RSL-RL,
            and a warning says so.
        normalize_advantage_per_mini_batch: normalise advantages in each mini-batch instead of once per rollout.
        use_mixed_precision: run the networks of the update in bfloat16.
        share_cnn_encoders: let the critic use the actor's encoders, which then learn from both losses; its own cnn_cfg
            is ignored.
        time_out_bootstrap: value of the unseen rest of an episode that ran out of time (not in RSL-RL): final
            uses the value of the final observation where the environment provides it, current uses the value of the
            observation before, as RSL-RL does.
        grad_reduce_bucket_mb: accepted for compatibility; XLA decides how gradients are reduced.
        rnd_cfg: random network distillation, a reward for novel observations; null disables it.
        symmetry_cfg: mirrored copies of the data, for a symmetric robot; null disables it.
        extensions: further extensions by name, each a section with a ``class_name`` (not in RSL-RL).
    """

    models: ClassVar[tuple[str, ...]] = ("actor", "critic")

    class_name: str = "PPO"
    optimizer: Optimizer = "adam"
    learning_rate: NonNegative = 1e-3
    num_learning_epochs: Count = 5
    num_mini_batches: Count = 4
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    value_loss_coef: NonNegative = 1.0
    clip_param: Limit = 0.2
    use_clipped_value_loss: bool = True
    desired_kl: Positive | None = 0.01
    entropy_coef: float = 0.01
    gamma: Fraction = 0.99
    lam: Fraction = 0.95
    max_grad_norm: Limit = 1.0
    normalize_advantage_per_mini_batch: bool = False
    use_mixed_precision: bool = False
    share_cnn_encoders: bool = False
    time_out_bootstrap: Literal["final", "current"] = "final"
    grad_reduce_bucket_mb: NonNegative = 25
    rnd_cfg: Annotated[Any, Part("extension", default="RandomNetworkDistillation")] | None = None
    symmetry_cfg: Annotated[Any, Part("extension", default="Symmetry")] | None = None
    extensions: Mapping[str, Annotated[Any, Part("extension")]] = field(default_factory=dict)


@dataclass(frozen=True)
class DistillationConfig(Section):
    """Student-teacher distillation.

    Attributes:
        optimizer: adam, adamw, sgd or rmsprop, an import path, or a section with ``class_name`` and arguments.
        learning_rate: learning rate; with 0 nothing is learned, and a warning says so.
        num_learning_epochs: passes over each rollout.
        gradient_length: steps whose losses are summed before each step of the optimiser; gradients of a recurrent
            student reach as far back in time.
        max_grad_norm: largest gradient norm; None or 0 for no limit.
        loss_type: mse (mean square) or huber (linear beyond 1) between the student's and the teacher's actions.
        use_mixed_precision: run the student of the update in bfloat16.
        grad_reduce_bucket_mb: accepted for compatibility; XLA decides how gradients are reduced.
    """

    not_together: ClassVar[tuple[str, ...]] = ("rnd_cfg", "symmetry_cfg")
    models: ClassVar[tuple[str, ...]] = ("student", "teacher")

    class_name: str = "Distillation"
    optimizer: Optimizer = "adam"
    learning_rate: NonNegative = 1e-3
    num_learning_epochs: Count = 1
    gradient_length: Count = 15
    max_grad_norm: Limit | None = None
    loss_type: Literal["mse", "huber"] = "mse"
    use_mixed_precision: bool = False
    grad_reduce_bucket_mb: NonNegative = 25


def warn_where_nothing_learns(section: PPOConfig | DistillationConfig) -> None:
    """Warn of numbers in an algorithm's section that prevent learning, unless JAX traces them."""
    rnd = getattr(section, "rnd_cfg", None)
    learner = "actor and critic" if isinstance(section, PPOConfig) else "student"
    reasons = []
    if _is_zero(section.learning_rate):
        reasons.append(f"algorithm.learning_rate is 0, so {learner} never change")
    if isinstance(section, PPOConfig) and _is_zero(section.max_grad_norm):
        reasons.append(f"algorithm.max_grad_norm is 0, so no gradient reaches {learner} (.inf would be no limit)")
    if rnd is not None and _is_zero(getattr(rnd, "learning_rate", None)):
        reasons.append("algorithm.rnd_cfg.learning_rate is 0, so the predictor never learns")
    if reasons:
        warnings.warn(f"This config prevents learning: {'; '.join(reasons)}.", stacklevel=4)


def _is_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0
