"""Proximal policy optimisation as pure functions.

Source: Schulman et al., "Proximal policy optimization algorithms" (2017), as implemented in RSL-RL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax

from rsl_jax import ops
from rsl_jax.algorithms.batches import Batch, augmented, check_batch_sizes, check_deviation, mini_batches, shuffle
from rsl_jax.algorithms.variables import (
    carry_of,
    init_models,
    initial_carry,
    own_statistics,
    parts_of,
    statistics_of,
    update_statistics,
    variables_of,
    with_carry,
    with_parts,
)
from rsl_jax.config import PPOConfig, RunnerConfig
from rsl_jax.config.algorithms import warn_where_nothing_learns
from rsl_jax.extensions import Extension, build_extensions
from rsl_jax.models import ENCODERS, build_model, build_policy, resolve_obs_groups, with_encoders_of
from rsl_jax.modules import TRAINING
from rsl_jax.ops.guards import failures, first_failure
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

Params = dict[str, Any]
Logs = dict[str, Any]

REWARD = "Train/mean_reward"
"""Tag of the rewards that PPO learns from."""


@dataclass(frozen=True)
class PPO(Algorithm):
    """The static parts of PPO; every method is a pure function.

    Attributes:
        cfg: hyper-parameters.
        actor: the policy's model.
        critic: the value function's model.
        optimizer: optimiser of both.
        extension: all extensions as one.
        shared: the actor's parts that the critic uses, too.
        axis_name: mesh axis over which the environments are spread, or None.
        permute: ``(key, n) -> [n]``, the shuffling of samples.
        obs_groups: observation groups of each model, by its name.
    """

    cfg: PPOConfig
    actor: Model
    critic: Model
    optimizer: optax.GradientTransformation
    extension: Extension
    shared: tuple[str, ...] = ()
    axis_name: str | None = None
    permute: Callable[[Key, int], Array] = shuffle
    obs_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    section: ClassVar[type] = PPOConfig

    @classmethod
    def build(
        cls,
        cfg: RunnerConfig,
        spec: Spec,
        *,
        axis_name: str | None = None,
        permute: Callable[[Key, int], Array] = shuffle,
    ) -> Self:
        """Build PPO.

        Args:
            cfg: the whole run's config; its ``algorithm`` section is a :class:`PPOConfig`, whose floats may be traced.
            spec: the environment.
            axis_name: mesh axis over which the environments are spread, or None.
            permute: ``(key, n) -> [n]``, the shuffling of samples.

        Raises:
            ValueError: if a model does not fit the observations, or the actor's distribution does not fit the
                environment's actions.
        """
        if not isinstance(cfg.algorithm, PPOConfig):
            raise TypeError(f"ppo needs a PPOConfig as the 'algorithm' section; got {type(cfg.algorithm).__name__}.")
        obs_groups = resolve_obs_groups(list(spec.observations), cfg.obs_groups, ["actor", "critic"])
        actor = build_policy(cfg.actor, spec, obs_set="actor", obs_groups=obs_groups)
        shared = (ENCODERS,) if cfg.algorithm.share_cnn_encoders else ()
        critic_cfg = with_encoders_of(cfg.actor, cfg.critic, spec.observations, obs_groups) if shared else cfg.critic
        critic = build_model(critic_cfg, spec, obs_set="critic", obs_groups=obs_groups, output_dim=1)
        recurrent = bool(jax.tree.leaves(initial_carry({"actor": actor, "critic": critic}, 1)))
        optimizer = resolve_optimizer(cfg.algorithm.optimizer)
        extension = build_extensions(cfg, spec, obs_groups=obs_groups, recurrent=recurrent, axis_name=axis_name)
        return cls(cfg.algorithm, actor, critic, optimizer, extension, shared, axis_name, permute, obs_groups)

    @property
    def reward_tags(self) -> tuple[str, ...]:
        """Tags of the rewards that :meth:`prepare` returns: what PPO learns from, and what the extensions add."""
        return (REWARD, *self.extension.reward_tags)

    @property
    def score_tag(self) -> str:
        """Tag of the environment's own rewards, by which the best state is chosen."""
        return self.extension.score_tag or REWARD

    @property
    def adopts(self) -> Mapping[str, str]:
        """Models of other algorithms that can be loaded: a student of distillation becomes the actor."""
        return {"student": "actor"}

    @property
    def models(self) -> dict[str, Model]:
        """Return actor and critic by name."""
        return {"actor": self.actor, "critic": self.critic}

    def check_training(self, *, num_envs: int, num_steps: int) -> None:
        """Reject rollouts that leave a mini-batch empty, or split environments of a recurrent model.

        Rollouts that leave a single advantage to normalise are rejected, too.

        Raises:
            ValueError: if it is not possible; says which number to change.
        """
        warn_where_nothing_learns(self.cfg)
        sizes = {"num_envs": num_envs, "num_steps_per_env": num_steps, "num_mini_batches": self.cfg.num_mini_batches}
        check_batch_sizes(**sizes, recurrent=bool(jax.tree.leaves(self.initial_carry(1))))
        if self.axis_name is None:  # several devices have several samples, which are normalised together
            check_deviation(**sizes, each=self.cfg.normalize_advantage_per_mini_batch)

    # --- state ------------------------------------------------------------------------------------------------------

    def init(self, key: Key) -> TrainState:
        """Initialise parameters as PyTorch would, and everything else at its start."""
        *model_keys, extension_key = jax.random.split(key, len(self.models) + 1)
        params, statistics = init_models(self.models, model_keys, shared=self.shared)
        return TrainState(
            params=params,
            statistics=statistics,
            opt_state=self.optimizer.init(params),
            learning_rate=jnp.asarray(self.cfg.learning_rate, default_dtype()),
            extensions=self.extension.init(extension_key),
            iteration=jnp.zeros((), jnp.int32),
            memory=self.extension.init_memory(),
        )

    def initial_carry(self, num_envs: int) -> Carry:
        """Return the hidden states of actor and critic at the start of an episode."""
        return initial_carry(self.models, num_envs)

    # --- collecting -------------------------------------------------------------------------------------------------

    def act(self, state: TrainState, carry: Carry, observations: Observations, key: Key) -> tuple[Carry, Step]:
        """Sample actions; values are computed after the rollout, only a recurrent critic's hidden states advance."""
        params, actor_carry = self._apply("actor", state, observations, carry_of(carry, "actor"))
        _, critic_carry = self._apply("critic", state, observations, carry_of(carry, "critic"))
        distribution = self.actor.distribution
        actions = distribution.sample(params, key)
        step = Step(actions, distribution.log_prob(params, actions), params)
        return with_carry(carry, actor=actor_carry, critic=critic_carry), step

    def policy(self, state: TrainState, carry: Carry, observations: Observations) -> tuple[Array, Carry]:
        """Compute the deterministic action and the next hidden states."""
        variables = variables_of(state, "actor")
        actions, actor_carry = self.actor.apply(variables, observations, carry_of(carry, "actor"), method="mode")
        return actions, with_carry(carry, actor=actor_carry)

    def policy_model(self, state: TrainState) -> tuple[Any, dict[str, Any]]:
        """Return the actor and its variables."""
        return self.actor, variables_of(state, "actor")

    def prepare(self, state: TrainState, rollout: Rollout) -> tuple[TrainState, Rollout, dict[str, Array]]:
        """Let the extensions process the rollout; the rewards that they return are learned from and reported."""
        extensions, memory, rollout, rewards = self.extension.prepare(state.extensions, state.memory, rollout)
        state = dataclasses.replace(state, extensions=extensions, memory=memory)
        return state, rollout, {REWARD: rollout.rewards, **rewards}

    # --- learning ---------------------------------------------------------------------------------------------------

    def update(self, state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Carry, Metrics]:
        """Run one iteration: returns, optimisation over all mini-batches, then the normalisers."""
        batches = mini_batches(
            self.batch(state, rollout), key, num_mini_batches=self.cfg.num_mini_batches, permute=self.permute
        )
        learned, logs = jax.lax.scan(
            lambda learner, _: jax.lax.scan(self.optimize, learner, batches), state, None, self.cfg.num_learning_epochs
        )
        metrics = self._metrics(learned, logs)
        # Last, so that an unchanged policy has a ratio of exactly 1.
        learned = update_statistics(self.models, learned, rollout.observations, axis_name=self.axis_name)
        extensions = self.extension.update_statistics(learned.extensions, rollout.observations)
        learned = dataclasses.replace(learned, extensions=extensions, iteration=state.iteration + 1)
        return learned, rollout.last_carry, metrics

    def batch(self, state: TrainState, rollout: Rollout) -> Batch:
        """Compute values, returns and advantages of a rollout."""
        assert rollout.log_probs is not None, "PPO learns from a rollout of its own act, which gives log-probabilities"
        cfg = self.cfg
        values, last_values = self.values(state, rollout)
        rewards = rollout.rewards + cfg.gamma * self.time_out_values(state, rollout, values)
        advantages, returns = ops.generalized_advantage_estimation(
            rewards, values, rollout.dones, last_values, gamma=cfg.gamma, lam=cfg.lam
        )
        if not cfg.normalize_advantage_per_mini_batch:
            advantages = ops.standardize(advantages, axis_name=self.axis_name)
        return Batch(
            observations=rollout.observations,
            actions=rollout.actions,
            log_probs=rollout.log_probs,
            distribution_params=rollout.distribution_params,
            values=values,
            advantages=advantages,
            returns=returns,
            dones=rollout.dones,
            carry=rollout.carry,
        )

    def values(self, state: TrainState, rollout: Rollout) -> tuple[Array, Array]:
        """Compute the critic's values before each step ``[T, N]`` and after the last one ``[N]``, in one pass."""
        observations = jax.tree.map(
            lambda x, last: jnp.concatenate([x, last[None]]), rollout.observations, rollout.last_observations
        )
        dones = jnp.concatenate([rollout.dones, jnp.zeros_like(rollout.dones[:1])])
        carry = carry_of(rollout.carry, "critic")
        values = self._apply("critic", state, observations, carry, dones, method="unroll")[..., 0]
        return values[:-1], values[-1]

    def time_out_values(self, state: TrainState, rollout: Rollout, values: Array) -> Array:
        """Estimate the remaining value of episodes that ran out of time, ``[T, N]``; 0 everywhere else."""
        if self.cfg.time_out_bootstrap == "current" or rollout.final_observations is None:
            return jnp.where(rollout.time_outs, values, 0)

        def final_values() -> Array:
            carry, seen = carry_of(rollout.carry, "critic"), (rollout.observations, rollout.final_observations)
            following = self._apply("critic", state, *seen, carry, rollout.dones, method="unroll_ahead")[..., 0]
            return jnp.where(rollout.time_outs, following, 0)

        # Most rollouts of long episodes contain no time-out at all; then the pass over the final observations is
        # skipped.
        return jax.lax.cond(jnp.any(rollout.time_outs), final_values, lambda: jnp.zeros_like(values))

    def optimize(self, state: TrainState, batch: Batch) -> tuple[TrainState, Logs]:
        """Take one step of the optimiser, and of the extensions, on one mini-batch."""
        if self.cfg.normalize_advantage_per_mini_batch:
            batch = dataclasses.replace(batch, advantages=ops.standardize(batch.advantages, axis_name=self.axis_name))
        (_, aux), gradients = jax.value_and_grad(self.loss, has_aux=True)(state.params, state.statistics, batch)
        gradients, (logs, moved) = ops.mean_over_devices((gradients, aux), self.axis_name)
        logs["failed"] = failures(
            logs["losses"], {name: parts_of(gradients, name, self.shared) for name in self.models}
        )
        learning_rate = self._learning_rate(state.learning_rate, logs["kl"])
        for name in self.models:
            # One after the other, so that what is shared is clipped with each, as in RSL-RL.
            gradient = parts_of(gradients, name, self.shared)
            gradient, logs[f"gradient_norm/{name}"] = ops.clip_by_global_norm(gradient, self.cfg.max_grad_norm)
            gradients = with_parts(gradients, name, gradient, self.shared)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, state.params, learning_rate)
        statistics = {
            name: {**state.statistics[name], **own_statistics(moved[name], name, self.shared)} for name in self.models
        }
        extensions, losses = self.extension.optimize(state.extensions, batch.observations)
        logs |= {"learning_rate": learning_rate, "losses": logs["losses"] | losses}
        changed = dataclasses.replace(state, params=params, opt_state=opt_state, learning_rate=learning_rate)
        return dataclasses.replace(changed, statistics=statistics, extensions=extensions), logs

    def loss(self, params: Params, statistics: Params, batch: Batch) -> tuple[Array, tuple[Logs, Params]]:
        """Compute PPO's loss of a mini-batch, its terms, and the statistics that its samples updated."""
        cfg, distribution = self.cfg, self.actor.distribution
        moved: Params = {name: {} for name in self.models}

        def unroll(name: str, observations: Observations) -> Any:
            model = self.models[name]
            model = model.clone(dtype=jnp.bfloat16) if cfg.use_mixed_precision else model
            seen = {**statistics_of(statistics, name, self.shared), **moved[name]}
            variables = {"params": parts_of(params, name, self.shared), **seen}
            inputs = (observations, carry_of(batch.carry, name), batch.dones)
            output, moved[name] = model.apply(variables, *inputs, method="unroll", mutable=TRAINING)
            return output

        samples = augmented(batch, *self.extension.augment(batch.observations, batch.actions))
        policy, values = unroll("actor", samples.observations), unroll("critic", samples.observations)[..., 0]
        log_probs = distribution.log_prob(policy, samples.actions)
        surrogate = ops.surrogate_loss(log_probs, samples.log_probs, samples.advantages, clip_param=cfg.clip_param)
        if cfg.use_clipped_value_loss:
            value = ops.clipped_value_loss(values, samples.values, samples.returns, clip_param=cfg.clip_param)
        else:
            value = ops.value_loss(values, samples.returns)
        added, losses = self.extension.loss(
            lambda observations: distribution.mode(unroll("actor", observations)),
            distribution.mode(policy),
            batch.observations,
        )
        original = jax.tree.map(lambda x: x[:, : batch.values.shape[1]], policy)
        entropy = jnp.mean(distribution.entropy(original))
        logs = {
            "losses": {"surrogate": surrogate, "value": value, "entropy": entropy, **losses},
            "kl": jnp.mean(distribution.kl(batch.distribution_params, original)),
        }
        if distribution.std is not None:
            logs["std"] = jnp.mean(distribution.std(original))
        loss = surrogate + cfg.value_loss_coef * value - cfg.entropy_coef * entropy + added
        return loss, (logs, moved)

    def _learning_rate(self, learning_rate: Array, kl: Array) -> Array:
        if self.cfg.schedule != "adaptive" or self.cfg.desired_kl is None:
            return learning_rate
        return ops.adapt_learning_rate(learning_rate, kl, desired_kl=self.cfg.desired_kl)

    def _metrics(self, state: TrainState, logs: Logs) -> Metrics:
        return {
            **{f"Loss/{name}": jnp.mean(values) for name, values in logs["losses"].items()},
            "Loss/learning_rate": state.learning_rate,
            **({"Policy/mean_std": logs["std"][-1, -1]} if "std" in logs else {}),
            **self.extension.metrics(state.extensions),
            **first_failure(logs["failed"]),
        }

    def _apply(self, name: str, state: TrainState, *inputs: Any, method: str | None = None) -> Any:
        """Run a model in training mode, so that an unchanged policy has the same output then; keep its statistics."""
        variables = variables_of(state, name, self.shared)
        return self.models[name].apply(variables, *inputs, method=method, mutable=TRAINING)[0]
