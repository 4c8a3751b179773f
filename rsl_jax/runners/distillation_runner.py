"""RSL-RL's runner for distillation."""

from __future__ import annotations

from rsl_jax.config import DistillationRunnerConfig
from rsl_jax.runners.on_policy_runner import OnPolicyRunner


class DistillationRunner(OnPolicyRunner):
    """Trains a student to act as a teacher does, saves, loads and exports the student.

    It is :class:`OnPolicyRunner` for a distillation config; each of the two refuses the other's. Before :meth:`learn` a
    teacher must be loaded: ``runner.load(PATH)`` takes it, with its normaliser, from a checkpoint of PPO; a checkpoint
    of distillation brings its own and is gone on from.
    """

    config_class = DistillationRunnerConfig
