"""Random network distillation (RND): an intrinsic reward for novel observations.

A fixed random target network maps every observation to an output, and a predictor is trained to match it. Where
observations are new the predictor is wrong, and its error is a reward beside the environment's.

Sources: Burda et al., "Exploration by random network distillation" (2018); Schwarke et al., "Curiosity-driven learning
of joint locomotion and manipulation tasks" (2023), as implemented in RSL-RL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.config import RndConfig, RunnerConfig, WeightScheduleConfig
from rsl_jax.extensions.base import Extension, Prepared
from rsl_jax.models import resolve_obs_groups
from rsl_jax.modules import (
    MLP,
    NormalizerState,
    default_dtype,
    init_normalizer,
    normalize,
    resolve_activation,
    update_normalizer,
)
from rsl_jax.ops import mean_over_devices
from rsl_jax.ops.optimizers import apply_gradients, scale_by_adam
from rsl_jax.types import Array, Key, Metrics, Observations, Rollout, Spec

UNTIL = 10**8
"""Number of samples after which the normalisers are fixed."""

DISCOUNT = 0.99
"""Discount of the sums of intrinsic rewards whose deviation normalises them."""

EXTRINSIC, INTRINSIC = "Rnd/mean_extrinsic_reward", "Rnd/mean_intrinsic_reward"


@struct.dataclass
class RndState:
    """State of random network distillation.

    Attributes:
        predictor: parameters of the predictor.
        target: parameters of the fixed target.
        opt_state: state of the predictor's optimiser.
        normalizers: moments of the inputs (``state``, ``[D]``) and of discounted sums of intrinsic rewards (``reward``,
            ``[]``), where they are normalised.
        steps: steps of each environment so far, int32 ``[]``.
    """

    predictor: Any
    target: Any
    opt_state: Any
    normalizers: Mapping[str, NormalizerState]
    steps: Array


@dataclasses.dataclass(frozen=True)
class Rnd:
    """The static parts of random network distillation; every method is a pure function.

    Attributes:
        cfg: its section of the config.
        groups: observation groups of the networks' input.
        obs_dim: their total size, ``D``.
        num_envs: number of environments.
        step_dt: seconds between two actions.
        loss_dtype: type in which the networks compute the loss, or None for that of the parameters.
        axis_name: mesh axis over which the environments are spread, or None.
    """

    cfg: RndConfig
    groups: tuple[str, ...]
    obs_dim: int
    num_envs: int
    step_dt: float
    loss_dtype: Any = None
    axis_name: str | None = None

    section: ClassVar[type] = RndConfig

    @classmethod
    def build(
        cls,
        section: RndConfig,
        spec: Spec,
        *,
        cfg: RunnerConfig,
        obs_groups: Mapping[str, tuple[str, ...]],
        axis_name: str | None = None,
    ) -> Extension:
        """Build random network distillation; see :func:`rsl_jax.extensions.build_extensions` for the arguments.

        Raises:
            ValueError: if the environment does not define the duration of a step, or an observation is not a vector.
        """
        groups = resolve_obs_groups(list(spec.observations), obs_groups, ["rnd_state"])["rnd_state"]
        for group in groups:
            if len(spec.observations[group]) != 1:
                raise ValueError(
                    f"RND observes vectors only, but '{group}' of obs_groups['rnd_state'] has shape "
                    f"{spec.observations[group]} an environment. Name 1-D groups there, for example a privileged state."
                )
        resolve_activation(section.activation)
        if spec.step_dt is None:
            raise ValueError(
                "rnd_cfg.weight is a weight a second and multiplied by the environment's step_dt, but the environment "
                "does not say how many seconds a step takes. Give it the attribute step_dt, or make it with the option "
                "step_dt (step_dt=1 makes it a weight a step)."
            )
        return cls(
            section,
            groups,
            obs_dim=sum(spec.observations[group][0] for group in groups),
            num_envs=spec.num_envs,
            step_dt=float(spec.step_dt),
            loss_dtype=jnp.bfloat16 if getattr(cfg.algorithm, "use_mixed_precision", False) else None,
            axis_name=axis_name,
        ).extension()

    def extension(self) -> Extension:
        """Return the record that PPO composes."""
        return Extension(
            init=self.init,
            init_memory=self.init_memory,
            prepare=self.prepare,
            optimize=self.optimize,
            update_statistics=self.update_statistics,
            metrics=lambda state: {"Rnd/weight": self.weight(state.steps)},
            reward_tags=(EXTRINSIC, INTRINSIC),
            score_tag=EXTRINSIC,
        )

    def init(self, key: Key) -> RndState:
        """Initialise the networks as PyTorch would."""
        predictor_key, target_key = jax.random.split(key)
        inputs = jnp.zeros((1, self.obs_dim), default_dtype())
        predictor = self._network("predictor").init(predictor_key, inputs)["params"]
        normalizers = {}
        if self.cfg.state_normalization:
            normalizers["state"] = init_normalizer((self.obs_dim,), default_dtype())
        if self.cfg.reward_normalization:
            normalizers["reward"] = init_normalizer((), default_dtype())
        return RndState(
            predictor=predictor,
            target=self._network("target").init(target_key, inputs)["params"],
            opt_state=scale_by_adam().init(predictor),
            normalizers=normalizers,
            steps=jnp.zeros((), jnp.int32),
        )

    def init_memory(self) -> Any:
        """Return the initial discounted sums of intrinsic rewards, ``[N]``, if these are normalised."""
        return jnp.zeros(self.num_envs, default_dtype()) if self.cfg.reward_normalization else ()

    # --- rewards ----------------------------------------------------------------------------------------------------

    def prepare(self, state: RndState, memory: Any, rollout: Rollout) -> Prepared:
        """Add the intrinsic rewards of the observations *after* each step, with a reset where an episode ended."""
        following = jax.tree.map(
            lambda x, last: jnp.concatenate([x[1:], last[None]]), rollout.observations, rollout.last_observations
        )
        errors = jnp.linalg.norm(self._difference(state, state.predictor, following), axis=-1)
        state, memory, errors = self._normalize_rewards(state, memory, errors)
        weights = self.weight(state.steps + 1 + jnp.arange(errors.shape[0], dtype=state.steps.dtype))
        intrinsic = weights[:, None] * errors
        rewards = {EXTRINSIC: rollout.rewards, INTRINSIC: intrinsic}
        state = dataclasses.replace(state, steps=state.steps + errors.shape[0])
        return state, memory, dataclasses.replace(rollout, rewards=rollout.rewards + intrinsic), rewards

    def weight(self, steps: Array) -> Array:
        """Compute the intrinsic reward's weight at the ``steps``-th step of each environment (from 1); any shape."""
        initial = self.cfg.weight * self.step_dt
        return scheduled_weight(initial, self.cfg.weight_schedule, steps)

    def _normalize_rewards(self, state: RndState, memory: Any, errors: Array) -> tuple[RndState, Any, Array]:
        """Divide errors ``[T, N]`` by the deviation of their discounted sums, which is updated step by step."""
        if not self.cfg.reward_normalization:
            return state, memory, errors

        def step(carry: tuple[NormalizerState, Array], error: Array) -> tuple[tuple[NormalizerState, Array], Array]:
            normalizer, sums = carry
            sums = DISCOUNT * sums + error
            normalizer = update_normalizer(normalizer, sums, until=UNTIL, axis_name=self.axis_name)
            std = jnp.sqrt(normalizer.var)
            return (normalizer, sums), jnp.where(std > 0, error / std, error)

        (normalizer, memory), errors = jax.lax.scan(step, (state.normalizers["reward"], memory), errors)
        return self._with_normalizer(state, "reward", normalizer), memory, errors

    # --- learning ---------------------------------------------------------------------------------------------------

    def optimize(self, state: RndState, observations: Observations) -> tuple[RndState, Metrics]:
        """Take one step of the predictor's optimiser on a mini-batch."""

        def loss(predictor: Any) -> Array:
            return jnp.mean(jnp.square(self._difference(state, predictor, observations, self.loss_dtype)))

        value, gradients = mean_over_devices(jax.value_and_grad(loss)(state.predictor), self.axis_name)
        predictor, opt_state = apply_gradients(
            scale_by_adam(), gradients, state.opt_state, state.predictor, jnp.asarray(self.cfg.learning_rate)
        )
        return dataclasses.replace(state, predictor=predictor, opt_state=opt_state), {"rnd": value}

    def update_statistics(self, state: RndState, observations: Observations) -> RndState:
        """Update the moments of the inputs with a rollout."""
        if not self.cfg.state_normalization:
            return state
        inputs = self._concatenated(observations)
        normalizer = update_normalizer(state.normalizers["state"], inputs, until=UNTIL, axis_name=self.axis_name)
        return self._with_normalizer(state, "state", normalizer)

    def _difference(self, state: RndState, predictor: Any, observations: Observations, dtype: Any = None) -> Array:
        """Compute the predictor's output for observations with leaves ``[..., D]``, minus the target's."""
        inputs = self._concatenated(observations)
        if self.cfg.state_normalization:
            inputs = normalize(state.normalizers["state"], inputs)
        predicted = self._network("predictor", dtype).apply({"params": predictor}, inputs)
        wanted = self._network("target", dtype).apply({"params": state.target}, inputs)
        return (predicted - wanted).astype(default_dtype())

    def _concatenated(self, observations: Observations) -> Array:
        return jnp.concatenate([observations[group].astype(default_dtype()) for group in self.groups], axis=-1)

    def _network(self, name: str, dtype: Any = None) -> Any:
        dims = {"predictor": self.cfg.predictor_hidden_dims, "target": self.cfg.target_hidden_dims}[name]
        return MLP(self.cfg.num_outputs, hidden_dims=tuple(dims), activation=self.cfg.activation, dtype=dtype)

    def _with_normalizer(self, state: RndState, name: str, normalizer: NormalizerState) -> RndState:
        return dataclasses.replace(state, normalizers={**state.normalizers, name: normalizer})


def scheduled_weight(initial: float, schedule: WeightScheduleConfig | None, steps: Array) -> Array:
    """Compute the weight at ``steps``, in their shape; from ``initial`` to the schedule's final value."""
    weight = jnp.full(jnp.shape(steps), initial, default_dtype())
    if schedule is None or schedule.mode == "constant":
        return weight
    first, last, final = schedule.initial_step or 0, schedule.final_step or 0, schedule.final_value or 0.0
    if schedule.mode == "step":
        return jnp.where(steps < last, weight, final)
    passed = (steps - first).astype(weight.dtype) / (last - first)
    return jnp.where(steps < first, weight, jnp.where(steps > last, final, initial + (final - initial) * passed))
