"""Metadata of checkpoints."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.trusted import reading_run
from rsl_jax.types import Spec

FORMAT = 2
"""Version of the checkpoint format; increases when older versions of rsl_jax cannot read it. 1 had no checksums."""

MOST_ACTIONS, MOST_NUMBERS, MOST_ENVS, MOST_ITERATIONS = 2**16, 2**26, 2**26, 2**31 - 1
"""Upper bounds of actions, numbers in an observation group, environments and iterations; more is rejected."""

PACKAGES = ("rsl-jax", "jax", "flax", "optax")
"""Packages whose versions are recorded."""


@dataclass(frozen=True)
class Metadata:
    """Description of a run in its checkpoint, of plain types that JSON can represent.

    Attributes:
        iteration: the last finished iteration, counted from 0.
        best_mean_reward: the best score so far, or None.
        infos: user data, or None.
        config: RSL-RL's dict of the config.
        seed: random seed.
        environment: type and shapes of the environment.
        versions: versions of the packages that wrote the checkpoint.
    """

    iteration: int
    best_mean_reward: float | None = None
    infos: dict[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(cls, cfg: BaseRunnerConfig, spec: Spec, **others: Any) -> Metadata:
        """Describe a run.

        Args:
            cfg: its config.
            spec: its environment.
            **others: the other fields except ``versions``, which are the current ones.
        """
        return cls(
            config=cfg.to_dict(),
            environment=_described(spec),
            versions={name: importlib.metadata.version(name) for name in PACKAGES},
            **others,
        )

    @classmethod
    def from_dict(cls, content: Any) -> Metadata:
        """Read the dict of :meth:`to_dict`; unknown keys are ignored.

        Raises:
            ValueError: if an entry has a wrong type or size, or the format is newer; says which.
        """
        _check(content)
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Return a dict, which JSON can represent if it can represent ``infos``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @property
    def cfg(self) -> BaseRunnerConfig:
        """Config of the run.

        Raises:
            UntrustedNameError: if it names components that a run's files may not (:mod:`rsl_jax.trusted`).
        """
        with reading_run("The checkpoint's metadata"):
            return BaseRunnerConfig.from_dict(self.config)

    @property
    def obs_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Observation groups of each set in the config; nothing else of the config is read."""
        groups = self.config.get("obs_groups", {})
        _require(groups, "config.obs_groups", "lists of names by observation set", _are_groups)
        return {name: tuple(listed) for name, listed in groups.items()}

    def section(self, model: str) -> Mapping[str, Any]:
        """Return the config section of a model, without importing anything that it names."""
        section = self.config.get(model, {})
        _require(section, f"config.{model}", "keys and values", _is_mapping)
        return section

    @property
    def spec(self) -> Spec:
        """Static properties of the environment, without the environment itself.

        Raises:
            ValueError: if the metadata do not contain them.
        """
        if not self.environment:
            raise ValueError("The checkpoint's metadata are damaged: environment is missing.")
        return Spec(
            observations={name: tuple(shape) for name, shape in self.environment["observations"].items()},
            num_actions=self.environment["num_actions"],
            num_envs=self.environment["num_envs"],
            step_dt=self.environment["step_dt"],
            discrete=self.environment["discrete"],
        )


def _described(spec: Spec) -> dict[str, Any]:
    return {
        "type": type(spec.env).__name__,
        "num_envs": int(spec.num_envs),
        "observations": {name: [int(size) for size in shape] for name, shape in spec.observations.items()},
        "num_actions": int(spec.num_actions),
        "discrete": bool(spec.discrete),
        "step_dt": None if spec.step_dt is None else float(spec.step_dt),
    }


# --- validation -------------------------------------------------------------------------------------------------------


def _check(content: Any) -> None:
    """Reject metadata that no run has written: they are used as sizes, so they must be valid."""
    _require(content, "metadata", "keys and values", _is_mapping)
    version = content.get("format", FORMAT)
    _require(version, "format", "a whole number from 1", lambda value: _is_whole(value, 1))
    if version > FORMAT:
        raise ValueError(
            f"The checkpoint has format {version}, of a newer rsl_jax ({content.get('versions')}); this version reads "
            f"formats up to {FORMAT}. Upgrade: pip install -U rsl-jax."
        )
    iterations = f"a whole number from 0 to {MOST_ITERATIONS:,}"
    _require(content.get("iteration"), "iteration", iterations, lambda value: _is_whole(value, 0, MOST_ITERATIONS))
    reward = content.get("best_mean_reward")
    _require(reward, "best_mean_reward", "a finite number or null", lambda value: value is None or _is_finite(value))
    _require(content.get("seed", 0), "seed", "a whole number", lambda value: _is_whole(value))
    for name in ("config", "versions", "environment"):
        _require(content.get(name, {}), name, "keys and values", _is_mapping)
    if content.get("environment"):
        _check_environment(content["environment"])


def _check_environment(environment: Mapping[str, Any]) -> None:
    for name, most in (("num_actions", MOST_ACTIONS), ("num_envs", MOST_ENVS)):
        is_count = functools.partial(_is_whole, least=1, most=most)
        _require(environment.get(name), f"environment.{name}", f"a whole number from 1 to {most:,}", is_count)
    groups = environment.get("observations", "missing")
    _require(groups, "environment.observations", "shapes by name", _is_mapping)
    for name, shape in groups.items():
        what = f"a list of whole numbers from 0, whose product is at most {MOST_NUMBERS:,}"
        _require(shape, f"environment.observations.{name}", what, _is_shape)
    what = "true or false"
    _require(environment.get("discrete"), "environment.discrete", what, lambda value: isinstance(value, bool))
    step, what = environment.get("step_dt"), "a number from 0, or null"
    _require(step, "environment.step_dt", what, lambda value: value is None or (_is_finite(value) and value >= 0))


def _require(value: Any, name: str, what: str, holds: Callable[[Any], bool]) -> None:
    if not holds(value):
        raise ValueError(
            f"The checkpoint's metadata are invalid or damaged: {name} is {reprlib.repr(value)}; it must be {what}."
        )


def _is_whole(value: Any, least: int | None = None, most: int | None = None) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and (least is None or value >= least) and (most is None or value <= most)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_shape(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) <= 8 and all(_is_whole(size, 0) for size in value)
    return is_list and math.prod(value) <= MOST_NUMBERS


def _are_groups(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(listed, (list, tuple)) and all(isinstance(name, str) for name in listed) for listed in value.values()
    )
