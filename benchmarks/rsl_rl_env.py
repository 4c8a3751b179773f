"""A pure environment wrapped as RSL-RL's (PyTorch) ``VecEnv``, so that both libraries train in the same one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from rsl_jax.env import Env


class RslRlEnv(VecEnv):
    """Compiled environment with RSL-RL's contract.

    Physics, automatic resets and time-outs are those of the pure environment. A step is one compiled call; arrays
    change hands through DLPack, without a copy, and nothing is computed that RSL-RL does not ask for.

    Attributes:
        env: the pure environment.
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``.
        max_episode_length: time limit in steps.
        device: always the CPU.
        cfg: what describes the environment.
    """

    def __init__(self, env: Env[Any], *, seed: int, num_steps_per_env: int):
        """Compile and reset the environment.

        Args:
            env: the pure environment; its state counts ``episode_length``, as those of :func:`rsl_jax.env.vectorize`.
            seed: seed of initial states and resets.
            num_steps_per_env: steps of a rollout; the pool of initial states is renewed as often as with us.
        """
        self.env = env
        self.num_envs = env.num_envs
        self.num_actions = env.num_actions
        self.max_episode_length = env.max_episode_length
        self.device = torch.device("cpu")
        self.cfg = dict(env.cfg)
        self._num_steps_per_env = num_steps_per_env
        # Nothing is donated: tensors that were handed out share memory with the arrays.
        self._reset = jax.jit(env.reset)
        self._step = jax.jit(self._step_pure)
        self._begin_iteration = jax.jit(env.begin_iteration)
        self.reset(seed)

    def reset(self, seed: int) -> TensorDict:
        """Reset all environments; returns the first observations, leaves ``[N, ...]``."""
        reset_key, self._key = jax.random.split(jax.random.key(seed))
        self._state, observations = self._reset(reset_key)
        self._observations = self._tensors(observations)
        self._count = 0
        return self._observations

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Steps since the last reset, int32 ``[N]``; may be set."""
        return torch.from_dlpack(self._state.episode_length)

    @episode_length_buf.setter
    def episode_length_buf(self, lengths: torch.Tensor) -> None:
        self._state = self._state.replace(episode_length=jnp.array(lengths.numpy(), jnp.int32))

    def get_observations(self) -> TensorDict:
        """Return the current observations, leaves ``[N, ...]``."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Apply actions ``[N, A]``; returns observations, rewards ``[N]``, dones ``[N]``, extras with ``time_outs``."""
        if self._count % self._num_steps_per_env == 0:
            self._state = self._begin_iteration(self._state, jax.random.fold_in(self._key, self._count))
        self._count += 1
        self._state, observations, answer = self._step(self._state, jax.dlpack.from_dlpack(actions.detach()))
        self._observations = self._tensors(observations)
        rewards, dones, time_outs = (torch.from_dlpack(x) for x in answer)
        return self._observations, rewards, dones, {"time_outs": time_outs}

    def _step_pure(self, state: Any, actions: jax.Array) -> tuple:
        state, timestep = self.env.step(state, actions)
        flags = (timestep.dones.astype(jnp.int32), timestep.time_outs.astype(jnp.int32))
        return state, timestep.observations, (timestep.rewards, *flags)

    def _tensors(self, observations: Any) -> TensorDict:
        tensors = {name: torch.from_dlpack(group) for name, group in observations.items()}
        return TensorDict(tensors, batch_size=[self.num_envs])
