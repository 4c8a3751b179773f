"""Base of all wrappers around a single environment."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rsl_jax.env.base import SingleEnv
from rsl_jax.registry import nearest
from rsl_jax.types import Array, Observations


class Wrapped(NamedTuple):
    """State of a wrapped environment.

    Attributes:
        env: state of the wrapped environment.
        memory: the wrapper's own state, a pytree.
    """

    env: Any
    memory: Any


class Wrapper:
    """Wrapper around a single environment: attributes that it lacks are those of the wrapped environment.

    States are named tuples with a field ``env``, the state of the wrapped environment, which is what its ``render``,
    ``coordinates``, ``at`` and ``push`` receive.

    Attributes:
        inner: the wrapped environment, which may be a wrapper, too.
    """

    def __init__(self, env: SingleEnv[Any]):
        self.inner: Any = env

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped environment."""
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        found = getattr(self.inner, name)
        if name in ("render", "coordinates"):
            return lambda state: found(state.env)
        if name in ("at", "push"):
            return lambda state, value: state._replace(env=found(state.env, value))
        return found

    def around(self, env: SingleEnv[Any]) -> Any:
        """Return the same wrapper around another environment."""
        other = copy.copy(self)
        other.inner = env
        return other

    def for_evaluation(self) -> Any:
        """Return the same without what is random only in training; wrappers that are only that are left out."""
        inner = for_evaluation(self.inner)
        return self if inner is self.inner else self.around(inner)


def for_evaluation(env: SingleEnv[Any]) -> Any:
    """Return a single environment without what is random only in training, as far as it can say what that is."""
    return env.for_evaluation() if hasattr(env, "for_evaluation") else env


def as_groups(observations: Array | Observations) -> dict[str, Array]:
    """Return observations by group; a single array is the group ``policy``."""
    return dict(observations) if isinstance(observations, Mapping) else {"policy": observations}


def check_groups(what: str, named: Iterable[str], available: Iterable[str]) -> None:
    """Reject unknown observation groups.

    Raises:
        ValueError: if a group does not exist; names it, and those that do.
    """
    available = sorted(available)
    for name in named:
        if name not in available:
            raise ValueError(
                f"{what} names the observation group '{name}', which the environment does not return. It returns "
                f"{', '.join(available)}.{nearest(name, available)}"
            )


def change_groups(
    observations: Array | Observations, names: Iterable[str], change: Callable[[str, Array], Array]
) -> Observations:
    """Return observations with some groups replaced by ``change(name, group)``."""
    groups = as_groups(observations)
    return {**groups, **{name: change(name, groups[name]) for name in names}}
