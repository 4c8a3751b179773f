"""The interface of PPO's extensions: a record of pure functions, each of which does nothing by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax

from rsl_jax.types import Array, Key, Metrics, Observations, Rollout

ActAt: TypeAlias = Callable[[Observations], Array]
"""Deterministic actions ``[T', n, A]`` of the policy that learns, at observations with leaves ``[T', n, ...]``."""

Prepared: TypeAlias = tuple[Any, Any, Rollout, dict[str, Array]]


class Extension(NamedTuple):
    """Addition to PPO.

    The fields are in the order in which PPO calls them. ``state`` is what the extension learns, the same on all
    devices; ``memory`` is its state for each environment, leaves ``[N, ...]``. Mini-batches have leaves
    ``[T', n, ...]``.

    Attributes:
        init: ``(key) -> state``.
        init_memory: ``() -> memory``.
        prepare: ``(state, memory, rollout) -> (state, memory, rollout, rewards)``, between collecting and learning. The
            rewards ``[T, N]`` are summed over episodes and logged under ``reward_tags``.
        augment: ``(observations, actions) -> (observations, actions)`` of a mini-batch, with samples appended to it,
            the originals first. PPO repeats all other data of the samples, and computes divergence and entropy of the
            originals alone.
        loss: ``(act_at, actions, observations) -> (loss, losses)``, added to PPO's loss. ``actions`` are the
            deterministic ones of the policy that learns on the *augmented* mini-batch, ``observations`` those of the
            originals, ``losses`` what to log, by name.
        optimize: ``(state, observations) -> (state, losses)``, a step of the extension's own on the originals.
        update_statistics: ``(state, observations) -> state``, once after the optimisation; leaves ``[T, N, ...]``.
        metrics: ``(state) -> metrics``, what to log of the state after an iteration.
        reward_tags: tags of the rewards that ``prepare`` returns.
        score_tag: the one among them for the environment's own rewards, where ``prepare`` changes these.
    """

    init: Callable[[Key], Any] = lambda key: ()
    init_memory: Callable[[], Any] = lambda: ()
    prepare: Callable[[Any, Any, Rollout], Prepared] = lambda state, memory, rollout: (state, memory, rollout, {})
    augment: Callable[[Observations, Array], tuple[Observations, Array]] = lambda observations, actions: (
        observations,
        actions,
    )
    loss: Callable[[ActAt, Array, Observations], tuple[Array | float, Metrics]] = lambda act_at, actions, obs: (0.0, {})
    optimize: Callable[[Any, Observations], tuple[Any, Metrics]] = lambda state, observations: (state, {})
    update_statistics: Callable[[Any, Observations], Any] = lambda state, observations: state
    metrics: Callable[[Any], Metrics] = lambda state: {}
    reward_tags: tuple[str, ...] = ()
    score_tag: str | None = None


def combine(extensions: Mapping[str, Extension]) -> Extension:
    """Combine several extensions into one, which calls them in their order; its states are dicts by name."""

    def init(key: Key) -> dict[str, Any]:
        keys = jax.random.split(key, max(len(extensions), 1))
        return {name: e.init(k) for (name, e), k in zip(extensions.items(), keys, strict=False)}

    def prepare(state: Any, memory: Any, rollout: Rollout) -> Prepared:
        states, memories = {}, {}
        rewards: dict[str, Array] = {}
        for name, extension in extensions.items():
            states[name], memories[name], rollout, own = extension.prepare(state[name], memory[name], rollout)
            rewards |= own
        return states, memories, rollout, rewards

    def augment(observations: Observations, actions: Array) -> tuple[Observations, Array]:
        for extension in extensions.values():
            observations, actions = extension.augment(observations, actions)
        return observations, actions

    def loss(act_at: ActAt, actions: Array, observations: Observations) -> tuple[Array | float, Metrics]:
        total: Array | float = 0.0
        losses: Metrics = {}
        for extension in extensions.values():
            added, own = extension.loss(act_at, actions, observations)
            total, losses = total + added, losses | own
        return total, losses

    def optimize(state: Any, observations: Observations) -> tuple[Any, Metrics]:
        states = {}
        losses: Metrics = {}
        for name, extension in extensions.items():
            states[name], own = extension.optimize(state[name], observations)
            losses |= own
        return states, losses

    return Extension(
        init=init,
        init_memory=lambda: {name: extension.init_memory() for name, extension in extensions.items()},
        prepare=prepare,
        augment=augment,
        loss=loss,
        optimize=optimize,
        update_statistics=lambda state, observations: {
            name: extension.update_statistics(state[name], observations) for name, extension in extensions.items()
        },
        metrics=lambda state: {
            tag: value
            for name, extension in extensions.items()
            for tag, value in extension.metrics(state[name]).items()
        },
        reward_tags=tuple(tag for extension in extensions.values() for tag in extension.reward_tags),
        score_tag=next((extension.score_tag for extension in extensions.values() if extension.score_tag), None),
    )
