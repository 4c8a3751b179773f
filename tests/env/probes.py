"""Robots with known behaviour."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.env import Transition


@struct.dataclass
class WalkState:
    """Where a walk began, how far it got, and what it draws from."""

    origin: jax.Array
    distance: jax.Array
    key: jax.Array


class Walk:
    """Starts anywhere and goes as far as the action says; falls over at 10, is cut short at -10.

    Sees its origin, its distance and a random number; earns its distance.
    """

    num_actions = 1

    def reset(self, key):
        key, origin_key = jax.random.split(key)
        state = WalkState(jax.random.uniform(origin_key, ()), jnp.zeros(()), key)
        return state, self._see(state, jnp.zeros(()))

    def step(self, state, action):
        key, noise_key = jax.random.split(state.key)
        state = WalkState(state.origin, state.distance + action[0], key)
        return state, Transition(
            observations=self._see(state, jax.random.uniform(noise_key, ())),
            reward=state.distance,
            terminated=state.distance >= 10,
            truncated=state.distance <= -10,
            log={"distance": state.distance},
        )

    @staticmethod
    def _see(state, noise):
        return jnp.stack([state.origin, state.distance, noise])


class Chooser:
    """Earns the choice it makes, and sees it under two names; its dtypes are as careless as Python allows."""

    num_actions = 4
    discrete = True
    max_episode_length = 3
    step_dt = 0.5
    cfg = {"kind": "chooser"}  # noqa: RUF012

    def reset(self, key):
        del key
        return {"choice": 0, "count": 0}, {"state": jnp.zeros(2, jnp.int32), "privileged_state": jnp.zeros(1)}

    def step(self, state, action):
        following = {"choice": action.astype(float), "count": state["count"] + 1}
        seen = {"state": jnp.stack([action, action]), "privileged_state": jnp.ones(1)}
        return following, Transition(seen, reward=action, terminated=0)

    def render(self, state):
        return jnp.full((2, 2, 3), state["count"], jnp.uint8)
