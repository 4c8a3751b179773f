"""Description of a robot's sensors and actuators: :class:`Sensors`."""

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
    """Description of all wrappers of :mod:`rsl_jax.env.sensors`: the option ``sensors`` of an environment.

    In the order in which they apply: the robot is pushed, actions are delayed, measurements are noisy and
    delayed, and the controller remembers some of them.

    Attributes:
        push_interval: minimum and maximum seconds from one push to the next; None for no pushes.
        push_speed: minimum and maximum speed of a push in m/s.
        action_delay: delay of actions in steps, or its minimum and maximum.
        noise: level of the noise by group; see :class:`WithNoise`.
        noise_distribution: ``uniform`` or ``gaussian``.
        observation_delay: delay of groups in steps, or its minimum and maximum.
        history: number of observations of a group to stack.
    """

    push_interval: Sequence[float] | None = None
    push_speed: Sequence[float] = (0.0, 1.0)
    action_delay: Steps = 0
    noise: Mapping[str, Level] = field(default_factory=dict)
    noise_distribution: Literal["uniform", "gaussian"] = "uniform"
    observation_delay: Mapping[str, Steps] = field(default_factory=dict)
    history: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject what is not a mapping by group."""
        for name in ("noise", "observation_delay", "history"):
            if not isinstance(getattr(self, name), Mapping):
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must be given by group: {{'policy': ...}}.")

    @classmethod
    def of(cls, given: Sensors | Mapping[str, Any]) -> Sensors:
        """Read a mapping of the attributes.

        Raises:
            ValueError: for an unknown key; names the nearest one.
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
        """Return the same without noise and pushes; what a controller has to cope with (delays, history) stays."""
        return replace(self, push_interval=None, noise={})

    def wrap(self, env: SingleEnv[Any]) -> Any:
        """Wrap a single environment with these sensors."""
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
    """Remove from an environment's options what is random only in training: its model, its noise, its pushes.

    Args:
        options: options of :func:`rsl_jax.env.make_env`.
    """
    kept = {name: value for name, value in options.items() if name not in ("randomize", "randomize_every")}
    if kept.get("sensors") is not None:
        kept["sensors"] = Sensors.of(kept["sensors"]).for_evaluation()
    return kept
