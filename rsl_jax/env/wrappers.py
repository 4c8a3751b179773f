"""What all wrappers around a single environment have in common."""

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
        env: state of the environment within.
        memory: what the wrapper itself remembers, a pytree.
    """

    env: Any
    memory: Any


class Wrapper:
    """A single environment around another one: whatever it does not have itself is that of the environment within.

    States are named tuples with a field ``env``, the state of the environment within, which is what its ``render``,
    ``coordinates``, ``at`` and ``push`` are given.

    Attributes:
        inner: the environment within, which may be a wrapper, too.
    """

    def __init__(self, env: SingleEnv[Any]):
        self.inner: Any = env

    def __getattr__(self, name: str) -> Any:
        """Attributes of the environment within."""
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        found = getattr(self.inner, name)
        if name in ("render", "coordinates"):
            return lambda state: found(state.env)
        if name in ("at", "push"):
            return lambda state, value: state._replace(env=found(state.env, value))
        return found

    def around(self, env: SingleEnv[Any]) -> Any:
        """The same wrapper around another environment."""
        other = copy.copy(self)
        other.inner = env
        return other


def as_groups(observations: Array | Observations) -> dict[str, Array]:
    """Observations by group; a single array is the group ``policy``."""
    return dict(observations) if isinstance(observations, Mapping) else {"policy": observations}


def check_groups(what: str, named: Iterable[str], available: Iterable[str]) -> None:
    """Refuse observation groups that there are not.

    Raises:
        ValueError: names the group, and those that there are.
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
    """Observations of which some groups are replaced by ``change(name, group)``."""
    groups = as_groups(observations)
    return {**groups, **{name: change(name, groups[name]) for name in names}}
