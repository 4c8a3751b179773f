"""RSL-RL's base class of environments, from which the wrappers of simulators derive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["VecEnv"]


class VecEnv(ABC):
    """Batch of environments with an imperative interface; see :class:`rsl_jax.env.VecEnv` for the contract.

    Attributes:
        num_envs: number of environments, ``N``.
        num_actions: size of an action, ``A``.
        max_episode_length: time limit in steps, a number or ``[N]``.
        episode_length_buf: steps since the last reset, ``[N]``.
        device: device of its tensors.
        cfg: config of the environment.
    """

    num_envs: int
    num_actions: int
    max_episode_length: Any
    episode_length_buf: Any
    device: Any
    cfg: Any

    @abstractmethod
    def get_observations(self) -> Any:
        """Return the current observations by group, leaves ``[N, ...]``."""
        raise NotImplementedError

    @abstractmethod
    def step(self, actions: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Apply actions ``[N, A]``; returns observations, rewards ``[N]``, dones ``[N]`` and extras."""
        raise NotImplementedError
