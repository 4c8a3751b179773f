"""Sensors and motors of a robot as one description: :class:`Sensors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from rsl_jax.env.base import SingleEnv
from rsl_jax.env.sensors import (
    Level,
    Steps,
    WithActionDelay,
    WithHistory,
    WithNoise,
    WithObservationDelay,
    WithPushes,
    step_bounds,
)
from rsl_jax.registry import lookup


@dataclass(frozen=True)
class Sensors:
    """All wrappers of :mod:`rsl_jax.env.sensors` as one description: what ``sensors`` of an environment means.

    In the order in which things happen: the robot is pushed, actions arrive late, measurements are noisy, they arrive
    late, and the controller remembers some of them.

    Attributes:
        push_interval: least and most seconds from one push to the next; None for no pushes.
        push_speed: least and most speed of a push in m/s.
        action_delay: steps by which actions arrive late, or the least and the most of them.
        noise: level of the noise by group; see :class:`WithNoise`.
        noise_distribution: ``uniform`` or ``gaussian``.
        observation_delay: steps by which groups arrive late, or the least and the most of them.
        history: how many observations of a group are shown.
    """

    push_interval: Sequence[float] | None = None
    push_speed: Sequence[float] = (0.0, 1.0)
    action_delay: Steps = 0
    noise: Mapping[str, Level] = field(default_factory=dict)
    noise_distribution: Literal["uniform", "gaussian"] = "uniform"
    observation_delay: Mapping[str, Steps] = field(default_factory=dict)
    history: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no mapping by group."""
        for name in ("noise", "observation_delay", "history"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must say it by group: {{'policy': ...}}.")

    @classmethod
    def of(cls, given: Sensors | Mapping[str, Any]) -> Sensors:
        """Read a mapping of the attributes.

        Raises:
            ValueError: for an unknown key; tells the nearest one.
        """
        if isinstance(given, Sensors):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(
                f"sensors is {given!r}, but must be a mapping of {', '.join(f.name for f in fields(cls))}."
            )
        for key in given:
            lookup(key, dict.fromkeys(f.name for f in fields(cls)), "key of sensors")
        return cls(**given)

    def for_evaluation(self) -> Sensors:
        """The same without noise and pushes; what a controller has to live with (delays, history) stays."""
        return replace(self, push_interval=None, noise={})

    def wrap(self, env: SingleEnv[Any]) -> Any:
        """A robot with these sensors."""
        if self.push_interval is not None:
            env = WithPushes(env, interval=self.push_interval, speed=self.push_speed)
        if step_bounds("action_delay", self.action_delay) != (0, 0):
            env = WithActionDelay(env, self.action_delay)
        if self.noise:
            env = WithNoise(env, self.noise, distribution=self.noise_distribution)
        if self.observation_delay:
            env = WithObservationDelay(env, self.observation_delay)
        if self.history:
            env = WithHistory(env, self.history)
        return env


def evaluation_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an environment without what is random only in training: its model, its noise, its pushes.

    Args:
        options: of :func:`rsl_jax.env.make_env`.
    """
    kept = {name: value for name, value in options.items() if name not in ("randomize", "randomize_every")}
    if kept.get("sensors") is not None:
        kept["sensors"] = Sensors.of(kept["sensors"]).for_evaluation()
    return kept
