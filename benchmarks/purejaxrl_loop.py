"""PureJaxRL's PPO loop, at the sizes of a benchmark: what a compact, self-contained program costs.

Written after ``purejaxrl/ppo_continuous_action.py`` and ``purejaxrl/ppo.py`` of https://github.com/luchris429/purejaxrl
(Chris Lu, Apache License 2.0): values are computed while collecting, advantages backwards in a scan unrolled 16 times
and normalised in each mini-batch, mini-batches shuffled anew in every epoch, one optimiser for actor and critic, and
returns of episodes logged at every step. Environments are gymnax's, with its own resets; observations and rewards are
not normalised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from compiled_size import Size
from flax.linen.initializers import constant, orthogonal
from flax.training.train_state import TrainState

GAMMA, LAM, CLIP, VALUE_COEF, ENTROPY_COEF, MAX_GRAD_NORM = 0.99, 0.95, 0.2, 0.5, 0.01, 0.5


class ActorCritic(nn.Module):
    """Actor and critic of the same size."""

    num_actions: int
    discrete: bool
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Any) -> Any:
        """Return the policy and the value."""

        def mlp(x: Any, size: int, scale: float) -> Any:
            for width in self.hidden:
                x = nn.tanh(nn.Dense(width, kernel_init=orthogonal(np.sqrt(2)), bias_init=constant(0.0))(x))
            return nn.Dense(size, kernel_init=orthogonal(scale), bias_init=constant(0.0))(x)

        output = mlp(x, self.num_actions, 0.01)
        if self.discrete:
            policy: Any = distrax.Categorical(logits=output)
        else:
            log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
            policy = distrax.MultivariateNormalDiag(output, jnp.exp(log_std))
        return policy, jnp.squeeze(mlp(x, 1, 1.0), axis=-1)


class Transition(NamedTuple):
    """What a step leaves behind, leaves ``[N, ...]``."""

    done: Any
    action: Any
    value: Any
    reward: Any
    log_prob: Any
    obs: Any


class Episodes(NamedTuple):
    """What its log wrapper keeps of each environment, ``[N]``."""

    returns: Any
    lengths: Any
    returned_returns: Any
    returned_lengths: Any


def make_train(size: Size) -> Callable[[Any], Any]:
    """Return ``key -> (parameters, metrics)``; metrics are those of every step, ``[iterations, T, N]``."""
    env, env_params = gymnax.make(size.env)
    space = env.action_space(env_params)
    discrete = not hasattr(space, "low")
    network = ActorCritic(
        int(space.n) if discrete else int(np.prod(space.shape)), discrete=discrete, hidden=tuple(size.hidden)
    )
    optimizer = optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adam(size.learning_rate, eps=1e-5))

    def env_step(runner: Any, _: None) -> Any:
        learner, env_state, obs, episodes, key = runner
        key, act_key, step_key = jax.random.split(key, 3)
        policy, value = network.apply(learner.params, obs)
        action = policy.sample(seed=act_key)
        log_prob = policy.log_prob(action)
        applied = action if discrete else jnp.clip(action, space.low, space.high)
        keys = jax.random.split(step_key, size.num_envs)
        step = jax.vmap(env.step, in_axes=(0, 0, 0, None))
        next_obs, env_state, reward, terminated, truncated, _ = step(keys, env_state, applied, env_params)
        done, reward = terminated | truncated, reward.reshape(-1)
        returns, lengths = episodes.returns + reward, episodes.lengths + 1
        episodes = Episodes(
            returns * (1 - done),
            lengths * (1 - done),
            episodes.returned_returns * (1 - done) + returns * done,
            episodes.returned_lengths * (1 - done) + lengths * done,
        )
        transition = Transition(done, action, value, reward, log_prob, obs)
        info = {"returns": episodes.returned_returns, "lengths": episodes.returned_lengths, "done": done}
        return (learner, env_state, next_obs, episodes, key), (transition, info)

    def advantages_of(rollout: Transition, last_value: Any) -> Any:
        def backwards(following: Any, step: Transition) -> Any:
            advantage, next_value = following
            delta = step.reward + GAMMA * next_value * (1 - step.done) - step.value
            advantage = delta + GAMMA * LAM * (1 - step.done) * advantage
            return (advantage, step.value), advantage

        start = (jnp.zeros_like(last_value), last_value)
        return jax.lax.scan(backwards, start, rollout, reverse=True, unroll=16)[1]

    def loss(params: Any, batch: Any) -> Any:
        rollout, advantages, targets = batch
        policy, value = network.apply(params, rollout.obs)
        clipped = rollout.value + (value - rollout.value).clip(-CLIP, CLIP)
        value_loss = 0.5 * jnp.maximum(jnp.square(value - targets), jnp.square(clipped - targets)).mean()
        ratio = jnp.exp(policy.log_prob(rollout.action) - rollout.log_prob)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        surrogate = -jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantages).mean()
        entropy = policy.entropy().mean()
        return surrogate + VALUE_COEF * value_loss - ENTROPY_COEF * entropy, (value_loss, surrogate, entropy)

    def epoch(state: Any, _: None) -> Any:
        learner, data, key = state
        key, shuffle_key = jax.random.split(key)
        samples = size.num_envs * size.num_steps
        order = jax.random.permutation(shuffle_key, samples)

        def split(x: Any) -> Any:
            shuffled = jnp.take(x.reshape((samples, *x.shape[2:])), order, axis=0)
            return shuffled.reshape((size.num_mini_batches, -1, *x.shape[2:]))

        def step(learner: TrainState, batch: Any) -> Any:
            total, gradients = jax.value_and_grad(loss, has_aux=True)(learner.params, batch)
            return learner.apply_gradients(grads=gradients), total

        learner, losses = jax.lax.scan(step, learner, jax.tree.map(split, data))
        return (learner, data, key), losses

    def iteration(runner: Any, _: None) -> Any:
        (learner, env_state, obs, episodes, key), (rollout, info) = jax.lax.scan(env_step, runner, None, size.num_steps)
        _, last_value = network.apply(learner.params, obs)
        advantages = advantages_of(rollout, last_value)
        data = (rollout, advantages, advantages + rollout.value)
        (learner, _, key), _ = jax.lax.scan(epoch, (learner, data, key), None, size.num_epochs)
        return (learner, env_state, obs, episodes, key), info

    def train(key: Any) -> Any:
        key, init_key, reset_key = jax.random.split(key, 3)
        keys = jax.random.split(reset_key, size.num_envs)
        obs, env_state = jax.vmap(env.reset, in_axes=(0, None))(keys, env_params)
        params = network.init(init_key, obs[0])
        learner = TrainState.create(apply_fn=network.apply, params=params, tx=optimizer)
        zeros, counts = jnp.zeros(size.num_envs), jnp.zeros(size.num_envs, jnp.int32)
        runner = (learner, env_state, obs, Episodes(zeros, counts, zeros, counts), key)
        runner, metrics = jax.lax.scan(iteration, runner, None, size.iterations)
        return runner[0].params, metrics

    return train
