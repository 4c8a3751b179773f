"""Runners with RSL-RL's interface, for scripts written for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from rsl_jax.config import BaseRunnerConfig, DistillationRunnerConfig
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.rsl_rl.utils import Logger
from rsl_jax.runners import OnPolicyRunner as _OnPolicyRunner

__all__ = ["DistillationRunner", "OnPolicyRunner"]


class OnPolicyRunner(_OnPolicyRunner):
    """:class:`rsl_jax.runners.OnPolicyRunner` with RSL-RL's conventions.

    - Checkpoints in ``log_dir`` are files ``model_{it}.pt`` that RSL-RL loads, without a ``model_best`` beside them.
    - ``device`` is the given value, to compare with and to pass to PyTorch.
    - ``current_learning_iteration`` may be set before :meth:`learn`, which starts from there.
    - ``export_policy_to_jit`` writes TorchScript by default.
    """

    logger_class = Logger
    checkpoint_ending = ".pt"

    def __init__(
        self,
        env: Env[Any] | VecEnv,
        train_cfg: Mapping[str, Any] | BaseRunnerConfig,
        log_dir: str | Path | None = None,
        device: Any = "cpu",
        **options: Any,
    ) -> None:
        """Build everything, as :class:`rsl_jax.runners.OnPolicyRunner` does; ``device`` may also be PyTorch's."""
        super().__init__(env, train_cfg, log_dir, None if device is None else str(device), **options)
        self.device = device
        if isinstance(self.logger, Logger):
            self.logger.device = device

    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train for a number of iterations, from ``current_learning_iteration`` on."""
        current = self.current_learning_iteration
        if int(self.state.iteration) not in (current, current + 1):  # the user has set it
            self.state = dataclasses.replace(self.state, iteration=jnp.full_like(self.state.iteration, current))
        super().learn(num_learning_iterations, init_at_random_ep_len)

    def get_inference_policy(self, device: Any = None) -> Any:
        """Return the current policy; its actions are on the device of the observations."""
        return super().get_inference_policy(None if device is None else str(device))

    def export_policy_to_jit(
        self, path: str | Path, filename: str = "policy.pt", metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the policy as TorchScript; see :meth:`rsl_jax.runners.OnPolicyRunner.export_policy_to_jit`."""
        return super().export_policy_to_jit(path, filename, metadata)


class DistillationRunner(OnPolicyRunner):
    """:class:`rsl_jax.runners.DistillationRunner` with RSL-RL's conventions."""

    config_class = DistillationRunnerConfig
