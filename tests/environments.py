"""Probe environments: small enough that the optimal solution is known exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rsl_jax.env.base import Transition


class PointMass:
    """A point on a line that should be pushed to the origin; nothing ends an episode but the time limit."""

    num_actions = 1

    def reset(self, key):
        """Start anywhere in [-1, 1], at rest."""
        state = jnp.concatenate([jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0), jnp.zeros(1)])
        return state, state

    def step(self, state, action):
        """Push."""
        velocity = 0.9 * state[1] + 0.1 * jnp.clip(action[0], -1.0, 1.0)
        state = jnp.stack([state[0] + 0.1 * velocity, velocity])
        reward = 1.0 - jnp.abs(state[0]) - 0.01 * jnp.square(action[0])
        return state, Transition(state, reward, terminated=jnp.abs(state[0]) > 2.0, log={"position": state[0]})


class LikeASimulator(PointMass):
    """A state with an array without elements, as those of MuJoCo's simulators have."""

    def reset(self, key):
        """Start as a point mass does."""
        state, observations = super().reset(key)
        return (state, jnp.zeros((0, 3))), observations

    def step(self, state, action):
        """Push."""
        inner, transition = super().step(state[0], action)
        return (inner, state[1]), transition


class ConstantReward:
    """Gives 1 at every step, forever but for the time limit: its value is 1 / (1 - gamma)."""

    num_actions = 1

    def reset(self, key):
        """Nothing to see."""
        del key
        return jnp.zeros(()), jnp.ones(1)

    def step(self, state, action):
        """Nothing to do."""
        return state, Transition(jnp.ones(1), jnp.ones(()) + 0.0 * action[0], terminated=jnp.zeros((), bool))


class NaNAfter:
    """A point mass that returns NaN from a given step of the episode on."""

    num_actions = 1

    def __init__(self, step: int, *, in_reward: bool = True):
        self._step, self._in_reward = step, in_reward

    def reset(self, key):
        """Count from zero."""
        del key
        return jnp.zeros((), jnp.int32), jnp.zeros(2)

    def step(self, state, action):
        """Break at the given step."""
        broken = jnp.where(state >= self._step, jnp.nan, 1.0)
        observation = jnp.full(2, 1.0 if self._in_reward else broken)
        reward = (broken if self._in_reward else 1.0) + 0.0 * action[0]
        return state + 1, Transition(observation, reward, terminated=jnp.zeros((), bool))


class HalfSeen(PointMass):
    """A point mass of which ``policy`` sees the position alone, and ``privileged`` the speed too."""

    def reset(self, key):
        """As ever."""
        state, _ = super().reset(key)
        return state, self._groups(state)

    def step(self, state, action):
        """As ever."""
        state, transition = super().step(state, action)
        return state, transition._replace(observations=self._groups(state))

    def _groups(self, state):
        return {"policy": state[:1], "privileged": state}
