"""A trained policy to act with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rsl_jax.env.arrays import like, to_jax, to_jax_observations
from rsl_jax.ops import reset_carry
from rsl_jax.runners.devices import resolve_device
from rsl_jax.training.sharding import to_device
from rsl_jax.types import Algorithm, Carry, TrainState


class InferencePolicy:
    """``actions = policy(observations)``: deterministic actions ``[N, A]`` for observations with leaves ``[N, ...]``.

    Discrete actions are int32 ``[N]``.

    It is a snapshot: further training does not change it. Arrays may be of numpy, torch or JAX; actions are returned as
    the kind of arrays that the observations are. Hidden states of a recurrent policy are kept here and zeroed where an
    episode has ended; the policy reads that from the environment's ``episode_length_buf``, or is told by :meth:`reset`.
    """

    def __init__(
        self, algorithm: Algorithm, state: TrainState, env: Any = None, device: str | jax.Device | None = None
    ):
        self._algorithm = algorithm
        self._device = resolve_device(device)
        # A copy, because the next iteration of training gives the buffers of the state away.
        self._state = jax.tree.map(jnp.copy, to_device(state, self._device))
        self._env = env if hasattr(env, "episode_length_buf") else None
        self._carry: Any = None
        self._act = jax.jit(algorithm.policy)
        self._reset = jax.jit(reset_carry)

    def __call__(self, observations: Mapping[str, Any]) -> Any:
        """Compute the deterministic actions.

        Raises:
            ValueError: if the number of observations differs from the number of environments that hidden states are
                kept for.
        """
        inputs = to_jax_observations(observations)
        carry = self._remembered(next(iter(inputs.values())).shape[0])
        actions, self._carry = self._act(self._state, carry, inputs)
        return like(observations, actions)

    def with_state(self, state: TrainState) -> InferencePolicy:
        """Return the policy of another training state, without hidden states; nothing is compiled again."""
        other = copy.copy(self)
        other._state, other._carry = jax.tree.map(jnp.copy, to_device(state, self._device)), None
        return other

    def reset(self, dones: Any = None) -> None:
        """Reset hidden states of all environments, or of those where ``dones`` ``[N]``."""
        if dones is None or self._carry is None:
            self._carry = None
        else:
            self._carry = self._reset(self._carry, to_jax(dones).astype(bool))

    def _remembered(self, num_envs: int) -> Carry:
        """Return the hidden states before the next step, leaves ``[num_envs, ...]``."""
        if self._carry is None:
            return self._algorithm.initial_carry(num_envs)
        if not jax.tree.leaves(self._carry):
            return self._carry
        size = jax.tree.leaves(self._carry)[0].shape[0]
        if size != num_envs:
            raise ValueError(
                f"This recurrent policy has hidden states of {size} environments; got observations of {num_envs}. Call "
                "reset() before changing the number."
            )
        if self._env is not None and self._env.num_envs == num_envs:
            return self._reset(self._carry, to_jax(self._env.episode_length_buf) == 0)
        return self._carry
