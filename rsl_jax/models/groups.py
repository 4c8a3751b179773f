"""Which observation groups each observation set (actor, critic; student, teacher; rnd_state) looks at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from rsl_jax.registry import nearest

PRIVILEGED: Mapping[str, str] = {"critic": "actor", "teacher": "student"}
"""Sets that may look at what a robot cannot measure, and the set whose groups they share where nothing is known."""


def resolve_obs_groups(
    available: Sequence[str], obs_groups: Mapping[str, Sequence[str]], sets: Sequence[str], *, warn: bool = True
) -> dict[str, tuple[str, ...]]:
    """Decide which observation groups each observation set looks at.

    A set that ``obs_groups`` does not mention takes what :func:`default_groups` says, with a warning where the
    environment leaves a choice.

    Args:
        available: names of the groups that the environment returns.
        obs_groups: groups of each set, from the config.
        sets: the sets that are needed, in an order in which those that share groups come last.
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
        # An environment with a single group leaves nothing to choose, hence nothing to warn of.
        if warn and len(available) > 1:
            taken = f"the group '{fallback[0]}'" if len(fallback) == 1 else f"the groups {list(fallback)}"
            warnings.warn(f"obs_groups has no entry '{name}'; taking {taken} out of {sorted(available)}.", stacklevel=2)
        resolved[name] = fallback
    return resolved


def default_groups(
    name: str, available: Sequence[str], obs_groups: Mapping[str, Sequence[str]]
) -> tuple[str, ...] | None:
    """The groups of an observation set of which nothing is said.

    That is the group of its own name. Else, for critic and teacher, ``privileged_state``, then ``policy``, then what
    actor and student see; for the others ``policy``, as RSL-RL's environments call what a robot can measure, then
    ``state``, as MuJoCo Playground's do, then the only group there is.

    Args:
        name: the set.
        available: names of the groups that the environment returns.
        obs_groups: groups of the sets that are known.

    Returns:
        the groups, or None where that is not to be guessed.
    """
    peer = PRIVILEGED.get(name)
    for group in (name, "policy", "state") if peer is None else (name, "privileged_state", "policy"):
        if group in available:
            return (group,)
    if peer is not None:
        return tuple(obs_groups[peer]) if peer in obs_groups else default_groups(peer, available, obs_groups)
    return tuple(available) if len(available) == 1 else None
