"""Functions that append mirror images to samples: their interface, and those made from lists of indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import Mirror, MirrorSpec
from rsl_jax.types import Array, Observations, Spec, default_dtype

AugmentationFunction: TypeAlias = Callable[..., tuple[Observations | None, Array | None]]
"""``(env, obs, actions) -> (obs, actions)``, called by these names.

It is given observations with leaves ``[n, ...]`` and actions ``[n, A]``, of which one may be None, and returns leaves
``[k n, ...]``: the originals first, then ``k - 1`` mirror images of all of them, in the same types."""


def mirror_function(mirror: MirrorSpec) -> AugmentationFunction:
    """Return the function of a mirror; observation groups that it does not name are left out."""

    def both(x: Array, vector: Mirror) -> Array:
        signs = jnp.asarray(vector.signs, x.dtype)
        return jnp.concatenate([x, x[:, np.array(vector.permutation)] * signs[None]])

    def function(env: Any, obs: Observations | None, actions: Array | None) -> tuple[Any, Any]:
        del env
        return (
            None if obs is None else {group: both(obs[group], vector) for group, vector in mirror.observations.items()},
            None if actions is None else both(actions, mirror.actions),
        )

    return function


def check_mirror(mirror: MirrorSpec, spec: Spec, groups: Sequence[str]) -> None:
    """Reject a mirror that does not fit an environment, or leaves out one of the observation groups.

    Raises:
        ValueError: if it does not fit; names the group, what was given and what is needed.
    """
    for group in groups:
        if group not in mirror.observations:
            raise ValueError(
                f"mirror_spec.observations has no entry for '{group}', which a model observes; it has "
                f"{', '.join(sorted(mirror.observations))}. Give it its size, and what it swaps and flips, if anything."
            )
    for group, vector in mirror.observations.items():
        if spec.observations.get(group) != (vector.size,):
            there = f"has shape {spec.observations[group]}" if group in spec.observations else "is not there"
            raise ValueError(f"mirror_spec.observations['{group}'] is of size {vector.size}, but the group {there}.")
    if mirror.actions.size != spec.num_actions:
        raise ValueError(
            f"mirror_spec.actions is of size {mirror.actions.size}, but the environment takes {spec.num_actions} "
            "actions."
        )


def call(
    function: AugmentationFunction, env: Any, observations: Observations | None, actions: Array | None
) -> tuple[Any, Any]:
    """Call a mirror function, and reject results of wrong sizes and types.

    Args:
        function: the function.
        env: the environment.
        observations: leaves ``[n, ...]``, or None.
        actions: ``[n, A]``, or None.

    Returns:
        what it returns; None where None was given.

    Raises:
        TypeError: if a result is wrong; says what was returned and what is expected.
    """
    answer = function(env=env, obs=observations, actions=actions)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(f"data_augmentation_func must return a tuple (obs, actions); got a {type(answer).__name__}.")
    answer = (None if observations is None else dict(answer[0] or {}), None if actions is None else answer[1])
    given, returned = _named(observations, actions), _named(*answer)
    copies = next((len(x) for x in returned.values()), 0)
    for name, x in returned.items():
        original = given.get(name)
        if original is None:
            raise TypeError(f"data_augmentation_func returned {name} when it was given {', '.join(given)}.")
        several = copies >= 2 * len(original) and copies % len(original) == 0
        if not several or jnp.shape(x) != (copies, *original.shape[1:]) or x.dtype != original.dtype:
            raise TypeError(
                f"data_augmentation_func was given {name} of shape {original.shape} and type {original.dtype}, and "
                f"returned shape {jnp.shape(x)} and type {x.dtype}. It returns the originals and then mirror images of "
                "all of them along the first axis, as many of everything, in the same types."
            )
    return answer


def try_out(function: AugmentationFunction, spec: Spec, groups: Sequence[str], *, size: int = 3) -> None:
    """Call a mirror function on random samples, to find mistakes that shapes do not show.

    Args:
        function: the function.
        spec: the environment.
        groups: observation groups that must be returned.
        size: number of samples.

    Raises:
        TypeError: if it fails, does not return the originals first, leaves out an observation group, or changes sizes
            or types.
    """
    generator = np.random.default_rng(0)
    with jax.ensure_compile_time_eval():  # concrete values, also within a compiled function
        observations = {
            group: jnp.asarray(generator.normal(size=(size, *shape)), default_dtype())
            for group, shape in spec.observations.items()
        }
        actions = jnp.asarray(generator.normal(size=(size, spec.num_actions)), default_dtype())
        both = _named(*_attempt(function, spec.env, observations, actions))
        apart = _named(
            _attempt(function, spec.env, observations, None)[0], _attempt(function, spec.env, None, actions)[1]
        )
        given = _named(observations, actions)
        for name in (*(_name(group) for group in groups), "actions"):
            if name not in both:
                raise TypeError(f"data_augmentation_func does not return {name}, which a model observes.")
            if not np.array_equal(both[name][:size], given[name]):
                raise TypeError(
                    f"data_augmentation_func does not return the originals of {name} first. It returns them as they "
                    "were given, then their mirror images: jnp.concatenate([x, mirrored(x)])."
                )
            if name not in apart or not np.array_equal(both[name], apart[name]):
                raise TypeError(
                    f"data_augmentation_func makes something else of {name} when it is given only observations or only "
                    "actions. It mirrors each on its own."
                )


def _attempt(function: AugmentationFunction, env: Any, observations: Any, actions: Any) -> tuple[Any, Any]:
    try:
        return call(function, env, observations, actions)
    except Exception as error:
        if str(error).startswith("data_augmentation_func"):
            raise
        raise TypeError(
            f"data_augmentation_func failed on random samples of the environment's shapes: {type(error).__name__}: "
            f"{error}. It is called as function(env=, obs=, actions=) with arrays of JAX, one of which may be None, "
            "and is made of jax.numpy."
        ) from error


def _named(observations: Observations | None, actions: Array | None) -> dict[str, Array]:
    named = {_name(group): x for group, x in (observations or {}).items()}
    return named if actions is None else {**named, "actions": actions}


def _name(group: str) -> str:
    return f"obs['{group}']"
