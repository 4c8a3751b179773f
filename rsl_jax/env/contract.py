"""Checks of RSL-RL's interface (:class:`rsl_jax.env.VecEnv`) for host environments.

A violation would otherwise surface within JAX, or be broadcast, so that training would use wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rsl_jax.env.arrays import groups, is_torch, to_numpy
from rsl_jax.env.base import VecEnv
from rsl_jax.registry import nearest

GETTER, STEP = "get_observations()", "step()"


class Answer(NamedTuple):
    """Result of a step of a host environment, in its own kind of arrays.

    Attributes:
        observations: by group, leaves ``[N, ...]``.
        rewards: ``[N]``.
        dones: ``[N]``.
        time_outs: ``[N]``, or None.
        final_observations: by group, leaves ``[N, ...]``, or None.
        log: what the environment logs, by name.
    """

    observations: dict[str, Any]
    rewards: Any
    dones: Any
    time_outs: Any
    final_observations: dict[str, Any] | None
    log: Mapping[str, Any]


class CheckedEnv:
    """Host environment whose results are checked against the interface.

    A check takes as long as a step of a fast simulator, so it is only done where an array has a form (shape and
    type) that it has not had before: normally, at the first step.
    """

    def __init__(self, env: VecEnv):
        """Check the environment and its first observations.

        Raises:
            TypeError: if something is of another type than the interface says.
            ValueError: if sizes do not fit together.
        """
        self.env = env
        self.num_envs, self.num_actions = _count(env, "num_envs"), _count(env, "num_actions")
        observations = self._groups(env.get_observations(), f"{GETTER} returned")
        self.shapes = {name: _rows(name, x, self.num_envs, GETTER) for name, x in observations.items()}
        if not self.shapes:
            raise ValueError(f"The environment's {GETTER} returned no observation group at all.")
        self._known: set[Any] = set()

    def get_observations(self) -> dict[str, Any]:
        """Return the current observations by group, leaves ``[N, ...]``."""
        observations = self._groups(self.env.get_observations(), f"{GETTER} returned")
        self._check_if_new(observations, _form, lambda: self._check_groups(observations, f"{GETTER} returned"))
        return observations

    def step(self, actions: Any) -> Answer:
        """Apply actions ``[N, A]``, or discrete actions ``[N]``.

        Raises:
            TypeError: if something in the result is of another type than the interface says.
            ValueError: if a shape is wrong; says which is expected and which was given.
        """
        try:
            returned = self.env.step(actions)
        except Exception as error:
            error.add_note(
                f"while the environment stepped with actions of shape {list(actions.shape)} (its num_envs is "
                f"{self.num_envs}, its num_actions {self.num_actions})"
            )
            raise
        answer = self._taken_apart(returned)
        self._check_if_new(answer, _form_of_answer, lambda: self._check(answer))
        return answer

    def _check_if_new(self, given: Any, form_of: Callable[[Any], Any], check: Callable[[], None]) -> None:
        try:
            form = form_of(given)
        except (AttributeError, TypeError):  # lists and other non-arrays have none, and are checked every time
            form = None
        if form is None or form not in self._known:
            check()
            self._known.add(form)

    def _taken_apart(self, returned: Any) -> Answer:
        if not isinstance(returned, (tuple, list)) or len(returned) != 4:
            what = f"{len(returned)} values" if isinstance(returned, (tuple, list)) else type(returned).__name__
            hint = ""
            if isinstance(returned, (tuple, list)) and len(returned) == 5:
                hint = (
                    " Five are gymnasium's: dones are 'terminated | truncated', and extras['time_outs'] is 'truncated'."
                )
            raise TypeError(
                f"The environment's {STEP} returned {what}; expected (observations, rewards, dones, extras).{hint}"
            )
        observations, rewards, dones, extras = returned
        if not isinstance(extras, Mapping) and not hasattr(extras, "items"):
            raise TypeError(
                f"The environment's {STEP} returned extras that are {_kind(extras)}; expected a dict, {{}} if there "
                "are none."
            )
        final = extras.get("final_observations")
        logs = (extras.get(name) for name in ("episode", "log"))
        log: Any = next((log for log in logs if log is not None and not (isinstance(log, Mapping) and not log)), {})
        return Answer(
            self._groups(observations, f"{STEP} returned"),
            rewards,
            dones,
            extras.get("time_outs"),
            None if final is None else self._groups(final, "extras['final_observations'] has"),
            log,
        )

    def _groups(self, observations: Any, where: str) -> dict[str, Any]:
        if isinstance(observations, tuple):
            hint = ""
            if len(observations) == 2:
                hint = " (RSL-RL before 3.0 returned the extras beside them)"
            raise TypeError(
                f"The environment's {where} a tuple of {len(observations)}; expected the observations alone: an array "
                f"[{self.num_envs}, ...], or a dict of them{hint}."
            )
        if observations is None:
            raise TypeError(
                f"The environment's {where} None for observations; expected an array [{self.num_envs}, ...], or a dict "
                "of them by group."
            )
        return dict(groups(observations))

    def _check(self, answer: Answer) -> None:
        self._check_groups(answer.observations, f"{STEP} returned")
        if answer.final_observations is not None:
            self._check_groups(answer.final_observations, "extras['final_observations'] has")
        each = {"rewards": answer.rewards, "dones": answer.dones, "extras['time_outs']": answer.time_outs}
        for name, array in each.items():
            if array is None and name.startswith("extras"):
                continue
            shape = _shape(name, array, STEP)
            if shape != (self.num_envs,):
                raise ValueError(
                    f"The environment's {STEP} returned {name} of shape {list(shape)}; expected [{self.num_envs}], one "
                    f"for each environment.{_squeeze(name, shape, self.num_envs)}"
                )
            if name != "rewards":
                refuse_nan(name, array)
        floats_of_log(answer.log)

    def _check_groups(self, observations: Mapping[str, Any], where: str) -> None:
        for name in self.shapes:
            if name not in observations:
                raise ValueError(
                    f"The environment's {where} no observation group '{name}', which {GETTER} gave at first. Groups "
                    f"given: {', '.join(map(repr, observations)) or 'none'}; expected: "
                    f"{', '.join(map(repr, self.shapes))}."
                )
        for name, group in observations.items():
            if name not in self.shapes:
                raise ValueError(
                    f"The environment's {where} an observation group {name!r}, which {GETTER} did not give at first. "
                    f"Give the same groups at all times; expected: {', '.join(map(repr, self.shapes))}."
                    f"{nearest(str(name), self.shapes)}"
                )
            shape = _rows(name, group, self.num_envs, where.removesuffix(" returned").removesuffix(" has"))
            if shape != self.shapes[name]:
                raise ValueError(
                    f"The environment's {where} the observation group '{name}' with shape "
                    f"{[self.num_envs, *shape]}; expected {[self.num_envs, *self.shapes[name]]}, as {GETTER} gave at "
                    "first."
                )


def refuse_nan(name: str, flags: Any) -> None:
    """Reject NaN where there should be true or false; it would count as true.

    Raises:
        ValueError: names what it is in.
    """
    array = np.asarray(flags.detach().float().cpu() if is_torch(flags) else flags)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(
            f"The environment's {STEP} returned {name} with NaN, which is neither true nor false. Give bools, or 0 and "
            "1."
        )


def complete_final_observations(finals: Sequence[Any], following: Sequence[Any], dones: Any) -> list[Any]:
    """Complete final observations from an environment that returns them only for steps in which an episode ended.

    In other steps nothing was reset, so they are the next observations.

    Args:
        finals: what the environment returned in each of ``T`` steps; None where it returned none.
        following: observations after each step.
        dones: whether episodes ended, ``[T, N]``.

    Raises:
        ValueError: if an episode ended in a step without them.
    """
    ended = np.any(to_numpy(dones).astype(bool), axis=1).tolist()
    for step, final in enumerate(finals):
        if final is None and ended[step]:
            raise ValueError(
                "The environment handed over extras['final_observations'] in some steps, but not in step "
                f"{step} of this rollout, in which an episode ended. Give them wherever an episode ends, or never."
            )
    return [seen if final is None else final for final, seen in zip(finals, following, strict=True)]


def floats_of_log(log: Any) -> dict[str, np.ndarray]:
    """Convert the log of an environment to float64 ``[k]`` each: counters may be larger than 32 bits can hold.

    Raises:
        TypeError: if it is not a dict, or an entry is neither a number nor an array of numbers.
    """
    if not hasattr(log, "items"):
        raise TypeError(
            f"extras['log'] of the environment is {_kind(log)}; expected a dict of numbers, or arrays of them, by name."
        )
    return {name: _floats(name, value) for name, value in log.items()}


def _floats(name: Any, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value.detach().double().cpu() if is_torch(value) else value)
        if array.dtype.kind in "OUSM" or array.dtype.kind == "c":
            raise TypeError
        return np.ravel(array.astype(np.float64))
    except (TypeError, ValueError):
        raise TypeError(
            f"extras['log'][{name!r}] of the environment is {value!r}; expected a number, or an array of numbers."
        ) from None


def _form(observations: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([(name, x.shape, x.dtype) for name, x in observations.items()])


def _form_of_answer(answer: Answer) -> tuple[Any, ...]:
    arrays = [x for x in (answer.rewards, answer.dones, answer.time_outs) if x is not None]
    return (
        _form(answer.observations),
        None if answer.final_observations is None else _form(answer.final_observations),
        *[(x.shape, x.dtype) for x in arrays],
    )


def _count(env: Any, name: str) -> int:
    given = getattr(env, name, None)
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, (int, np.integer)) or given < 1:
        stated = f"is {given!r}" if hasattr(env, name) else "is missing"
        raise ValueError(f"{name} of the environment ({type(env).__name__}) {stated}; expected an int of at least 1.")
    return int(given)


def _rows(name: Any, group: Any, num_envs: int, where: str) -> tuple[int, ...]:
    """Return the shape of a group without the axis of environments."""
    if hasattr(group, "items"):
        raise TypeError(
            f"The observation group {name!r} of the environment's {where} is a {type(group).__name__}; expected an "
            f"array [{num_envs}, ...]: groups are not nested."
        )
    shape = _shape(f"the observation group {name!r}", group, where)
    if shape[:1] != (num_envs,):
        raise ValueError(
            f"The environment's {where} gave the observation group {name!r} the shape {list(shape)}; expected "
            f"[{num_envs}, ...], a row for each of its num_envs={num_envs} environments."
        )
    return shape[1:]


def _shape(name: str, array: Any, where: str) -> tuple[int, ...]:
    """Return the shape of an array of numbers."""
    try:
        shape = tuple(array.shape) if hasattr(array, "shape") else np.shape(array)
        dtype = None if is_torch(array) else getattr(array, "dtype", None) or np.asarray(array).dtype
    except (TypeError, ValueError):
        shape, dtype = (), np.dtype(object)
    is_number = not array.is_complex() if dtype is None else _is_number(dtype)
    if not is_number:
        raise TypeError(f"The environment's {where} gave {name} as {_kind(array)}; expected an array of numbers.")
    return shape


def _is_number(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (np.bool_, np.integer, np.floating))


def _kind(x: Any) -> str:
    dtype = getattr(x, "dtype", None)
    return "None" if x is None else f"{type(x).__name__}" + ("" if dtype is None else f" of {dtype}")


def _squeeze(name: str, shape: tuple[int, ...], num_envs: int) -> str:
    return f" Take the last axis away: {name}.squeeze(-1)." if shape == (num_envs, 1) else ""
