"""Wrapper of a pure environment as RSL-RL's ``VecEnv``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.env.arrays import to_jax
from rsl_jax.env.base import Env
from rsl_jax.types import Array, Key, Observations, TimeStep


class JaxVecEnv:
    """Pure :class:`rsl_jax.env.Env` wrapped as RSL-RL's :class:`rsl_jax.env.VecEnv`.

    Steps and resets are compiled; all arrays are JAX arrays. Returned arrays stay valid, whatever is done next.

    Attributes:
        env: the pure environment, whose attributes are available here too.
        state: its current state.
        device: device of the arrays.
    """

    def __init__(self, env: Env[Any], *, seed: int | None = None, key: Key | None = None):
        """Reset the environment.

        Args:
            env: the pure environment.
            seed: seed of the initial states; 0 where neither this nor a key is given.
            key: random key instead of a seed.

        Raises:
            ValueError: if both a seed and a key are given.
        """
        if seed is not None and key is not None:
            raise ValueError("Give either seed= or key=, not both.")
        self.env = env
        self.num_envs = env.num_envs
        self.num_actions = env.num_actions
        self.discrete = env.discrete
        self.max_episode_length = env.max_episode_length
        self.step_dt = env.step_dt
        self.cfg = env.cfg
        # Nothing is donated: observations that the caller holds may share memory with the state.
        self._reset = jax.jit(env.reset)
        self._step = jax.jit(self._count_and_step)
        self._begin_iteration = jax.jit(env.begin_iteration)
        self.reset(key=jax.random.key(seed or 0) if key is None else key)
        self.device = next(iter(self._lengths.devices()))

    def reset(self, *, key: Key) -> Observations:
        """Reset all environments; returns the first observations, leaves ``[N, ...]``."""
        self.state, self._observations = self._reset(key)
        self._lengths = jnp.zeros(self.num_envs, jnp.int32)
        return self._observations

    def get_observations(self) -> Observations:
        """Return the current observations, leaves ``[N, ...]``."""
        return self._observations

    def step(self, actions: Any) -> tuple[Observations, Array, Array, dict[str, Any]]:
        """Apply actions ``[N, A]``, or discrete actions ``[N]``, of JAX, numpy or torch.

        Returns:
            observations (leaves ``[N, ...]``), rewards ``[N]``, dones ``[N]``, and extras with ``time_outs`` ``[N]``,
            ``log`` and, where the environment provides them, ``final_observations``.
        """
        (state, lengths), timestep = self._step((self.state, self._lengths), to_jax(actions))
        # All in one statement: Ctrl-C comes before it or after it, so that these always belong to the same step.
        self.state, self._lengths, self._observations = state, lengths, timestep.observations
        extras: dict[str, Any] = {"time_outs": timestep.time_outs, "log": dict(timestep.log)}
        if timestep.final_observations is not None:
            extras["final_observations"] = timestep.final_observations
        return timestep.observations, timestep.rewards, timestep.dones, extras

    def begin_iteration(self, key: Key) -> None:
        """Let the environment renew what it need not renew at each step; to be called once before each rollout."""
        self.state = self._begin_iteration(self.state, key)

    def render(self) -> np.ndarray:
        """Render the first environment, uint8 ``[H, W, 3]``."""
        return self.env.render(self.state)

    @property
    def episode_length_buf(self) -> Array:
        """Steps since the last reset ``[N]``; can be set, where the environment's state keeps them, in its dtype."""
        return getattr(self.state, "episode_length", self._lengths)

    @episode_length_buf.setter
    def episode_length_buf(self, lengths: Any) -> None:
        if not hasattr(self.state, "episode_length"):
            raise AttributeError(
                f"Episode lengths of {type(self.env).__name__} cannot be set: its state has no field episode_length. "
                "Give the state (a flax.struct.dataclass) such a field, int32 [N], and count steps in it."
            )
        lengths = to_jax(lengths).astype(self.state.episode_length.dtype)
        if lengths.shape != (self.num_envs,):
            raise ValueError(f"Episode lengths must have the shape [{self.num_envs}], but have {list(lengths.shape)}.")
        self.state = self.state.replace(episode_length=lengths)

    def _count_and_step(self, state: tuple[Any, Array], actions: Array) -> tuple[tuple[Any, Array], TimeStep]:
        env_state, lengths = state
        env_state, timestep = self.env.step(env_state, actions)
        return (env_state, jnp.where(timestep.dones, 0, lengths + 1)), timestep
