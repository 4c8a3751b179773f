"""The interfaces of environments.

Three kinds of environment, from the simplest to write to the most general:

- :class:`SingleEnv`: *one* environment, two pure functions; :func:`rsl_jax.env.vectorize` batches it, ends its episodes
  and resets it.
- :class:`Env`: a *batch* of environments, pure and auto-resetting. Compiled training steps these.
- :class:`VecEnv`: a batch of environments with Python methods, RSL-RL's interface. For simulators outside JAX.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from rsl_jax.types import Array, Key, Metrics, Observations, TimeStep

Self = TypeVar("Self", bound="Env[Any]")
State = TypeVar("State")


class Transition(NamedTuple):
    """Result of a step of one environment.

    Attributes:
        observations: observations after the action, without any reset; an array or a dict of arrays.
        reward: ``[]``.
        terminated: whether the episode reached a terminal state, bool ``[]``. A float will do; NaN among them makes the
            reward NaN, too, which stops learning.
        truncated: whether the episode was cut short although it could have gone on, bool ``[]``. The time limit of
            :func:`rsl_jax.env.vectorize` comes on top.
        log: scalars to log, each ``[]``.
    """

    observations: Array | Observations
    reward: Array
    terminated: Array
    truncated: Array | bool = False
    log: Metrics = {}  # noqa: RUF012 (a tuple: it cannot be modified)


class SingleEnv(Protocol[State]):
    """One environment as two pure functions. Randomness during an episode comes from a key kept in the state.

    It may also have attributes that :func:`rsl_jax.env.vectorize` reads: ``discrete`` (an action is then an int
    ``[]``), ``max_episode_length``, ``step_dt`` and ``cfg`` as in :class:`Env`, and ``render(state)``, which returns an
    image uint8 ``[H, W, 3]``. Where a state holds much that follows from a few floats, ``coordinates(state)`` returns
    these, as a pytree, and ``at(state, coordinates)`` the state with other ones;
    :func:`rsl_jax.env.check_symmetry` uses them. ``for_evaluation()`` returns the environment without what is random
    only in training.

    Attributes:
        num_actions: size of an action, ``A``; the number of discrete actions where ``discrete``.
    """

    num_actions: int

    def reset(self, key: Key) -> tuple[State, Array | Observations]:
        """Start an episode; returns the state and the first observations."""
        ...

    def step(self, state: State, action: Array) -> tuple[State, Transition]:
        """Apply an action ``[A]``."""
        ...


class Env(Generic[State]):
    """A batch of ``num_envs`` environments as pure functions, reset automatically where an episode ends.

    Subclasses set the attributes and implement :meth:`reset` and :meth:`step`; both are traced, so they must be pure.

    Attributes:
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``; the number of discrete actions where ``discrete``.
        discrete: whether actions are discrete, ``0`` to ``num_actions - 1``.
        max_episode_length: time limit in steps, or None where there is none.
        step_dt: seconds between two actions, or None if unknown.
        cfg: description of the environment, saved with the logs.
    """

    num_envs: int
    num_actions: int
    discrete: bool = False
    max_episode_length: int | None = None
    step_dt: float | None = None
    cfg: Mapping[str, Any] | object = {}

    def reset(self, key: Key) -> tuple[State, Observations]:
        """Reset all environments; returns the state and the first observations, leaves ``[N, ...]``."""
        raise NotImplementedError

    def step(self, state: State, actions: Array) -> tuple[State, TimeStep]:
        """Apply actions ``[N, A]`` (discrete: ``[N]``); an environment whose episode ends is reset in the same step."""
        raise NotImplementedError

    def begin_iteration(self, state: State, key: Key) -> State:
        """Do what is needed only once before each rollout, not at every step (renewing a pool of resets)."""
        del key
        return state

    def part(self: Self, num_parts: int) -> Self:
        """Return the same environment with an equal part of the batch, which one of several devices steps.

        Here it is a copy with a smaller ``num_envs``; environments that keep other sizes change these, too.
        """
        part = copy.copy(self)
        part.num_envs = equal_part("num_envs", self.num_envs, num_parts)
        return part

    def for_evaluation(self: Self, num_envs: int) -> Self:
        """Return ``num_envs`` of the same environment, without what is random only in training.

        Here it is a copy with another ``num_envs``; environments that keep other sizes change these, too.
        """
        other = copy.copy(self)
        other.num_envs = num_envs
        return other

    def can_render(self) -> bool:
        """Return whether :meth:`render` is implemented; it may still fail (no OpenGL, a missing package)."""
        return type(self).render is not Env.render

    def render(self, state: State) -> np.ndarray:
        """Render the first environment, uint8 ``[H, W, 3]``; called outside of compiled code.

        Raises:
            NotImplementedError: if the environment cannot render.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be rendered: it has no method render(state).")


def equal_part(name: str, size: int, num_parts: int) -> int:
    """Return the share of each of ``num_parts`` devices.

    Raises:
        ValueError: if the shares are not equal.
    """
    if size % num_parts:
        raise ValueError(f"{name} ({size}) must be divisible by the number of devices ({num_parts}).")
    return size // num_parts


@runtime_checkable
class VecEnv(Protocol):
    """RSL-RL's interface of a batch of environments outside JAX; arrays are of numpy, jax or torch.

    Attributes:
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``; the number of discrete actions where there is an attribute ``discrete``
            that is true (not in RSL-RL).
        max_episode_length: time limit in steps, one for all or ``[N]``.
        episode_length_buf: steps since the last reset, ``[N]``.
        device: device of its arrays.
        cfg: description of the environment, saved with the logs.
    """

    num_envs: int
    num_actions: int
    max_episode_length: Any
    episode_length_buf: Any
    device: Any
    cfg: Any

    def get_observations(self) -> Mapping[str, Any]:
        """Return the current observations, leaves ``[N, ...]``."""
        ...

    def step(self, actions: Any) -> tuple[Mapping[str, Any], Any, Any, dict[str, Any]]:
        """Apply actions ``[N, A]`` (discrete: ``[N]``); returns observations, rewards ``[N]``, dones ``[N]``, extras.

        ``extras`` may hold ``"time_outs"`` ``[N]``, ``"final_observations"`` (leaves ``[N, ...]``, before the reset)
        and ``"log"`` (scalars or arrays by tag; arrays are averaged).
        """
        ...
