"""Domain randomization: physics that differ between environments.

A single environment that keeps its physical parameters in one pytree, ``model``, can be randomized. The values that a
randomizer draws are kept in the state of each environment, beside the environment's own, so that a batch is
a ``vmap`` over (drawn values, state, action), and checkpoints, devices and seeds need no special handling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from jax.api_util import flatten_axes

from rsl_jax.env.base import SingleEnv, Transition
from rsl_jax.env.extras import simulators_promotion
from rsl_jax.env.wrappers import Wrapper, for_evaluation
from rsl_jax.registry import load
from rsl_jax.trees import leaves_by_path, select_rows
from rsl_jax.types import Array, Key

Randomizer: TypeAlias = Callable[[Any, Key], tuple[Any, Any]]
"""``(model, keys [N]) -> (model of N environments, in_axes)``, as of MuJoCo Playground and Brax.

``in_axes`` has the meaning of ``jax.vmap``'s for the returned model: 0 at leaves that got an axis of size ``N``, None
at those that all of them share."""

Randomize: TypeAlias = bool | str | Randomizer
"""Randomizer option: True for the environment's own ``domain_randomizer``, a function, or its import path."""

Drawn: TypeAlias = dict[str, Array]
"""Leaves of models that differ between environments, by their paths."""


class Robot(NamedTuple):
    """State of a randomized single environment.

    Attributes:
        env: state of the environment itself.
        model: the leaves of its model that were drawn, by path.
    """

    env: Any
    model: Drawn


class Start(NamedTuple):
    """Input of the reset of a randomized environment.

    Attributes:
        key: key of the reset.
        model: the leaves of its model that were drawn, by path.
    """

    key: Key
    model: Drawn


@struct.dataclass
class Models:
    """Pool of models that episodes start with.

    Attributes:
        drawn: their leaves by path, ``[M, ...]``.
        age: number of iterations in which they have been used, int32 ``[M]``.
    """

    drawn: Drawn
    age: Array


class RandomizedSingleEnv(Wrapper):
    """Single environment with its model in its state.

    ``reset`` takes a :class:`Start`; with a bare key the model is unchanged.
    """

    def __init__(self, env: SingleEnv[Any], randomize: Randomize):
        """Check a randomizer on the model of an environment; nothing is executed.

        Raises:
            ValueError: if the environment has no model, or ``randomize`` is True and it has no randomizer, or the
                randomizer changes shapes, dtypes or nothing at all.
            TypeError: if the randomizer returns anything but a model and ``in_axes``.
        """
        super().__init__(env)
        if getattr(env, "model", None) is None:
            raise ValueError(
                f"{type(env).__name__} cannot be randomized: it has no attribute model. Keep its physical parameters "
                "in one pytree self.model, and read them there in reset and step."
            )
        self._function = _function(env, randomize)
        self._name = randomize if isinstance(randomize, str) else getattr(self._function, "__name__", "randomizer")
        self._nominal = leaves_by_path(self.inner.model, separator=".")
        self._varied: list[str] = list(jax.eval_shape(self.draw, jax.random.split(jax.random.key(0), 2)))

    def draw(self, keys: Key) -> Drawn:
        """Draw the models of ``N`` environments.

        Args:
            keys: ``[N]``.

        Returns:
            the leaves that differ from the model, by path, ``[N, ...]``.
        """
        with simulators_promotion():
            result = self._function(self.inner.model, keys)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(
                f"The randomizer {self._name} must return (model, in_axes), as those of Playground and Brax do, but "
                f"returned a {type(result).__name__}."
            )
        model, in_axes = result
        structure: Any = jax.tree.structure(self.inner.model)
        if jax.tree.structure(model) != structure:
            raise TypeError(
                f"The randomizer {self._name} must return a model of the same structure, but returned "
                f"{jax.tree.structure(model)} for {structure}."
            )
        axes = _flat_axes(self._name, structure, in_axes)
        leaves = zip(self._nominal.items(), jax.tree.leaves(model), axes, strict=True)
        both = ((name, self._per_env(name, old, new, axis, len(keys))) for (name, old), new, axis in leaves)
        drawn = {name: leaf for name, leaf in both if leaf is not None}
        if not drawn:
            raise ValueError(f"The randomizer {self._name} changes nothing: it returns the model that it was given.")
        return drawn

    def reset(self, start: Key | Start) -> tuple[Robot, Any]:
        """Start an episode with a drawn model, or from a bare key with the unchanged model."""
        if not isinstance(start, Start):
            start = Start(start, {name: jnp.asarray(self._nominal[name]) for name in self._varied})
        env, observations = self._with(start.model).reset(start.key)
        return Robot(env, start.model), observations

    def step(self, state: Robot, action: Array) -> tuple[Robot, Transition]:
        """Apply an action ``[A]`` with the state's model."""
        env, transition = self._with(state.model).step(state.env, action)
        return Robot(env, state.model), transition

    def for_evaluation(self) -> Any:
        """Return the environment with its unchanged model."""
        return for_evaluation(self.inner)

    def _with(self, drawn: Drawn) -> Any:
        leaves = {**self._nominal, **drawn}.values()
        return with_model(self.inner, jax.tree.unflatten(jax.tree.structure(self.inner.model), leaves))

    def _per_env(self, name: str, old: Any, new: Any, axis: int | None, size: int) -> Array | None:
        """Return a leaf of all environments ``[N, ...]``; None if it is unchanged."""
        if new is old:
            return None
        old, new = jnp.asarray(old), jnp.asarray(new)
        expected = old.shape if axis is None else (size, *old.shape)
        moved = new if axis is None or not new.ndim else jnp.moveaxis(new, axis, 0)
        if moved.shape != expected:
            raise ValueError(
                f"The randomizer {self._name} changes the shape of {name}: {list(old.shape)} became, for {size} "
                f"environments and in_axes {axis}, {list(new.shape)} instead of {list(expected)}."
            )
        if new.dtype != old.dtype:
            raise ValueError(
                f"The randomizer {self._name} changes the dtype of {name} from {old.dtype} to {new.dtype}; both must "
                "agree."
            )
        return jnp.broadcast_to(new[None], (size, *old.shape)) if axis is None else moved


class Randomization(NamedTuple):
    """Schedule of drawing the models of a batch.

    Attributes:
        draw: ``keys [M] -> leaves [M, ...]``.
        every: number of iterations after which new models are drawn; None for never.
    """

    draw: Callable[[Key], Drawn]
    every: int | None = None

    def init(self, key: Key, size: int) -> Models:
        """Draw the first ``size`` models."""
        return Models(self.draw(jax.random.split(key, size)), jnp.zeros(size, jnp.int32))

    def renew(self, models: Models, key: Key) -> Models:
        """Return the models of the coming iteration."""
        if self.every is None:
            return models
        size = len(models.age)
        due = models.age >= self.every
        drawn = select_rows(due, self.draw(jax.random.split(key, size)), models.drawn)
        return Models(drawn, jnp.where(due, 1, models.age + 1))


def with_model(env: Any, model: Any) -> Any:
    """Return a copy of a single environment that has another model.

    It is ``env.with_model(model)`` if that exists, else a copy with another attribute ``model``.
    """
    if isinstance(env, Wrapper):
        return env.around(with_model(env.inner, model))
    if hasattr(env, "with_model"):
        return env.with_model(model)
    other = copy.copy(env)
    other.model = model
    return other


def _function(env: SingleEnv[Any], randomize: Randomize) -> Randomizer:
    if isinstance(randomize, str):
        return load(randomize, "domain randomizer")
    if callable(randomize):
        return randomize
    if randomize is not True:
        raise ValueError(f"randomize is {randomize!r}; it must be True, False, module:function or a function.")
    function = getattr(env, "domain_randomizer", None)
    if function is None:
        raise ValueError(
            f"{_name_of(env)} has no domain randomizer. Give one, randomize='module:function': "
            "(model, keys [N]) -> (model of N environments, in_axes)."
        )
    return function


def _name_of(env: Any) -> str:
    cfg = getattr(env, "cfg", {})
    return cfg.get("name", type(env).__name__) if isinstance(cfg, dict) else type(env).__name__


def _flat_axes(name: str, structure: Any, in_axes: Any) -> list[int | None]:
    try:
        axes = flatten_axes("in_axes", structure, in_axes)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"The in_axes that the randomizer {name} returned do not fit its model: {error} Take "
            "jax.tree.map(lambda x: None, model) with 0 at the leaves that were drawn."
        ) from error
    for axis in axes:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise TypeError(f"in_axes of the randomizer {name} must be whole numbers or None, but has {axis!r}.")
    return axes
