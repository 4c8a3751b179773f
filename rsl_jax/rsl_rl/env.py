"""RSL-RL's environments: the base class that simulators' wrappers derive from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["VecEnv"]


class VecEnv(ABC):
    """A batch of environments behind Python methods; see :class:`rsl_jax.env.VecEnv` for the contract.

    Attributes:
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``.
        max_episode_length: time limit in steps, one for all or ``[N]``.
        episode_length_buf: steps since the last reset, ``[N]``.
        device: where its arrays live.
        cfg: what describes the environment.
    """

    num_envs: int
    num_actions: int
    max_episode_length: Any
    episode_length_buf: Any
    device: Any
    cfg: Any

    @abstractmethod
    def get_observations(self) -> Any:
        """Current observations by group, leaves ``[N, ...]``."""
        raise NotImplementedError

    @abstractmethod
    def step(self, actions: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Apply actions ``[N, A]``; gives observations, rewards ``[N]``, dones ``[N]`` and extras."""
        raise NotImplementedError
