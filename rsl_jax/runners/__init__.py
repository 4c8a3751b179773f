"""RSL-RL's runners."""

from rsl_jax.runners.distillation_runner import DistillationRunner
from rsl_jax.runners.guards import NonFiniteError
from rsl_jax.runners.on_policy_runner import OnPolicyRunner
from rsl_jax.runners.policy import InferencePolicy

__all__ = ["DistillationRunner", "InferencePolicy", "NonFiniteError", "OnPolicyRunner"]
