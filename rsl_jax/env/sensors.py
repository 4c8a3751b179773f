"""Wrappers that model real sensors and actuators: noise, delay, observation history, and pushes.

Each is a small wrapper around a single environment, with its own memory that is cleared at each episode. They
compose in any order; :class:`rsl_jax.env.Sensors` composes them in the order in which they apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.env.base import SingleEnv, Transition
from rsl_jax.env.wrappers import Wrapped, Wrapper, as_groups, change_groups, check_groups, for_evaluation
from rsl_jax.registry import lookup
from rsl_jax.types import Array, Key, Observations

Steps: TypeAlias = int | Sequence[int]
"""A number of steps, or its minimum and maximum."""

Level: TypeAlias = float | Sequence[float]
"""A level for all entries of a group, or one for each."""


class WithHistory(Wrapper):
    """Wrapper that stacks the last observations of some groups, the newest last.

    A group ``[n, ...]`` becomes ``[steps * n, ...]``. An episode starts with copies of its first observation.
    """

    def __init__(self, env: SingleEnv[Any], steps: Mapping[str, int]):
        """Set up a history of observations.

        Args:
            env: single environment.
            steps: number of observations to stack, by group; with 1 a group stays as it is.
        """
        super().__init__(env)
        for group, number in steps.items():
            if not _is_count(number) or number < 1:
                raise ValueError(f"history of '{group}' is {number!r}, but must be a whole number, at least 1.")
        self._steps = dict(steps)

    def reset(self, key: Key) -> tuple[Wrapped, Observations]:
        """Start an episode."""
        env, observations = self.inner.reset(key)
        groups = as_groups(observations)
        check_groups("history", self._steps, groups)
        memory = {group: _repeated(groups[group], number) for group, number in self._steps.items()}
        return Wrapped(env, memory), self._observe(groups, memory)

    def step(self, state: Wrapped, action: Array) -> tuple[Wrapped, Transition]:
        """Apply an action ``[A]``."""
        env, transition = self.inner.step(state.env, action)
        groups = as_groups(transition.observations)
        memory = {group: _pushed(past, groups[group]) for group, past in state.memory.items()}
        return Wrapped(env, memory), transition._replace(observations=self._observe(groups, memory))

    def _observe(self, groups: Observations, memory: Mapping[str, Array]) -> Observations:
        return change_groups(groups, memory, lambda name, x: memory[name].reshape(-1, *x.shape[1:]))


class WithObservationDelay(Wrapper):
    """Wrapper that delays observation groups by some steps; the delay is drawn for each episode and group.

    Until the first delayed observation arrives, the first one of the episode is repeated.
    """

    def __init__(self, env: SingleEnv[Any], steps: Mapping[str, Steps]):
        """Set up a delay of observations.

        Args:
            env: single environment.
            steps: delay in steps, or its minimum and maximum, by group.
        """
        super().__init__(env)
        self._range = {group: step_bounds(f"observation_delay of '{group}'", given) for group, given in steps.items()}

    def reset(self, key: Key) -> tuple[Wrapped, Observations]:
        """Start an episode, with new delays."""
        key, delay_key = jax.random.split(key)
        env, observations = self.inner.reset(key)
        groups = as_groups(observations)
        check_groups("observation_delay", self._range, groups)
        keys = jax.random.split(delay_key, max(len(self._range), 1))
        memory = {
            group: (_repeated(groups[group], bounds[1] + 1), _drawn(keys[index], bounds))
            for index, (group, bounds) in enumerate(self._range.items())
        }
        return Wrapped(env, memory), self._observe(groups, memory)

    def step(self, state: Wrapped, action: Array) -> tuple[Wrapped, Transition]:
        """Apply an action ``[A]``."""
        env, transition = self.inner.step(state.env, action)
        groups = as_groups(transition.observations)
        memory = {group: (_pushed(past, groups[group]), delay) for group, (past, delay) in state.memory.items()}
        return Wrapped(env, memory), transition._replace(observations=self._observe(groups, memory))

    def _observe(self, groups: Observations, memory: Mapping[str, tuple[Array, Array]]) -> Observations:
        return change_groups(groups, memory, lambda name, _: _late(*memory[name]))


class WithActionDelay(Wrapper):
    """Wrapper that delays actions by some steps; the delay is drawn for each episode.

    Until the first one arrives the robot receives zeros. Past actions that the environment itself observes are those
    that have arrived.
    """

    def __init__(self, env: SingleEnv[Any], steps: Steps):
        """Set up a delay of actions.

        Args:
            env: single environment.
            steps: delay in steps, or its minimum and maximum.

        Raises:
            ValueError: for discrete actions: none of them is known to do nothing.
        """
        super().__init__(env)
        self._range = step_bounds("action_delay", steps)
        if getattr(env, "discrete", False):
            raise ValueError(
                "action_delay needs actions that are vectors: until the first one arrives the robot is given zeros, "
                "but the actions of this environment are discrete."
            )

    def reset(self, key: Key) -> tuple[Wrapped, Any]:
        """Start an episode, with a new delay."""
        key, delay_key = jax.random.split(key)
        env, observations = self.inner.reset(key)
        past = jnp.zeros((self._range[1] + 1, self.inner.num_actions))
        return Wrapped(env, (past, _drawn(delay_key, self._range))), observations

    def step(self, state: Wrapped, action: Array) -> tuple[Wrapped, Transition]:
        """Send an action ``[A]``, and apply the one that arrives."""
        past, delay = state.memory
        past = _pushed(past, action)
        env, transition = self.inner.step(state.env, _late(past, delay))
        return Wrapped(env, (past, delay)), transition


class WithNoise(Wrapper):
    """Wrapper that adds noise to observation groups, redrawn at each step."""

    def __init__(
        self,
        env: SingleEnv[Any],
        levels: Mapping[str, Level],
        *,
        distribution: Literal["uniform", "gaussian"] = "uniform",
    ):
        """Set up noise on observations.

        Args:
            env: single environment.
            levels: largest deviation of ``uniform`` noise, standard deviation of ``gaussian`` noise; by group, one for
                all of its entries or one for each.
            distribution: ``uniform`` or ``gaussian``.
        """
        super().__init__(env)
        self._draw = lookup(distribution, {"uniform": _uniform, "gaussian": jax.random.normal}, "noise distribution")
        self._levels = {group: np.asarray(level, dtype=float) for group, level in levels.items()}
        for group, level in self._levels.items():
            if not np.all(np.isfinite(level)) or np.any(level < 0):
                raise ValueError(f"noise of '{group}' is {level.tolist()}, but must not be negative.")

    def reset(self, key: Key) -> tuple[Wrapped, Observations]:
        """Start an episode."""
        key, noise_key = jax.random.split(key)
        env, observations = self.inner.reset(key)
        groups = as_groups(observations)
        check_groups("noise", self._levels, groups)
        for group, level in self._levels.items():
            if level.shape not in ((), groups[group].shape):
                raise ValueError(
                    f"noise of '{group}' has {level.size} levels, but the group has the shape "
                    f"{list(groups[group].shape)}. Give one level, or one for each entry."
                )
        observations, noise_key = self._observe(groups, noise_key)
        return Wrapped(env, noise_key), observations

    def step(self, state: Wrapped, action: Array) -> tuple[Wrapped, Transition]:
        """Apply an action ``[A]``."""
        env, transition = self.inner.step(state.env, action)
        observations, key = self._observe(as_groups(transition.observations), state.memory)
        return Wrapped(env, key), transition._replace(observations=observations)

    def for_evaluation(self) -> Any:
        """Return the environment without noise."""
        return for_evaluation(self.inner)

    def _observe(self, groups: Observations, key: Key) -> tuple[Observations, Key]:
        key, *keys = jax.random.split(key, len(self._levels) + 1)
        key_of = dict(zip(self._levels, keys, strict=True))

        def noisy(name: str, x: Array) -> Array:
            level = jnp.broadcast_to(jnp.asarray(self._levels[name], x.dtype), x.shape)
            return x + level * self._draw(key_of[name], x.shape, x.dtype)

        return change_groups(groups, self._levels, noisy), key


class WithPushes(Wrapper):
    """Wrapper that pushes a robot at random times: its base gains a horizontal velocity in a random direction."""

    def __init__(self, env: SingleEnv[Any], *, interval: Sequence[float], speed: Sequence[float]):
        """Set up pushes of a robot.

        Args:
            env: single environment with ``push(state, velocity) -> state``, which adds a horizontal velocity ``[2]`` in
                m/s in the world's frame. Robots of MuJoCo Playground whose base is free have it.
            interval: minimum and maximum seconds from one push to the next.
            speed: minimum and maximum speed of a push in m/s.

        Raises:
            ValueError: for invalid ranges, or an environment that has no ``push``.
        """
        super().__init__(env)
        if not hasattr(env, "push"):
            raise ValueError(
                "This environment cannot be pushed: it has no push(state, velocity) -> state, which adds a horizontal "
                "velocity [2] in m/s to the robot's base."
            )
        step_dt = getattr(env, "step_dt", None)
        if step_dt is None:
            raise ValueError("push_interval is in seconds, so the environment must have a step_dt.")
        low, high = _range("push_interval", interval)
        self._interval = (max(1, round(low / step_dt)), max(1, round(high / step_dt)))
        self._speed = _range("push_speed", speed)

    def reset(self, key: Key) -> tuple[Wrapped, Any]:
        """Start an episode; the first push comes after an interval."""
        key, push_key, wait_key = jax.random.split(key, 3)
        env, observations = self.inner.reset(key)
        return Wrapped(env, (push_key, _drawn(wait_key, self._interval))), observations

    def step(self, state: Wrapped, action: Array) -> tuple[Wrapped, Transition]:
        """Push if it is time, then apply an action ``[A]``."""
        key, wait = state.memory
        key, wait_key, speed_key, angle_key = jax.random.split(key, 4)
        due = wait <= 1
        speed = jax.random.uniform(speed_key, minval=self._speed[0], maxval=self._speed[1])
        angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
        velocity = jnp.where(due, speed, 0.0) * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        env, transition = self.inner.step(self.inner.push(state.env, velocity), action)
        return Wrapped(env, (key, jnp.where(due, _drawn(wait_key, self._interval), wait - 1))), transition

    def for_evaluation(self) -> Any:
        """Return the environment without pushes."""
        return for_evaluation(self.inner)


def _uniform(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.uniform(key, shape, dtype, minval=-1.0, maxval=1.0)


def _repeated(x: Array, size: int) -> Array:
    """Return ``size`` copies, ``[size, ...]``."""
    return jnp.broadcast_to(x[None], (size, *x.shape))


def _pushed(past: Array, x: Array) -> Array:
    """Append to the past ``[size, ...]``, the newest last, and drop the oldest."""
    return jnp.concatenate([past[1:], x[None].astype(past.dtype)])


def _late(past: Array, delay: Array) -> Array:
    """Return the value from ``delay`` steps ago."""
    return past[past.shape[0] - 1 - delay]


def _drawn(key: Key, bounds: tuple[int, int]) -> Array:
    """Draw an integer between bounds, both included, int32 ``[]``."""
    return jax.random.randint(key, (), bounds[0], bounds[1] + 1, jnp.int32)


def step_bounds(what: str, given: Steps) -> tuple[int, int]:
    """Return the minimum and maximum of a number of steps.

    Raises:
        ValueError: if they are invalid.
    """
    bounds: Any = (given, given) if _is_count(given) else given
    if not _is_pair(bounds) or not all(map(_is_count, bounds)) or not 0 <= bounds[0] <= bounds[1]:
        raise ValueError(f"{what} is {given!r}, but must be a whole number of steps, or a range: [0, 2].")
    return int(bounds[0]), int(bounds[1])


def _range(what: str, given: Sequence[float]) -> tuple[float, float]:
    if not _is_pair(given) or not 0 <= given[0] <= given[1] < np.inf:
        raise ValueError(f"{what} is {given!r}, but must be a range: [0.5, 2.0].")
    return float(given[0]), float(given[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_pair(given: Any) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2
