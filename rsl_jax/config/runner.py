"""The whole config of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rsl_jax.config.algorithms import ALGORITHM_CONFIGS, AlgorithmConfig, DistillationConfig, PPOConfig
from rsl_jax.config.base import require_at_least
from rsl_jax.config.distributions import GaussianDistributionConfig
from rsl_jax.config.models import MODEL_CONFIGS, MLPModelConfig, ModelConfig
from rsl_jax.config.reading import SECTIONS, build_section, to_plain
from rsl_jax.registry import resolve_callable


@dataclass(frozen=True)
class BaseRunnerConfig:
    """What every training run has, whatever the algorithm; a kind of run adds the sections of its models.

    Attributes:
        num_steps_per_env: steps of a rollout.
        save_interval: iterations between checkpoints.
        obs_groups: observation groups of each observation set (actor, critic; student, teacher).
        seed: of everything random; None means 0 (not in RSL-RL, where the simulator sets it).
        run_name: label in the console and the logs.
        check_for_nan: stop when the environment returns NaN or infinity.
        logger: tensorboard, or a section with ``class_name`` and arguments of a log writer.
        algorithm: the algorithm.
        extra: keys that are not ours; simulators keep their own here.
    """

    num_steps_per_env: int = 24
    save_interval: int = 50
    obs_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seed: int | None = None
    run_name: str | None = None
    check_for_nan: bool = True
    logger: Any = "tensorboard"
    extra: Mapping[str, Any] = field(default_factory=dict)
    algorithm: AlgorithmConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything."""
        require_at_least(1, num_steps_per_env=self.num_steps_per_env, save_interval=self.save_interval)

    @classmethod
    def from_dict(cls, train_cfg: Mapping[str, Any] | BaseRunnerConfig) -> BaseRunnerConfig:
        """Read RSL-RL's dict; the dict stays as it is.

        Returns:
            the kind of config that goes with the dict's algorithm: :class:`RunnerConfig` with PPO and
            :class:`DistillationRunnerConfig` with distillation. An algorithm of one's own, or none, leaves it to
            whether there is a ``student``, else to the class that was asked.

        Raises:
            ValueError: for an unknown key in a section, with the nearest valid one.
            TypeError: for a value of the wrong type.
        """
        if isinstance(train_cfg, BaseRunnerConfig):
            return train_cfg
        if not isinstance(train_cfg, Mapping):
            raise TypeError(f"The training config is a dict or a RunnerConfig; got {type(train_cfg).__name__}.")
        kind = _kind(train_cfg, cls)
        _refuse_old_sections(train_cfg, kind)
        known = {f.name for f in dataclasses.fields(kind)} - {"extra"}
        own = {key: value for key, value in train_cfg.items() if key in known}
        extra = {key: value for key, value in train_cfg.items() if key not in known}
        return build_section(kind, {**own, "extra": extra}, where="")

    @classmethod
    def from_yaml(cls, path: str | Path) -> BaseRunnerConfig:
        """Read a YAML file; a top-level ``runner`` section is the config where there is one."""
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, Mapping):
            raise TypeError(f"{path} holds no mapping; a training config is one.")
        return cls.from_dict(content.get("runner", content))

    def to_dict(self) -> dict[str, Any]:
        """RSL-RL's dict of this config, of plain types that YAML can hold."""
        plain = to_plain(self)
        extra = plain.pop("extra")
        return {**plain, **extra}


@dataclass(frozen=True)
class RunnerConfig(BaseRunnerConfig):
    """A whole run of reinforcement learning.

    Attributes:
        algorithm: the algorithm.
        actor: the policy's model.
        critic: the value function's model.
    """

    algorithm: AlgorithmConfig = field(default_factory=PPOConfig)
    actor: ModelConfig = field(default_factory=MLPModelConfig)
    critic: ModelConfig = field(default_factory=MLPModelConfig)


@dataclass(frozen=True)
class DistillationRunnerConfig(BaseRunnerConfig):
    """A whole run of distillation.

    Attributes:
        algorithm: the algorithm.
        student: the model that learns and acts.
        teacher: the model that labels; as the actor that is loaded was.
    """

    algorithm: AlgorithmConfig = field(default_factory=DistillationConfig)
    student: ModelConfig = field(default_factory=lambda: MLPModelConfig(distribution_cfg=GaussianDistributionConfig()))
    teacher: ModelConfig = field(default_factory=MLPModelConfig)


KINDS: Mapping[Any, type[BaseRunnerConfig]] = {PPOConfig: RunnerConfig, DistillationConfig: DistillationRunnerConfig}
"""By the dataclass of the algorithm."""


def _kind(train_cfg: Mapping[str, Any], asked: type[BaseRunnerConfig]) -> type[BaseRunnerConfig]:
    algorithm = train_cfg.get("algorithm")
    name = algorithm.get("class_name") if isinstance(algorithm, Mapping) else type(algorithm)
    target = resolve_callable(name, ALGORITHM_CONFIGS, "algorithm") if name else None
    if target in KINDS:
        return KINDS[target]
    if "student" in train_cfg:
        return DistillationRunnerConfig
    return RunnerConfig if asked is BaseRunnerConfig else asked


def _refuse_old_sections(train_cfg: Mapping[str, Any], kind: type[BaseRunnerConfig]) -> None:
    models = [f.name for f in dataclasses.fields(kind) if SECTIONS.get(f.name) is MODEL_CONFIGS]
    if "policy" in train_cfg and models[0] not in train_cfg:
        raise ValueError(
            "This config has a 'policy' section, as RSL-RL had before version 5. Write its network as two sections, "
            f"'{models[0]}' (with a 'distribution_cfg') and '{models[1]}', each with a 'class_name' like 'MLPModel'."
        )
