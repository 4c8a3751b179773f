"""Test of an environment's symmetry: :func:`check_symmetry` steps it beside its mirror image and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rsl_jax.config import MirrorSpec
from rsl_jax.env.base import SingleEnv
from rsl_jax.env.vectorized import VectorizedEnv
from rsl_jax.extensions.mirror import AugmentationFunction, call, mirror_function
from rsl_jax.trees import select_rows
from rsl_jax.types import Array, Key, Observations

LARGEST_SEARCH = 200
"""Maximum size of a state whose mirror image is searched for."""

Step = Callable[[Any, Array], tuple[Any, tuple[Observations, Array, Array]]]
At = Callable[[Any, Any], Any]
"""``(state, coordinates) -> state``"""


@dataclass(frozen=True)
class SymmetryReport:
    """Report of how far an environment deviates from its mirror image.

    Errors are the largest over all states and steps, divided by the largest magnitude of what is compared.

    Attributes:
        observation_errors: error of each entry, by group.
        reward_error: error of the reward.
        different_endings: steps at which only one of the two was terminated.
        searched: whether the mirrored states were found by a search, not given.
        tolerance: errors up to which the symmetry is said to hold.
    """

    observation_errors: Mapping[str, np.ndarray]
    reward_error: float
    different_endings: int
    searched: bool
    tolerance: float

    @property
    def dynamics_hold(self) -> bool:
        """Whether observations stay mirrored."""
        return all(bool(np.all(errors <= self.tolerance)) for errors in self.observation_errors.values())

    @property
    def holds(self) -> bool:
        """Whether dynamics, rewards and terminations are those of the mirror image."""
        return self.dynamics_hold and self.reward_error <= self.tolerance and self.different_endings == 0

    def __str__(self) -> str:
        """Format the report for reading."""
        if self.holds:
            return f"The mirror is a symmetry, within {self.tolerance:g}."
        lines = ["The mirror is no symmetry:"]
        for group, errors in self.observation_errors.items():
            wrong = [f"{index} (by {errors.flat[index]:.2g})" for index in np.flatnonzero(errors > self.tolerance)]
            lines += [f"- obs['{group}'] goes apart at {', '.join(wrong)}"] if wrong else []
        if self.reward_error > self.tolerance:
            lines.append(f"- rewards differ by {self.reward_error:.2g}")
        if self.different_endings:
            lines.append(f"- at {self.different_endings} steps only one of the two was terminated")
        if self.searched and not self.dynamics_hold:
            lines.append(
                "No state was found whose observations stay the mirror image. Either the mirror is wrong, or the "
                "search was stuck: pass mirror_state to make sure."
            )
        return "\n".join(lines)


def check_symmetry(
    env: VectorizedEnv,
    mirror: MirrorSpec | AugmentationFunction,
    *,
    mirror_state: Callable[[Any], Any] | None = None,
    num_steps: int = 5,
    warm_up: int = 20,
    tolerance: float = 1e-3,
    key: Key | None = None,
) -> SymmetryReport:
    """Step an environment beside its mirror image, with mirrored actions, and compare the results.

    A wrong mirror raises no error in training: the policy learns it all the same. So states are collected with random
    actions, one per environment; each is mirrored; both are stepped for some steps; and observations, rewards and
    terminations are compared. Without ``mirror_state`` the mirrored state is searched for: the one whose observations
    over these steps are the nearest to the mirror image. The search is over the state's ``coordinates``, where the
    environment has them (Playground and Brax: joint positions and speeds; see :class:`rsl_jax.env.SingleEnv`), else all
    its floats.

    It does not cover states that random actions do not reach, quantities that are not observed, or noise, which is
    the same for both and not mirrored. Contacts amplify rounding; fewer steps and a larger tolerance are for that. A
    search that fails proves nothing (the report says so); ``mirror_state`` does.

    Args:
        env: a vectorized environment; as many states are compared as it has environments (32 are plenty).
        mirror: the mirror, or a function like ``data_augmentation_func`` with one mirror image.
        mirror_state: the mirror image of one robot's state (``env.reset(key)[0].env`` without the first axis).
        num_steps: number of steps to compare.
        warm_up: maximum number of random steps before that.
        tolerance: see :class:`SymmetryReport`.
        key: random key of states and actions.

    Returns:
        the report; print it.

    Raises:
        TypeError: if the environment is not vectorized, or the function does not keep its contract.
        ValueError: for discrete actions, a function with several mirror images, or a state too large to search.
    """
    if not isinstance(env, VectorizedEnv):
        raise TypeError(
            f"check_symmetry takes an environment of rsl_jax.env.vectorize or make_env; got {type(env).__name__}."
        )
    if env.discrete:
        raise ValueError("check_symmetry mirrors vectors of actions, but the actions of this environment are discrete.")
    function = mirror_function(mirror) if isinstance(mirror, MirrorSpec) else mirror
    states_key, actions_key = jax.random.split(jax.random.key(0) if key is None else key)
    step, (coordinates, at) = jax.vmap(_step_of(env)), _coordinates_of(env.single_env)

    def compare() -> tuple[Any, ...]:
        states = _visited(env, step, states_key, warm_up)
        # Anything else that a simulator remembers, such as where its solver begins, would be the same on both sides,
        # unmirrored.
        states = jax.vmap(lambda state: at(state, coordinates(state)))(states)
        actions = jax.random.uniform(actions_key, (num_steps, env.num_envs, env.num_actions), minval=-1, maxval=1)
        mirrored_actions = jax.vmap(lambda x: _image(call(function, env, None, x)[1], env.num_envs))(actions)

        def image(observations: Observations) -> Observations:
            return jax.vmap(lambda x: _image(call(function, env, x, None)[0], env.num_envs))(observations)

        if mirror_state is not None:
            # Both in one batch: a simulator's step takes long to compile.
            both = _joined(states, jax.vmap(mirror_state)(states), axis=0)
            went = _follow(step, both, _joined(actions, mirrored_actions, axis=1))
            originals = jax.tree.map(lambda x: x[:, : env.num_envs], went)
            mirrored = jax.tree.map(lambda x: x[:, env.num_envs :], went)
            return (image(originals[0]), *originals[1:]), mirrored
        originals = _follow(step, states, actions)
        expected = image(originals[0])
        mirrored_states = _search(_step_of(env), coordinates, at, states, mirrored_actions, expected)
        return (expected, *originals[1:]), _follow(step, mirrored_states, mirrored_actions)

    (expected, rewards, endings), (seen, seen_rewards, seen_endings) = jax.device_get(jax.jit(compare)())
    return SymmetryReport(
        observation_errors={group: _error(seen[group], x, axis=(0, 1)) for group, x in expected.items()},
        reward_error=float(_error(seen_rewards, rewards)),
        different_endings=int(np.sum(endings != seen_endings)),
        searched=mirror_state is None,
        tolerance=tolerance,
    )


def _step_of(env: VectorizedEnv) -> Step:
    """Return the step of one environment without any reset."""

    def step(state: Any, action: Array) -> tuple[Any, tuple[Observations, Array, Array]]:
        state, answer = env.single_step(state, action)
        return state, (answer.observations, answer.reward, answer.terminated)

    return step


def _follow(step: Step, states: Any, actions: Array) -> tuple[Observations, Array, Array]:
    """Return observations, rewards and terminations of steps ``[K, ...]``."""
    return jax.lax.scan(step, states, actions)[1]


def _visited(env: VectorizedEnv, step: Step, key: Key, warm_up: int) -> Any:
    """Return states after 0 to ``warm_up`` random steps, environment by environment; leaves ``[N, ...]``."""
    reset_key, key = jax.random.split(key)
    waits = jnp.arange(env.num_envs) % (warm_up + 1)

    def go_on(states: Any, given: tuple[Array, Key]) -> tuple[Any, None]:
        time, step_key = given
        actions = jax.random.uniform(step_key, (env.num_envs, env.num_actions), minval=-1, maxval=1)
        following, _ = step(states, actions)
        return select_rows(time < waits, following, states), None

    start = env.reset(reset_key)[0].env
    return jax.lax.scan(go_on, start, (jnp.arange(warm_up), jax.random.split(key, warm_up)))[0]


def _search(
    step: Step, coordinates: Callable[[Any], Any], at: At, states: Any, actions: Array, expected: Observations
) -> Any:
    """Find the states ``[N, ...]`` that, with given actions ``[K, N, A]``, come nearest to expected observations.

    Levenberg and Marquardt's method on the squares of the differences, from the original state and from its negative.
    """
    scale = jax.tree.map(lambda x: 1e-6 + jnp.max(jnp.abs(x), axis=(0, 1)), expected)

    def search(state: Any, actions: Array, expected: Observations) -> Any:
        start, unravel = ravel_pytree(coordinates(state))
        _check_size(start.size)

        def residuals(x: Array) -> tuple[Array, Array]:
            seen = _follow(step, at(state, unravel(x)), actions)[0]
            difference, _ = ravel_pytree(
                jax.tree.map(lambda a, b, s: (a - b) / s[None], {g: seen[g] for g in expected}, expected, scale)
            )
            return difference, difference

        def improve(best: Any, _: None) -> tuple[Any, None]:
            x, error, gradient, curvature, damping = best
            damped = curvature + damping * (jnp.diag(jnp.diag(curvature)) + 1e-9 * jnp.eye(x.size))
            there = x - jnp.linalg.solve(damped, gradient)
            jacobian, difference = jax.jacfwd(residuals, has_aux=True)(there)
            found = (there, jnp.sum(jnp.square(difference)), jacobian.T @ difference, jacobian.T @ jacobian)
            better = found[1] < error
            damping = jnp.clip(jnp.where(better, damping / 5, damping * 4), 1e-9, 1e6)
            return (*jax.tree.map(lambda new, old: jnp.where(better, new, old), found, best[:-1]), damping), None

        def descend(x: Array) -> tuple[Array, Array]:
            # Without a gradient the first step stays where it is, and any error is better than this one.
            nowhere = (jnp.asarray(jnp.inf, x.dtype), jnp.zeros_like(x), jnp.zeros((x.size, x.size), x.dtype))
            (x, error, *_), _ = jax.lax.scan(improve, (x, *nowhere, jnp.asarray(1e-2, x.dtype)), None, 31)
            return x, error

        found, errors = jax.vmap(descend)(jnp.stack([start, -start]))
        return at(state, unravel(found[jnp.argmin(errors)]))

    return jax.vmap(search, in_axes=(0, 1, 1))(states, actions, expected)


def _coordinates_of(single_env: SingleEnv[Any]) -> tuple[Callable[[Any], Any], At]:
    """Return functions that extract the few floats a state follows from, and that build a state with other ones."""

    def all_floats(state: Any) -> list[Array]:
        return [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]

    def with_floats(state: Any, floats: list[Array]) -> Any:
        others = iter(floats)
        return jax.tree.map(lambda x: next(others) if jnp.issubdtype(x.dtype, jnp.floating) else x, state)

    at = getattr(single_env, "at", with_floats)

    def typed_at(state: Any, coordinates: Any) -> Any:
        return jax.tree.map(
            lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype), at(state, coordinates), state
        )

    return getattr(single_env, "coordinates", all_floats), typed_at


def _check_size(size: int) -> None:
    if not 0 < size <= LARGEST_SEARCH:
        raise ValueError(
            f"A state of this environment has {size} numbers to search among (1 to {LARGEST_SEARCH} can be). Pass "
            "mirror_state, which gives the mirror image of one robot's state."
        )


def _joined(first: Any, second: Any, *, axis: int) -> Any:
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis), first, second)


def _image(both: Any, size: int) -> Any:
    """Return the mirror image out of ``size`` originals and their image."""

    def second(x: Array) -> Array:
        if x.shape[0] != 2 * size:
            raise ValueError(
                f"check_symmetry checks one mirror image, but the function returned {x.shape[0] // size - 1} of each "
                "sample. Check the images one by one, each by a function (or a MirrorSpec) of its own."
            )
        return x[size:]

    return jax.tree.map(second, both)


def _error(seen: np.ndarray, expected: np.ndarray, axis: tuple[int, ...] | None = None) -> np.ndarray:
    largest = np.maximum(np.max(np.maximum(np.abs(seen), np.abs(expected)), axis=axis), 1e-6)
    return np.max(np.abs(seen - expected), axis=axis) / largest
