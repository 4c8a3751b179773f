"""What rsl_jax asks of an environment.

Three shapes of environment, from the simplest to write to the most general:

- :class:`SingleEnv`: *one* robot, two pure functions; :func:`rsl_jax.env.vectorize` batches it, ends its episodes and
  resets it.
- :class:`Env`: a *batch* of robots, pure and auto-resetting. What compiled training drives.
- :class:`VecEnv`: a batch of robots behind Python methods, RSL-RL's contract. What a simulator outside JAX offers.
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
    """What one robot answers to an action.

    Attributes:
        observations: what is seen after the action, without any reset; an array or a dict of arrays.
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
    log: Metrics = {}  # noqa: RUF012 (a tuple: nobody gets to change it)


class SingleEnv(Protocol[State]):
    """One robot as two pure functions. Randomness during an episode comes from a key kept in the state.

    It may further have what :func:`rsl_jax.env.vectorize` looks for: ``discrete`` (an action is then one choice, an int
    ``[]``), ``max_episode_length``, ``step_dt`` and ``cfg`` as in :class:`Env`, and ``render(state)``, which gives a
    picture uint8 ``[H, W, 3]``. Where a state holds much that follows from a few floats, ``coordinates(state)`` gives
    these, as a pytree, and ``at(state, coordinates)`` the state that has others;
    :func:`rsl_jax.env.check_symmetry` asks for them.

    Attributes:
        num_actions: size of an action, ``A``; the number of choices where ``discrete``.
    """

    num_actions: int

    def reset(self, key: Key) -> tuple[State, Array | Observations]:
        """Start an episode; gives the state and the first observations."""
        ...

    def step(self, state: State, action: Array) -> tuple[State, Transition]:
        """Apply an action ``[A]``."""
        ...


class Env(Generic[State]):
    """A batch of ``num_envs`` environments as pure functions, reset automatically where an episode ends.

    Subclasses set the attributes and implement :meth:`reset` and :meth:`step`; both are traced, so they must be pure.

    Attributes:
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``; the number of choices where ``discrete``.
        discrete: whether an action is one choice out of ``num_actions``.
        max_episode_length: time limit in steps, or None where there is none.
        step_dt: seconds between two actions, or None where the environment does not say.
        cfg: what describes the environment, kept with the logs.
    """

    num_envs: int
    num_actions: int
    discrete: bool = False
    max_episode_length: int | None = None
    step_dt: float | None = None
    cfg: Mapping[str, Any] | object = {}

    def reset(self, key: Key) -> tuple[State, Observations]:
        """Start an episode everywhere; gives the state and the first observations, leaves ``[N, ...]``."""
        raise NotImplementedError

    def step(self, state: State, actions: Array) -> tuple[State, TimeStep]:
        """Apply actions ``[N, A]``, or choices ``[N]``; an environment whose episode ends is reset in the same step."""
        raise NotImplementedError

    def begin_iteration(self, state: State, key: Key) -> State:
        """Called once before each rollout, for what need not happen at every step (renewing a pool of resets)."""
        del key
        return state

    def part(self: Self, num_parts: int) -> Self:
        """The same environment with an equal part of the batch, which is what one of several devices steps.

        Here it is a copy with a smaller ``num_envs``; environments that keep other sizes change these, too.
        """
        part = copy.copy(self)
        part.num_envs = equal_part("num_envs", self.num_envs, num_parts)
        return part

    def render(self, state: State) -> np.ndarray:
        """Picture of the first environment, uint8 ``[H, W, 3]``; called outside of compiled code.

        Raises:
            NotImplementedError: if the environment cannot draw itself.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot draw itself: it has no method render(state).")


def equal_part(name: str, size: int, num_parts: int) -> int:
    """What falls to each of ``num_parts`` devices.

    Raises:
        ValueError: if it is not the same for all.
    """
    if size % num_parts:
        raise ValueError(f"{name} ({size}) must be divisible by the number of devices ({num_parts}).")
    return size // num_parts


@runtime_checkable
class VecEnv(Protocol):
    """RSL-RL's contract for a batch of environments outside JAX; arrays are of numpy, jax or torch.

    Attributes:
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``; the number of choices where there is an attribute ``discrete`` that is
            true (not in RSL-RL).
        max_episode_length: time limit in steps, one for all or ``[N]``.
        episode_length_buf: steps since the last reset, ``[N]``.
        device: where its arrays live.
        cfg: what describes the environment, kept with the logs.
    """

    num_envs: int
    num_actions: int
    max_episode_length: Any
    episode_length_buf: Any
    device: Any
    cfg: Any

    def get_observations(self) -> Mapping[str, Any]:
        """Current observations, leaves ``[N, ...]``."""
        ...

    def step(self, actions: Any) -> tuple[Mapping[str, Any], Any, Any, dict[str, Any]]:
        """Apply actions ``[N, A]``, or choices ``[N]``; gives observations, rewards ``[N]``, dones ``[N]`` and extras.

        ``extras`` may hold ``"time_outs"`` ``[N]``, ``"final_observations"`` (leaves ``[N, ...]``, before the reset)
        and ``"log"`` (scalars or arrays by tag; arrays are averaged).
        """
        ...
