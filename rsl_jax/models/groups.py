"""Observation groups of each observation set (actor, critic; student, teacher; rnd_state)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from rsl_jax.registry import nearest

PRIVILEGED: Mapping[str, str] = {"critic": "actor", "teacher": "student"}
"""Sets that may use privileged observations, and the set whose groups they use by default."""


def resolve_obs_groups(
    available: Sequence[str], obs_groups: Mapping[str, Sequence[str]], sets: Sequence[str], *, warn: bool = True
) -> dict[str, tuple[str, ...]]:
    """Resolve the observation groups of each observation set.

    A set that ``obs_groups`` does not mention gets those of :func:`default_groups`, with a warning where the
    environment has several groups.

    Args:
        available: names of the groups that the environment returns.
        obs_groups: groups of each set, from the config.
        sets: the required sets, in an order in which those that share groups come last.
        warn: whether to warn.

    Returns:
        groups of every set.

    Raises:
        ValueError: for an empty set, an unknown group, or a set without a fallback.
    """
    resolved = {name: tuple(groups) for name, groups in obs_groups.items()}
    for name, groups in resolved.items():
        if not groups:
            raise ValueError(f"obs_groups['{name}'] is empty; name at least one of the groups {sorted(available)}.")
        for group in groups:
            if group not in available:
                raise ValueError(
                    f"obs_groups['{name}'] names the group '{group}', which the environment does not return. It "
                    f"returns "
                    f"{sorted(available)}.{nearest(group, available)}"
                )
    for name in sets:
        if name in resolved:
            continue
        fallback = default_groups(name, available, resolved)
        if fallback is None:
            raise ValueError(
                f"obs_groups has no entry '{name}' and the environment returns neither a group '{name}' nor "
                f"'policy'. "
                f"Add obs_groups['{name}'] with some of {sorted(available)}."
            )
        # An environment with a single group leaves nothing to choose, so there is nothing to warn of.
        if warn and len(available) > 1:
            taken = f"the group '{fallback[0]}'" if len(fallback) == 1 else f"the groups {list(fallback)}"
            warnings.warn(f"obs_groups has no entry '{name}'; taking {taken} out of {sorted(available)}.", stacklevel=2)
        resolved[name] = fallback
    return resolved


def default_groups(
    name: str, available: Sequence[str], obs_groups: Mapping[str, Sequence[str]]
) -> tuple[str, ...] | None:
    """Return the default groups of an observation set.

    That is the group of its own name. Else, for critic and teacher, ``privileged_state``, then ``policy``, then those
    of actor and student; for the others ``policy``, RSL-RL's name for what a robot can measure, then
    ``state``, MuJoCo Playground's name for it, then the only group there is.

    Args:
        name: name of the set.
        available: names of the groups that the environment returns.
        obs_groups: groups of the known sets.

    Returns:
        the groups, or None if there is no default.
    """
    peer = PRIVILEGED.get(name)
    for group in (name, "policy", "state") if peer is None else (name, "privileged_state", "policy"):
        if group in available:
            return (group,)
    if peer is not None:
        return tuple(obs_groups[peer]) if peer in obs_groups else default_groups(peer, available, obs_groups)
    return tuple(available) if len(available) == 1 else None
