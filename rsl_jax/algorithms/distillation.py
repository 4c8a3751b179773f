"""Student-teacher distillation as pure functions: the student acts, the teacher labels the observations that it meets.

Source: Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to no-regret online
learning" (2011), as implemented in RSL-RL.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from rsl_jax import ops
from rsl_jax.algorithms.variables import (
    DISTRIBUTION,
    carry_of,
    init_models,
    initial_carry,
    update_statistics,
    variables_of,
    with_carry,
)
from rsl_jax.config import DistillationConfig, DistillationRunnerConfig
from rsl_jax.config.algorithms import warn_where_nothing_learns
from rsl_jax.models import build_model, resolve_obs_groups
from rsl_jax.modules import TRAINING
from rsl_jax.ops.guards import failures, first_failure, non_finite
from rsl_jax.ops.optimizers import apply_gradients, resolve_optimizer
from rsl_jax.types import (
    Algorithm,
    Array,
    Carry,
    Key,
    Metrics,
    Model,
    Observations,
    Rollout,
    Spec,
    Step,
    TrainState,
    default_dtype,
)

DISTANCES: Mapping[str, Callable[[Array, Array], Array]] = {"mse": optax.squared_error, "huber": optax.huber_loss}
"""Losses of an action ``[..., A]`` and its label, element by element."""

Learner = tuple[TrainState, Carry]
Follow = Callable[[Mapping[str, Any], Carry, Array], tuple[Array, Carry, Any]]


@struct.dataclass
class Lesson:
    """Training data of a student: the steps of a rollout, or blocks of them ``[T / B, B, N, ...]``.

    Attributes:
        observations: leaves ``[T, N, ...]``.
        labels: the teacher's actions, ``[T, N, A]``.
        dones: whether the episode ended with the step, ``[T, N]``.
    """

    observations: Observations
    labels: Array
    dones: Array


@dataclass(frozen=True)
class Distillation(Algorithm):
    """The static parts of distillation; every method is a pure function.

    Attributes:
        cfg: hyper-parameters.
        num_steps: steps of a rollout, ``T``.
        student: the model that learns and acts.
        teacher: the model that labels.
        optimizer: optimiser of the student.
        axis_name: mesh axis over which the environments are spread, or None.
        obs_groups: observation groups of each model, by its name.
    """

    cfg: DistillationConfig
    num_steps: int
    student: Model
    teacher: Model
    optimizer: optax.GradientTransformation
    axis_name: str | None = None
    obs_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    section: ClassVar[type] = DistillationConfig

    @classmethod
    def build(cls, cfg: DistillationRunnerConfig, spec: Spec, *, axis_name: str | None = None) -> Self:
        """Build distillation; its state holds a randomly initialised teacher until another one is loaded.

        Args:
            cfg: the whole run's config; its ``algorithm`` section is a :class:`DistillationConfig`, whose floats may be
                traced.
            spec: the environment.
            axis_name: mesh axis over which the environments are spread, or None.

        Raises:
            ValueError: if a model does not fit the observations, or actions are discrete.
        """
        if not isinstance(cfg.algorithm, DistillationConfig):
            raise TypeError(
                "distillation needs a DistillationConfig as the 'algorithm' section; got "
                f"{type(cfg.algorithm).__name__}."
            )
        if spec.discrete:
            raise ValueError(
                "Distillation compares actions by their distance, so it needs continuous actions; this environment's "
                "are discrete."
            )
        obs_groups = resolve_obs_groups(list(spec.observations), cfg.obs_groups, ["student", "teacher"])
        student, teacher = (
            build_model(section, spec, obs_set=name, obs_groups=obs_groups, output_dim=spec.num_actions)
            for name, section in (("student", cfg.student), ("teacher", cfg.teacher))
        )
        optimizer = resolve_optimizer(cfg.algorithm.optimizer)
        return cls(cfg.algorithm, cfg.num_steps_per_env, student, teacher, optimizer, axis_name, obs_groups)

    @property
    def given(self) -> tuple[str, ...]:
        """Models that are not trained here: the teacher."""
        return ("teacher",)

    @property
    def adopts(self) -> Mapping[str, str]:
        """Models of other algorithms that can be loaded: the actor of PPO becomes the teacher."""
        return {"actor": "teacher"}

    @property
    def models(self) -> dict[str, Model]:
        """Return student and teacher by name."""
        return {"student": self.student, "teacher": self.teacher}

    def check_training(self, *, num_envs: int, num_steps: int) -> None:
        """Reject rollouts too short for a step of the optimiser; warn of steps from which nothing is learned.

        Raises:
            ValueError: if it is not possible; says which numbers to change.
        """
        del num_envs
        warn_where_nothing_learns(self.cfg)
        check_lengths(self.cfg, num_steps)

    # --- state ------------------------------------------------------------------------------------------------------

    def init(self, key: Key) -> TrainState:
        """Initialise parameters as PyTorch would, the teacher's too; the optimiser only has the student's."""
        params, statistics = init_models(self.models, list(jax.random.split(key, len(self.models))))
        return TrainState(
            params=params,
            statistics=statistics,
            opt_state=self.optimizer.init(learning_part(params["student"])),
            learning_rate=jnp.asarray(self.cfg.learning_rate, default_dtype()),
            extensions={},
            iteration=jnp.zeros((), jnp.int32),
        )

    def initial_carry(self, num_envs: int) -> Carry:
        """Return the hidden states of student and teacher at the start of an episode."""
        return initial_carry(self.models, num_envs)

    # --- collecting -------------------------------------------------------------------------------------------------

    def act(self, state: TrainState, carry: Carry, observations: Observations, key: Key) -> tuple[Carry, Step]:
        """Sample the student's actions; the teacher runs once the rollout is complete."""
        # As in learning: with batch normalisation, by the moments of the batch.
        (output, student_carry), _ = self.student.apply(
            variables_of(state, "student"), observations, carry_of(carry, "student"), mutable=TRAINING
        )
        carry, distribution = with_carry(carry, student=student_carry), self.student.distribution
        if distribution is None:
            return carry, Step(output, None, ())
        return carry, Step(distribution.sample(output, key), None, output)

    def policy(self, state: TrainState, carry: Carry, observations: Observations) -> tuple[Array, Carry]:
        """Compute the student's deterministic action and the next hidden states."""
        actions, student_carry = self.student.apply(
            variables_of(state, "student"), observations, carry_of(carry, "student"), method="mode"
        )
        return actions, with_carry(carry, student=student_carry)

    def policy_model(self, state: TrainState) -> tuple[Any, dict[str, Any]]:
        """Return the student and its variables."""
        return self.student, variables_of(state, "student")

    def prepare(self, state: TrainState, rollout: Rollout) -> tuple[TrainState, Rollout, dict[str, Array]]:
        """Return state and rollout unchanged; the environment's reward is what is reported."""
        return state, rollout, {"Train/mean_reward": rollout.rewards}

    # --- learning ---------------------------------------------------------------------------------------------------

    def update(self, state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Carry, Metrics]:
        """Run one iteration: labels, truncated back-propagation through all epochs, then the student's normaliser."""
        del key
        labels, teacher_carry = self.labels(state, rollout)
        start = carry_of(rollout.carry, "student")
        blocks, chunks, rest = self.cut(Lesson(rollout.observations, labels, rollout.dones))
        follow = self.follower(blocks, start)
        (learned, carry), logs = jax.lax.scan(functools.partial(self.optimize, follow), (state, start), chunks)
        rest_losses, carry, moved = follow(variables_of(learned, "student"), carry, rest)
        learned = self._with_student(learned, moved=moved)
        rest_losses = ops.mean_over_devices(rest_losses, self.axis_name)
        logs["losses"] = jnp.concatenate([jnp.ravel(logs["losses"]), jnp.ravel(rest_losses)])
        metrics = self._metrics(learned, rollout, logs) | ops.sum_over_devices(
            non_finite({"teacher.actions": labels}), self.axis_name
        )
        learned = update_statistics({"student": self.student}, learned, rollout.observations, axis_name=self.axis_name)
        learned = dataclasses.replace(learned, iteration=state.iteration + 1)
        return learned, with_carry(rollout.carry, student=carry, teacher=teacher_carry), metrics

    def labels(self, state: TrainState, rollout: Rollout) -> tuple[Array, Carry]:
        """Compute the teacher's actions ``[T, N, A]`` in one pass, and its hidden states after the last step."""
        return self.teacher.apply(
            variables_of(state, "teacher"),
            rollout.observations,
            carry_of(rollout.carry, "teacher"),
            rollout.dones,
            method="unroll_mode",
        )

    def cut(self, lesson: Lesson) -> tuple[Lesson, Array, Array]:
        """Split the steps of all epochs at every start of an epoch and at every step of the optimiser.

        The two need not coincide: ``gradient_length`` counts on from epoch to epoch. Blocks are as long as
        possible with one length for all, and block 0 is where an epoch starts.

        Args:
            lesson: leaves ``[T, N, ...]``.

        Returns:
            the blocks of one epoch, leaves ``[T / B, B, N, ...]``; the indices of those between two steps of the
            optimiser, in order, ``[K, gradient_length / B]``; and of the ones that are left at the end.
        """
        cfg, size = self.cfg, math.gcd(self.num_steps, self.cfg.gradient_length)
        blocks = jax.tree.map(lambda x: jnp.reshape(x, (-1, size, *x.shape[1:])), lesson)
        order = jnp.tile(jnp.arange(self.num_steps // size), cfg.num_learning_epochs)
        per_chunk = cfg.gradient_length // size
        end = order.size // per_chunk * per_chunk
        return blocks, jnp.reshape(order[:end], (-1, per_chunk)), order[end:]

    def follower(self, blocks: Lesson, start: Carry) -> Follow:
        """Return the function that runs the student on blocks.

        Args:
            blocks: leaves ``[T / B, B, N, ...]``.
            start: its hidden states at the start of every epoch, leaves ``[N, ...]``.

        Returns:
            ``(variables, carry, order) -> (losses, carry, moved)``: from the student's variables, its hidden states and
            the indices of the blocks ``[n]``, to the losses ``[n, B]``, the hidden states after the last block, and the
            statistics that were updated.
        """
        student = self.student.clone(dtype=jnp.bfloat16) if self.cfg.use_mixed_precision else self.student
        distance = DISTANCES[self.cfg.loss_type]

        def follow(variables: Mapping[str, Any], carry: Carry, order: Array) -> tuple[Array, Carry, Any]:
            def step(memory: tuple[Carry, Any], index: Array) -> tuple[tuple[Carry, Any], Array]:
                carry, moved = memory
                block = jax.tree.map(lambda x: x[index], blocks)
                carry = jax.tree.map(lambda first, x: jnp.where(index == 0, first, x), start, carry)
                inputs = (block.observations, carry, block.dones)
                (actions, carry), moved = student.apply(
                    {**variables, **moved}, *inputs, method="unroll_mode", mutable=TRAINING
                )
                return (carry, moved), jnp.mean(distance(actions, block.labels), axis=(-2, -1))

            moved = {name: variables[name] for name in TRAINING if name in variables}
            # Unrolled, many short blocks (15 of 24 steps: blocks of 3) cost no more than one long one.
            (carry, moved), losses = jax.lax.scan(step, (carry, moved), order, unroll=8)
            return losses, carry, moved

        return follow

    def optimize(self, follow: Follow, learner: Learner, chunk: Array) -> tuple[Learner, dict[str, Any]]:
        """Take one step of the optimiser on the losses of ``gradient_length`` steps: the blocks of ``chunk``."""
        state, carry = learner
        params = state.params["student"]

        def loss(learning: Any) -> tuple[Array, tuple[Array, Carry, Any]]:
            variables = {"params": {**params, **learning}, **state.statistics["student"]}
            losses, following, moved = follow(variables, carry, chunk)
            return jnp.sum(losses), (losses, following, moved)

        learning = learning_part(params)
        (_, (losses, carry, moved)), gradients = jax.value_and_grad(loss, has_aux=True)(learning)
        gradients, losses = ops.mean_over_devices((gradients, losses), self.axis_name)
        limit = math.inf if self.cfg.max_grad_norm is None else self.cfg.max_grad_norm
        failed = failures({"behavior": losses}, {"student": gradients})
        clipped, norm = ops.clip_by_global_norm(gradients, jnp.where(limit == 0, math.inf, limit))
        learning, opt_state = apply_gradients(self.optimizer, clipped, state.opt_state, learning, state.learning_rate)
        state = self._with_student(dataclasses.replace(state, opt_state=opt_state), params=learning, moved=moved)
        return (state, carry), {"losses": losses, "gradient_norm": norm, "failed": failed}

    def _with_student(self, state: TrainState, *, params: Any = MappingProxyType({}), moved: Any) -> TrainState:
        """Return the state with other parameters of the student, if given, and other statistics of training."""
        params = {**state.params, "student": {**state.params["student"], **params}}
        moved = ops.mean_over_devices(moved, self.axis_name)
        statistics = {**state.statistics, "student": {**state.statistics["student"], **moved}}
        return dataclasses.replace(state, params=params, statistics=statistics)

    def _metrics(self, state: TrainState, rollout: Rollout, logs: Mapping[str, Any]) -> Metrics:
        metrics = {
            "Loss/behavior": jnp.mean(logs["losses"]),
            "Loss/learning_rate": state.learning_rate,
            **first_failure(logs["failed"]),
        }
        distribution = self.student.distribution
        if distribution is not None and distribution.std is not None:
            last = jax.tree.map(lambda x: x[-1], rollout.distribution_params)
            std = jnp.mean(distribution.std(last))
            metrics["Policy/mean_std"] = ops.mean_over_devices(std, self.axis_name)
        return metrics


def learning_part(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a deterministic output depends on; weight decay would change the others too."""
    return {name: value for name, value in params.items() if name != DISTRIBUTION}


def check_lengths(cfg: DistillationConfig, num_steps: int) -> None:
    """Reject an update that never reaches a step of the optimiser; warn of steps from which nothing is learned.

    Raises:
        ValueError: if it is not possible; says which numbers to change.
    """
    total = cfg.num_learning_epochs * num_steps
    sizes = f"num_learning_epochs ({cfg.num_learning_epochs}) x num_steps_per_env ({num_steps}) = {total} steps"
    if cfg.gradient_length > total:
        raise ValueError(
            f"gradient_length ({cfg.gradient_length}) is more than {sizes}: the student would never be updated. Choose "
            "a shorter one, or longer rollouts."
        )
    if total % cfg.gradient_length:
        divisors = [n for n in range(1, total + 1) if total % n == 0]
        near = min(divisors, key=lambda n: abs(n - cfg.gradient_length))
        warnings.warn(
            f"gradient_length ({cfg.gradient_length}) does not divide {sizes}, so from the last "
            f"{total % cfg.gradient_length} of them nothing is learned. {near} would divide it.",
            stacklevel=4,
        )
