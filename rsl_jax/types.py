"""Types and protocols that are used everywhere in rsl_jax.

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
"""A JAX array, concrete or traced."""

Key: TypeAlias = jax.Array
"""A typed random key (``jax.random.key``), consumed once."""

Observations: TypeAlias = Mapping[str, Array]
"""Observation groups by name; leaves ``[N, ...]``."""

Carry: TypeAlias = Any
"""Hidden states of recurrent models, leaves ``[N, ...]``; ``()`` if there are none."""

Metrics: TypeAlias = dict[str, Array]
"""Scalars by log tag; they stay on the device until the runner fetches them, once per iteration."""

DistributionParams: TypeAlias = tuple[Array, ...]
"""Parameters of an action distribution, e.g. ``(mean, std)``; leaves ``[..., A]``."""


def default_dtype() -> Any:
    """Return JAX's default float type: float32, or float64 if 64 bits are enabled."""
    return jnp.zeros(()).dtype


@dataclass(frozen=True)
class Spec:
    """Static properties of an environment, from which an algorithm is built.

    Attributes:
        observations: shape of every observation group, without the environments' axis.
        num_actions: size of the action vector; if ``discrete``, the number of discrete actions.
        num_envs: number of parallel environments; on several devices, of one device.
        step_dt: seconds between two actions, if the environment provides it.
        discrete: whether an action is an index below ``num_actions``.
        env: the environment itself, for user functions that take it (symmetry).
        tried_out: whether such functions were already tested with the same environment.
    """

    observations: Mapping[str, tuple[int, ...]]
    num_actions: int
    num_envs: int
    step_dt: float | None = None
    discrete: bool = False
    env: Any = None
    tried_out: bool = False


class Step(NamedTuple):
    """Result of acting in ``N`` environments.

    Attributes:
        actions: sampled actions ``[N, A]``; discrete actions are indices, int32 ``[N]``.
        log_probs: their log-probabilities ``[N]``; None if the algorithm does not use them.
        distribution_params: parameters of the distribution they were sampled from, leaves ``[N, A]``; ``()`` if none.
    """

    actions: Array
    log_probs: Array | None
    distribution_params: DistributionParams


@struct.dataclass
class TimeStep:
    """Result of a step of ``N`` environments.

    Attributes:
        observations: the next observations, after an automatic reset where an episode ended; leaves ``[N, ...]``.
        rewards: ``[N]``.
        dones: whether the episode ended with this step, for any reason; bool ``[N]``.
        time_outs: whether it ended only because of the time limit; bool ``[N]``, a subset of ``dones``.
        final_observations: observations at the end of the step *before* any reset, leaves ``[N, ...]``; None if the
            environment does not provide them.
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
    """Data of ``T`` steps in ``N`` environments.

    Attributes:
        observations: before each action, leaves ``[T, N, ...]``.
        actions: ``[T, N, A]``; discrete actions are indices, int32 ``[T, N]``.
        log_probs: log-probabilities of the actions under the policy that took them, ``[T, N]``, or None.
        distribution_params: parameters of the distributions they were sampled from, leaves ``[T, N, A]``; ``()`` if
            none.
        rewards: of the environment, ``[T, N]``.
        dones: whether the episode ended with the step, bool ``[T, N]``.
        time_outs: whether it ended only because of the time limit, bool ``[T, N]``.
        carry: hidden states before the first step, leaves ``[N, ...]``.
        last_observations: after the last step, leaves ``[N, ...]``.
        last_carry: hidden states after the last step, zero where an episode ended with it; leaves ``[N, ...]``.
        final_observations: at the end of each step before any reset, leaves ``[T, N, ...]``, or None.
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
    """Everything that learning changes.

    Attributes:
        params: parameters by model name (``actor``, ``critic``; ``student``, ``teacher``).
        statistics: running statistics of models (normalisers), which are updated without gradients, by model name.
        opt_state: state of the optimiser, for those of ``params`` that are trained.
        learning_rate: the current learning rate, ``[]``.
        extensions: states of the extensions (RND, ...), by name.
        iteration: number of finished iterations, int32 ``[]``.
        memory: per-environment state that learning keeps from one rollout to the next, by the name of its owner; leaves
            ``[N, ...]``, sharded over devices like the environments.
    """

    params: Mapping[str, Any]
    statistics: Mapping[str, Any]
    opt_state: Any
    learning_rate: Array
    extensions: Mapping[str, Any]
    iteration: Array
    memory: Mapping[str, Any] = struct.field(default_factory=dict)


class Model(Protocol):
    """Protocol of a model: a linen module with the methods of :class:`rsl_jax.models.MLPModel`.

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
        """Return the hidden states at the start of an episode, leaves ``[num_envs, ...]``; ``()`` if there are none."""
        ...

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Initialise all collections of variables."""
        ...

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Call a method with variables."""
        ...

    def clone(self, *args: Any, **kwargs: Any) -> Any:
        """Return the same model with other attributes."""
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
    """Protocol of a learning algorithm: a record of pure functions, like ``optax.GradientTransformation``.

    Any object with these members is one, such as the frozen dataclass :class:`rsl_jax.algorithms.PPO` or a named tuple
    of functions. A class that derives from this one inherits the members that return a value here.

    Two more members are optional: ``obs_groups``, the observation groups of each model, by its name; and
    ``check_training(num_envs=, num_steps=)``, which is called before training starts and rejects rollouts that are too
    small. It is not called for a policy that is only played or exported, as that collects none.
    """

    def init(self, key: Key) -> TrainState:
        """Return the initial training state."""
        ...

    def initial_carry(self, num_envs: int) -> Carry:
        """Return the hidden states at the start of an episode, leaves ``[num_envs, ...]``."""
        ...

    def act(self, state: TrainState, carry: Carry, observations: Observations, key: Key) -> tuple[Carry, Step]:
        """Act during collection; returns the next hidden states, and the data that learning needs."""
        ...

    def prepare(self, state: TrainState, rollout: Rollout) -> tuple[TrainState, Rollout, dict[str, Array]]:
        """Process a rollout between collecting and learning.

        Returns:
            state, rollout, and rewards ``[T, N]`` for each of :attr:`reward_tags`, which are summed over episodes and
            logged.
        """
        ...

    def update(self, state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Carry, Metrics]:
        """Learn from a rollout, once per iteration.

        Returns:
            the new state; the hidden states with which collecting continues (``rollout.last_carry``, unless learning
            recomputes them); and metrics.
        """
        ...

    def policy(self, state: TrainState, carry: Carry, observations: Observations) -> tuple[Array, Carry]:
        """Act without exploration noise, for play and export; returns actions and the next hidden states."""
        ...

    def policy_model(self, state: TrainState) -> tuple[Any, dict[str, Any]]:
        """Return the policy's model and its variables, for export."""
        ...

    @property
    def reward_tags(self) -> tuple[str, ...]:
        """Tags of the rewards that :meth:`prepare` returns; always include ``"Train/mean_reward"``."""
        return ("Train/mean_reward",)

    @property
    def score_tag(self) -> str:
        """The one of them by which the best state so far is chosen."""
        return "Train/mean_reward"

    @property
    def given(self) -> tuple[str, ...]:
        """Models that are not trained, so their variables must be loaded into the state before training."""
        return ()

    @property
    def adopts(self) -> Mapping[str, str]:
        """For models of another algorithm, by name, the model here that their variables are loaded into."""
        return {}
