"""The config of a whole run."""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from rsl_jax.config.algorithms import DistillationConfig, PPOConfig
from rsl_jax.config.keys import Count, NonNegative, Part, Seed, part_of
from rsl_jax.config.migration import describe, migrate
from rsl_jax.config.sections import Checked, arguments_of, at, build, hints_of, refuse_keys_without_name, section_type
from rsl_jax.config.yaml_files import config_of, load_yaml
from rsl_jax.plain import to_plain
from rsl_jax.registry import BASES, library_name, resolve_part, vet
from rsl_jax.trusted import reading

AlgorithmSection = Annotated[Any, Part("algorithm")]
ModelSection = Annotated[Any, Part("model")]

CLIENTS_KEYS = frozenset(
    {
        "class_name",
        "clip_actions",
        "device",
        "empirical_normalization",
        "experiment_name",
        "load_checkpoint",
        "load_run",
        "log_interval",
        "max_iterations",
        "multi_gpu",
        "neptune_project",
        "policy",
        "resume",
        "runner_class_name",
        "torch_compile_mode",
        "torchrunx_log_dir",
        "upload_model",
        "wandb_project",
        "wandb_tags",
    }
)
"""Keys of simulators that are allowed beside ours. Other keys that are similar to ours are taken for misspelt ones."""

NEAR = 0.8
"""Similarity from which two names are taken for the same one, misspelt."""


def mlp(**arguments: Any) -> Any:
    """Return the section of an ``MLPModel``."""
    return section_type("model", "MLPModel")(**arguments)


def stochastic_mlp() -> Any:
    """Return the section of an ``MLPModel`` with a Gaussian."""
    return mlp(distribution_cfg=section_type("distribution", "GaussianDistribution")())


@dataclass(frozen=True)
class BaseRunnerConfig(Checked):
    """Config that all runs share; each kind of run adds the sections of its models.

    Attributes:
        num_steps_per_env: steps of a rollout.
        save_interval: iterations between checkpoints.
        obs_groups: observation groups of each observation set (actor, critic; student, teacher).
        seed: random seed; None means 0 (not in RSL-RL, where the simulator sets it).
        run_name: label in the console and the logs.
        check_for_nan: check the environment's results for NaN and infinity.
        on_non_finite: response to NaN or infinity (not in RSL-RL): stop saves the last good state and stops; skip
            discards the update, counts it in the log and continues, up to 10 times in a row.
        eval_interval: iterations between evaluations of the policy without exploration; null for none (not in RSL-RL).
        eval_episodes: episodes of an evaluation (not in RSL-RL).
        eval_video: seconds of video of each evaluation, if the environment can render; 0 for none (not in RSL-RL).
        logger: tensorboard, wandb, neptune or mlflow; a section with ``class_name`` and arguments of a log writer; or a
            list of these.
        algorithm: the algorithm.
        extra: keys that rsl_jax does not read, such as those of simulators.
    """

    num_steps_per_env: Count = 24
    save_interval: Count = 50
    obs_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seed: Seed | None = None
    run_name: str | None = None
    check_for_nan: bool = True
    on_non_finite: Literal["stop", "skip"] = "stop"
    eval_interval: Count | None = None
    eval_episodes: Count = 32
    eval_video: NonNegative = 5.0
    logger: Any = "tensorboard"
    extra: Mapping[str, Any] = field(default_factory=dict)
    algorithm: AlgorithmSection = field(default_factory=PPOConfig)

    @classmethod
    def from_dict(cls, train_cfg: Mapping[str, Any] | BaseRunnerConfig) -> BaseRunnerConfig:
        """Read RSL-RL's dict, also one of versions 1 to 4; the dict is not changed.

        Returns:
            the kind of config for the dict's algorithm: :class:`RunnerConfig` for PPO and
            :class:`DistillationRunnerConfig` for distillation. For a custom algorithm, or none, it depends on
            whether there is a ``student``; otherwise it is this class.

        Raises:
            ValueError: for an unknown key in a section, with the nearest valid one; for a feature of an old config that
                is not supported any more.
            TypeError: for a value of the wrong type.
        """
        if isinstance(train_cfg, BaseRunnerConfig):
            return train_cfg
        if not isinstance(train_cfg, Mapping) and hasattr(train_cfg, "to_dict"):
            train_cfg = train_cfg.to_dict()  # as the ConfigDict of MuJoCo Playground
        if not isinstance(train_cfg, Mapping):
            raise TypeError(f"The training config must be a dict or a RunnerConfig; got {type(train_cfg).__name__}.")
        refuse_keys_without_name(train_cfg, "")
        train_cfg, notes = migrate(train_cfg)
        if notes:
            warnings.warn(describe(notes), stacklevel=2)
        kind = _kind(train_cfg, cls)
        known = {f.name for f in dataclasses.fields(kind)} - {"extra"}
        own = {key: value for key, value in train_cfg.items() if key in known}
        extra = {key: value for key, value in train_cfg.items() if key not in known}
        _refuse_misspelt(extra, known)
        if "obs_groups" in own:
            own["obs_groups"] = _as_lists(own["obs_groups"])
        _vet_writers(own.get("logger"))
        return build(kind, {**own, "extra": extra}, where="")

    @classmethod
    def from_yaml(cls, path: str | Path) -> BaseRunnerConfig:
        """Read a YAML file: the config at the top level, in a section ``runner``, or in the layout of legged_gym.

        Raises:
            ValueError: as :meth:`from_dict` does; for a tag that asks for a Python object; or where the file came
                with a run and names what it must not (:mod:`rsl_jax.trusted`).
            TypeError: as :meth:`from_dict` does.
        """
        content = load_yaml(Path(path).read_text(encoding="utf-8"))
        with reading(path, content):
            return cls.from_dict(config_of(content, path=path))

    def to_dict(self) -> dict[str, Any]:
        """Return RSL-RL's dict of this config, of plain types that YAML can represent."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "extra"}
        return to_plain({**own, **self.extra})


@dataclass(frozen=True)
class RunnerConfig(BaseRunnerConfig):
    """Config of a run of reinforcement learning.

    Attributes:
        algorithm: the algorithm.
        actor: the policy's model.
        critic: the value function's model.
    """

    algorithm: AlgorithmSection = field(default_factory=PPOConfig)
    actor: ModelSection = field(default_factory=mlp)
    critic: ModelSection = field(default_factory=mlp)

    def __post_init__(self) -> None:
        """Reject invalid numbers, and a critic with a distribution."""
        super().__post_init__()
        distribution = arguments_of(self.critic).get("distribution_cfg")
        if distribution is not None:
            raise ValueError(
                f"critic.distribution_cfg is {distribution!r}, but a critic has no distribution. Remove the key, or "
                "set it to null."
            )


@dataclass(frozen=True)
class DistillationRunnerConfig(BaseRunnerConfig):
    """Config of a run of distillation.

    Attributes:
        algorithm: the algorithm.
        student: the model that learns and acts.
        teacher: the model that labels; must match the actor that is loaded.
    """

    algorithm: AlgorithmSection = field(default_factory=DistillationConfig)
    student: ModelSection = field(default_factory=stochastic_mlp)
    teacher: ModelSection = field(default_factory=mlp)


def _kind(train_cfg: Mapping[str, Any], asked: type[BaseRunnerConfig]) -> type[BaseRunnerConfig]:
    """Return the kind of config whose models are those of the algorithm."""
    models = getattr(_algorithm_section(train_cfg.get("algorithm")), "models", None)
    if models is None and "student" in train_cfg:
        return DistillationRunnerConfig
    known: tuple[type[BaseRunnerConfig], ...] = (RunnerConfig, DistillationRunnerConfig)
    default = RunnerConfig if asked is BaseRunnerConfig else asked
    return next((kind for kind in known if models_of(kind) == models), default)


def _algorithm_section(algorithm: Any) -> Any:
    """Return the dataclass of an algorithm's section, or the section itself; None if it is unknown."""
    if not isinstance(algorithm, Mapping):
        return algorithm
    class_name = algorithm.get("class_name")
    if not class_name:
        return None
    with at("algorithm.class_name"):
        name = library_name(class_name, "algorithm")
        if name is None:
            return getattr(resolve_part(class_name, "algorithm"), "section", None)
    return section_type("algorithm", name)


def models_of(kind: type[BaseRunnerConfig]) -> tuple[str, ...]:
    """Return the names of the models of a kind of run."""
    parts = {name: part_of(hint) for name, hint in hints_of(kind).items()}
    return tuple(name for name, part in parts.items() if part is not None and part.kind == "model")


def _vet_writers(logger: Any) -> None:
    """Check the import paths of log writers as soon as they are read; they are imported when training starts."""
    for section in logger if isinstance(logger, (list, tuple)) else [logger]:
        path = section.get("class_name") if isinstance(section, Mapping) else section
        if isinstance(path, str) and (":" in path or "." in path) and library_name(path, "logger") is None:
            vet(path, "log writer", bases=BASES["logger"])


def _as_lists(obs_groups: Any) -> Any:
    """Return observation groups as lists, where one is given alone."""
    if not isinstance(obs_groups, Mapping):
        raise TypeError(f"obs_groups must map observation sets to lists of groups; got {obs_groups!r}.")
    return {name: [groups] if isinstance(groups, str) else groups for name, groups in obs_groups.items()}


def _refuse_misspelt(extra: Mapping[str, Any], known: set[str]) -> None:
    """Reject top-level keys that are nearly ours: a run would silently train with the defaults.

    Raises:
        ValueError: if there are any; names the key that was probably meant.
    """
    for key in extra:
        if key in CLIENTS_KEYS or not isinstance(key, str):
            continue
        close = difflib.get_close_matches(key.lower().replace("-", "_"), sorted(known), n=1, cutoff=NEAR)
        if close:
            raise ValueError(
                f"Unknown key '{key}' in the config. Did you mean '{close[0]}'? Keys of a simulator are allowed "
                "here too, but not with a name this similar to one of rsl_jax: rename it."
            )
