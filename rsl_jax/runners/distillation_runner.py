"""RSL-RL's runner for distillation."""

from __future__ import annotations

from rsl_jax.config import DistillationRunnerConfig
from rsl_jax.runners.on_policy_runner import OnPolicyRunner


class DistillationRunner(OnPolicyRunner):
    """Runner that trains a student to imitate a teacher, and saves, loads and exports the student.

    It is :class:`OnPolicyRunner` for a distillation config; each of the two runners rejects the other's config. Before
    :meth:`learn` a teacher must be loaded: ``runner.load(PATH)`` reads it, with its normaliser, from a checkpoint of
    PPO; a checkpoint of distillation contains its teacher, and training continues from it.
    """

    config_class = DistillationRunnerConfig
