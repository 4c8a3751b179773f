"""Regrouping of observations, e.g. into what a robot can measure and what only a simulator knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.env.base import Env
from rsl_jax.registry import nearest
from rsl_jax.types import Array, Key, Observations, TimeStep

Selection = str | tuple[str, Sequence[int]]
"""A whole group by its name, or some entries of a 1-D group: ``("policy", [0, 1])``."""


def regroup(env: Env[Any], groups: Mapping[str, Selection]) -> RegroupedEnv:
    """Rearrange the observations of an environment into other groups.

    For example ``regroup(env, {"measured": ("policy", [0, 1, 2]), "privileged": "policy"})``.

    Args:
        env: the environment.
        groups: by the new group's name, its source: a group, or entries of one. Groups that are not named are hidden.

    Raises:
        ValueError: if a group does not exist or has no such entries, or entries are selected from one that is not a
            vector.
    """
    return RegroupedEnv(env, groups)


class RegroupedEnv(Env[Any]):
    """Environment with regrouped observations (:func:`regroup`); ``env`` is the wrapped one, whose states it has."""

    def __init__(self, env: Env[Any], groups: Mapping[str, Selection]):
        _, observations = jax.eval_shape(env.reset, jax.random.key(0))
        shapes = {name: tuple(x.shape[1:]) for name, x in observations.items()}
        self._groups = {name: _checked(name, selection, shapes) for name, selection in groups.items()}
        self.env = env
        self.num_envs = env.num_envs
        self.num_actions = env.num_actions
        self.discrete = env.discrete
        self.max_episode_length = env.max_episode_length
        self.step_dt = env.step_dt
        self.cfg = env.cfg

    def reset(self, key: Key) -> tuple[Any, Observations]:
        """Reset all environments."""
        state, observations = self.env.reset(key)
        return state, self._regrouped(observations)

    def step(self, state: Any, actions: Array) -> tuple[Any, TimeStep]:
        """Apply actions ``[N, A]``."""
        state, timestep = self.env.step(state, actions)
        final = timestep.final_observations
        return state, timestep.replace(  # type: ignore[attr-defined]
            observations=self._regrouped(timestep.observations),
            final_observations=None if final is None else self._regrouped(final),
        )

    def begin_iteration(self, state: Any, key: Key) -> Any:
        """Do what the environment does before each rollout."""
        return self.env.begin_iteration(state, key)

    def part(self, num_parts: int) -> RegroupedEnv:
        """Return the same with an equal part of the wrapped environment."""
        part = super().part(num_parts)
        part.env = self.env.part(num_parts)
        return part

    def for_evaluation(self, num_envs: int) -> RegroupedEnv:
        """Return ``num_envs`` of the same environment, without what is random only in training."""
        other = super().for_evaluation(num_envs)
        other.env = self.env.for_evaluation(num_envs)
        return other

    def can_render(self) -> bool:
        """Return whether the wrapped environment can render."""
        return self.env.can_render()

    def render(self, state: Any) -> np.ndarray:
        """Render the first environment, uint8 ``[H, W, 3]``."""
        return self.env.render(state)

    def _regrouped(self, observations: Observations) -> Observations:
        return {
            name: observations[source] if entries is None else jnp.take(observations[source], entries, axis=-1)
            for name, (source, entries) in self._groups.items()
        }


def _checked(name: str, selection: Selection, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, np.ndarray | None]:
    """Return source and entries of a new group."""
    source, entries = (selection, None) if isinstance(selection, str) else (selection[0], np.asarray(selection[1]))
    if source not in shapes:
        raise ValueError(
            f"The group '{name}' shows '{source}', which the environment does not return. It returns "
            f"{sorted(shapes)}.{nearest(source, shapes)}"
        )
    shape = shapes[source]
    if entries is None:
        return source, None
    if len(shape) != 1:
        raise ValueError(f"Entries can be selected from vectors only; '{source}' has the shape {shape} an environment.")
    if entries.ndim != 1 or not entries.size or not np.all((entries >= 0) & (entries < shape[0])):
        raise ValueError(
            f"The group '{name}' selects the entries {entries.tolist()} of '{source}', which has {shape[0]}. Name some "
            f"of 0 to {shape[0] - 1}."
        )
    return source, entries
