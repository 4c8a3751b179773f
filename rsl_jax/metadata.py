"""What a checkpoint says of itself beside its arrays."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.types import Spec

PACKAGES = ("rsl-jax", "jax", "flax", "optax")
"""Whose versions are kept."""


@dataclass(frozen=True)
class Metadata:
    """A run as its checkpoint knows it, of plain types that JSON can hold.

    Attributes:
        iteration: the last finished iteration, counted from 0.
        best_mean_reward: the best score so far, or None.
        infos: what the user added, or None.
        config: RSL-RL's dict of the config.
        seed: of everything random.
        environment: type and shapes of the environment.
        versions: of what made the checkpoint.
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
            **others: the other fields but ``versions``, which are those here and now.
        """
        return cls(
            config=cfg.to_dict(),
            environment=_described(spec),
            versions={name: importlib.metadata.version(name) for name in PACKAGES},
            **others,
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Metadata:
        """Read what :meth:`to_dict` gave; what it does not know is left out."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it where ``infos`` can."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @property
    def cfg(self) -> BaseRunnerConfig:
        """The config of the run."""
        return BaseRunnerConfig.from_dict(self.config)

    @property
    def spec(self) -> Spec:
        """What the algorithm had to know about the environment, which is not there itself."""
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
        "num_envs": spec.num_envs,
        "observations": {name: list(shape) for name, shape in spec.observations.items()},
        "num_actions": spec.num_actions,
        "discrete": spec.discrete,
        "step_dt": None if spec.step_dt is None else float(spec.step_dt),
    }
