"""The vocabulary of rsl_jax: one name for one thing, everywhere.

Shapes: ``T`` steps per environment, ``N`` environments, ``A`` actions. Everything here is an immutable pytree or a
record of pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

__all__ = [
    "Algorithm",
    "Array",
    "Carry",
    "DistributionParams",
    "Key",
    "Metrics",
    "Model",
    "Observations",
    "Report",
    "Rollout",
    "Spec",
    "Step",
    "TimeStep",
    "TrainState",
    "default_dtype",
]

Array: TypeAlias = jax.Array
"""An array of JAX, traced or not."""

Key: TypeAlias = jax.Array
"""A typed random key (``jax.random.key``), consumed once."""

Observations: TypeAlias = Mapping[str, Array]
"""Observation groups by name, leaves ``[N, ...]``."""

Carry: TypeAlias = Any
"""Hidden states of recurrent models, leaves ``[N, ...]``; ``()`` where there are none."""

Metrics: TypeAlias = dict[str, Array]
"""Scalars by their log tag; they stay on the device until the runner fetches them, once an iteration."""

DistributionParams: TypeAlias = tuple[Array, ...]
"""What describes an action distribution, e.g. ``(mean, std)``; leaves ``[..., A]``."""


def default_dtype() -> Any:
    """The float type in force: float32, or float64 where JAX is set to 64 bits."""
    return jnp.zeros(()).dtype


@dataclass(frozen=True)
class Spec:
    """What an algorithm must know about an environment before it sees the first observation.

    Attributes:
        observations: shape of every observation group, without the environments' axis.
        num_actions: size of the action vector, or the number of choices where ``discrete``.
        num_envs: how many environments (a device) steps at once.
        step_dt: seconds between two actions, where the environment says so.
        discrete: whether an action is one choice out of ``num_actions``.
        env: the environment itself, for functions of the user that want it (symmetry).
        tried_out: whether such functions were tried out before, for the same environment.
    """

    observations: Mapping[str, tuple[int, ...]]
    num_actions: int
    num_envs: int
    step_dt: float | None = None
    discrete: bool = False
    env: Any = None
    tried_out: bool = False


class Step(NamedTuple):
    """What acting in ``N`` environments yields and learning needs again.

    Attributes:
        actions: sampled actions ``[N, A]``; choices, int32 ``[N]``, where actions are discrete.
        log_probs: their log-probabilities ``[N]``; None where the algorithm does not learn from them.
        distribution_params: the distribution they came from, leaves ``[N, A]``; ``()`` where there is none.
    """

    actions: Array
    log_probs: Array | None
    distribution_params: DistributionParams


@struct.dataclass
class TimeStep:
    """What ``N`` environments answer to an action.

    Attributes:
        observations: what is seen next, after an automatic reset where an episode ended; leaves ``[N, ...]``.
        rewards: ``[N]``.
        dones: whether the episode ended with this step, for whatever reason; bool ``[N]``.
        time_outs: whether it ended only because time was up; bool ``[N]``, a subset of ``dones``.
        final_observations: what was seen at the end of the step *before* any reset, leaves ``[N, ...]``; None where
            the environment does not hand it over.
        log: scalars to log, each ``[]``.
    """

    observations: Observations
    rewards: Array
    dones: Array
    time_outs: Array
    final_observations: Observations | None = None
    log: Metrics = struct.field(default_factory=dict)


@struct.dataclass
class Rollout:
    """What ``T`` steps in ``N`` environments left behind.

    Attributes:
        observations: seen before each action, leaves ``[T, N, ...]``.
        actions: ``[T, N, A]``; choices, int32 ``[T, N]``, where actions are discrete.
        log_probs: log-probabilities of the actions when they were taken, ``[T, N]``, or None.
        distribution_params: the distributions they came from, leaves ``[T, N, A]``; ``()`` where there are none.
        rewards: of the environment, ``[T, N]``.
        dones: whether the episode ended with the step, bool ``[T, N]``.
        time_outs: whether it ended only because time was up, bool ``[T, N]``.
        carry: hidden states before the first step, leaves ``[N, ...]``.
        last_observations: seen after the last step, leaves ``[N, ...]``.
        last_carry: hidden states after the last step, zero where an episode ended with it; leaves ``[N, ...]``.
        final_observations: seen at the end of each step before any reset, leaves ``[T, N, ...]``, or None.
    """

    observations: Observations
    actions: Array
    log_probs: Array | None
    distribution_params: DistributionParams
    rewards: Array
    dones: Array
    time_outs: Array
    carry: Carry
    last_observations: Observations
    last_carry: Carry = ()
    final_observations: Observations | None = None


@struct.dataclass
class TrainState:
    """All that learning changes.

    Attributes:
        params: parameters by model name (``actor``, ``critic``; ``student``, ``teacher``).
        statistics: what models learn without gradients (normalisers), by model name.
        opt_state: state of the optimiser of those of ``params`` that learn.
        learning_rate: the rate in force, ``[]``.
        extensions: states of the extensions (RND, ...), by name.
        iteration: finished iterations, int32 ``[]``.
        memory: what learning remembers of each environment from one rollout to the next, by who remembers; leaves
            ``[N, ...]``, which follow the environments onto devices.
    """

    params: Mapping[str, Any]
    statistics: Mapping[str, Any]
    opt_state: Any
    learning_rate: Array
    extensions: Mapping[str, Any]
    iteration: Array
    memory: Mapping[str, Any] = struct.field(default_factory=dict)


class Model(Protocol):
    """What an algorithm asks of a model: a linen module with the methods of :class:`rsl_jax.models.MLPModel`.

    Its methods are called through ``apply(variables, ..., method=NAME)``, as linen's are.
    """

    @property
    def obs_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every observation group, without the environments' axis."""
        ...

    @property
    def distribution(self) -> Any:
        """Distribution over the output (:class:`rsl_jax.distributions.Distribution`), or None."""
        ...

    def initial_carry(self, num_envs: int) -> Carry:
        """Hidden states at the start of an episode, leaves ``[num_envs, ...]``; ``()`` where there are none."""
        ...

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Draw all collections of variables."""
        ...

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Call a method with variables."""
        ...

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """Give the same model with other attributes."""
        ...


class Report(NamedTuple):
    """Progress of a compiled run, or of many that ``vmap`` made one program of.

    Attributes:
        iteration: number of finished iterations.
        iterations: of a run, at the end.
        metrics: those of the last finished iteration by the log's tags, numpy arrays with whatever axes ``vmap`` put in
            front; those of a single run are ``[]``.
    """

    iteration: int
    iterations: int
    metrics: Mapping[str, np.ndarray]


class Algorithm(Protocol):
    """A learning algorithm as pure functions, in the manner of ``optax.GradientTransformation``.

    Anything with these members is one, such as the frozen dataclass :class:`rsl_jax.algorithms.PPO` or a named tuple of
    functions. A class that derives from this one need not give those that stand here with a value.

    Two more are looked at where they are there: ``obs_groups``, the observation groups that each model looks at, by its
    name; and ``check_training(num_envs=, num_steps=)``, which is called before anything is learned and refuses rollouts
    that are too small. A policy that is only played or exported does not collect any.
    """

    def init(self, key: Key) -> TrainState:
        """The state that learning starts from."""
        ...

    def initial_carry(self, num_envs: int) -> Carry:
        """The hidden states at the start of an episode, leaves ``[num_envs, ...]``."""
        ...

    def act(self, state: TrainState, carry: Carry, observations: Observations, key: Key) -> tuple[Carry, Step]:
        """Act during collection; gives the next hidden states, and what learning needs again."""
        ...

    def prepare(self, state: TrainState, rollout: Rollout) -> tuple[TrainState, Rollout, dict[str, Array]]:
        """Do what must happen between collecting and learning.

        Returns:
            state, rollout, and rewards ``[T, N]`` by :attr:`reward_tags`, which are summed over episodes and logged.
        """
        ...

    def update(self, state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Carry, Metrics]:
        """Learn from a rollout: one iteration.

        Returns:
            the new state; the hidden states with which collecting goes on (``rollout.last_carry``, unless learning
            renews them); and metrics.
        """
        ...

    def policy(self, state: TrainState, carry: Carry, observations: Observations) -> tuple[Array, Carry]:
        """Act without noise, for play and export; gives actions and the next hidden states."""
        ...

    def policy_model(self, state: TrainState) -> tuple[Any, dict[str, Any]]:
        """The model of the policy and its variables, for export."""
        ...

    @property
    def reward_tags(self) -> tuple[str, ...]:
        """Tags of the rewards that :meth:`prepare` gives; ``"Train/mean_reward"`` is always among them."""
        return ("Train/mean_reward",)

    @property
    def score_tag(self) -> str:
        """The one among them that says which state is the best so far."""
        return "Train/mean_reward"

    @property
    def given(self) -> tuple[str, ...]:
        """Models that do not learn here, so their variables must be put into the state before learning."""
        return ()

    @property
    def adopts(self) -> Mapping[str, str]:
        """Which of the models here takes the variables of which model of another algorithm, by the latter's name."""
        return {}
