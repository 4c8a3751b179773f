"""Configuration: RSL-RL's keys and defaults as a tree of frozen dataclasses.

:meth:`RunnerConfig.from_dict` reads the very dict (or YAML) that RSL-RL 5.5.1 takes and never changes it. Keys that are
not in RSL-RL are marked so. Floats of an algorithm may be traced by JAX, which is how hyper-parameters are swept.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from rsl_jax.registry import nearest, resolve_callable

Config = TypeVar("Config")


@dataclass(frozen=True)
class CustomConfig:
    """A part of the user's own: a callable (or its import path) and the arguments to build it with."""

    class_name: Callable | str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GaussianDistributionConfig:
    """Diagonal Gaussian with a standard deviation that does not depend on the state.

    Attributes:
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation.
        std_type: whether the standard deviation itself is learned (scalar) or its logarithm.
        learn_std: whether it learns at all.
    """

    class_name: str = "GaussianDistribution"
    init_std: float = 1.0
    std_range: tuple[float, float] = (1e-6, 1e6)
    std_type: Literal["scalar", "log"] = "scalar"
    learn_std: bool = True


DistributionConfig = Union[GaussianDistributionConfig, CustomConfig]  # noqa: UP007 (isinstance and tyro want a Union)


@dataclass(frozen=True)
class MLPModelConfig:
    """Feed-forward model.

    Attributes:
        hidden_dims: sizes of the hidden layers; -1 means the size of the input.
        activation: name of the activation.
        obs_normalization: whether to normalise observations by their running moments.
        distribution_cfg: distribution over the output; None makes it deterministic.
    """

    class_name: str = "MLPModel"
    hidden_dims: tuple[int, ...] = (256, 256, 256)
    activation: str = "elu"
    obs_normalization: bool = False
    distribution_cfg: DistributionConfig | None = None


ModelConfig = Union[MLPModelConfig, CustomConfig]  # noqa: UP007


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation.

    Attributes:
        optimizer: adam, adamw, sgd or rmsprop.
        learning_rate: initial rate of the optimiser.
        num_learning_epochs: passes over each rollout.
        num_mini_batches: mini-batches of a pass.
        schedule: adaptive keeps the policy's steps near ``desired_kl`` by changing the learning rate; fixed does not.
        value_loss_coef: weight of the value loss.
        clip_param: how far the probability ratio (and a clipped value) may move.
        use_clipped_value_loss: whether values are clipped too.
        desired_kl: what the adaptive schedule aims at.
        entropy_coef: weight of the entropy bonus.
        gamma: discount of a step.
        lam: lambda of generalised advantage estimation.
        max_grad_norm: largest gradient norm, of actor and critic apart.
        normalize_advantage_per_mini_batch: normalise advantages in each mini-batch, not once a rollout.
        use_mixed_precision: run the networks of the update in bfloat16.
        time_out_bootstrap: what stands in for the unseen rest of an episode that ran out of time (not in RSL-RL): final
            takes the value of the final observation where the environment hands it over, current takes the value of the
            observation before, as RSL-RL does.
        grad_reduce_bucket_mb: accepted for RSL-RL's sake; XLA decides how gradients travel.
    """

    class_name: str = "PPO"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    num_learning_epochs: int = 5
    num_mini_batches: int = 4
    schedule: Literal["adaptive", "fixed"] = "adaptive"
    value_loss_coef: float = 1.0
    clip_param: float = 0.2
    use_clipped_value_loss: bool = True
    desired_kl: float | None = 0.01
    entropy_coef: float = 0.01
    gamma: float = 0.99
    lam: float = 0.95
    max_grad_norm: float = 1.0
    normalize_advantage_per_mini_batch: bool = False
    use_mixed_precision: bool = False
    time_out_bootstrap: Literal["final", "current"] = "final"
    grad_reduce_bucket_mb: float = 25

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything; traced ones pass."""
        _require_at_least(1, num_learning_epochs=self.num_learning_epochs, num_mini_batches=self.num_mini_batches)


AlgorithmConfig = Union[PPOConfig, CustomConfig]  # noqa: UP007


@dataclass(frozen=True)
class RunnerConfig:
    """A whole training run.

    Attributes:
        num_steps_per_env: steps of a rollout.
        save_interval: iterations between checkpoints.
        obs_groups: observation groups of each observation set (actor, critic, ...).
        algorithm: the algorithm.
        actor: the policy's model.
        critic: the value function's model.
        seed: of everything random; None means 0 (not in RSL-RL, where the simulator sets it).
        run_name: label in the console and the logs.
        check_for_nan: stop when the environment returns NaN or infinity.
        logger: tensorboard, or a section with ``class_name`` and arguments of a log writer.
        extra: keys that are not ours; simulators keep their own here.
    """

    num_steps_per_env: int = 24
    save_interval: int = 50
    obs_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    algorithm: AlgorithmConfig = field(default_factory=PPOConfig)
    actor: ModelConfig = field(default_factory=lambda: MLPModelConfig(distribution_cfg=GaussianDistributionConfig()))
    critic: ModelConfig = field(default_factory=MLPModelConfig)
    seed: int | None = None
    run_name: str | None = None
    check_for_nan: bool = True
    logger: Any = "tensorboard"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse numbers that cannot mean anything."""
        _require_at_least(1, num_steps_per_env=self.num_steps_per_env, save_interval=self.save_interval)

    @classmethod
    def from_dict(cls, train_cfg: Mapping[str, Any] | RunnerConfig) -> RunnerConfig:
        """Read RSL-RL's dict; the dict stays as it is.

        Raises:
            ValueError: for an unknown key in a section, with the nearest valid one.
            TypeError: for a value of the wrong type.
        """
        if isinstance(train_cfg, RunnerConfig):
            return train_cfg
        if not isinstance(train_cfg, Mapping):
            raise TypeError(f"The training config is a dict or a RunnerConfig; got {type(train_cfg).__name__}.")
        if "policy" in train_cfg and "actor" not in train_cfg:
            raise ValueError(
                "This config has a 'policy' section, as RSL-RL had before version 5. Write its network as two "
                "sections, 'actor' (with a 'distribution_cfg') and 'critic', each with a 'class_name' like 'MLPModel'."
            )
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        own = {key: value for key, value in train_cfg.items() if key in known}
        extra = {key: value for key, value in train_cfg.items() if key not in known}
        return _build(cls, {**own, "extra": extra}, where="")

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunnerConfig:
        """Read a YAML file; a top-level ``runner`` section is the config where there is one."""
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, Mapping):
            raise TypeError(f"{path} holds no mapping; a training config is one.")
        return cls.from_dict(content.get("runner", content))

    def to_dict(self) -> dict[str, Any]:
        """RSL-RL's dict of this config, of plain types that YAML can hold."""
        plain = _plain(self)
        extra = plain.pop("extra")
        return {**plain, **extra}


SECTIONS: Mapping[str, Mapping[str, type]] = {
    "algorithm": {"PPO": PPOConfig},
    "actor": {"MLPModel": MLPModelConfig},
    "critic": {"MLPModel": MLPModelConfig},
    "distribution_cfg": {"GaussianDistribution": GaussianDistributionConfig},
}
"""What ``class_name`` may be in each section, and the dataclass that then holds it."""


SWITCHED_OFF: Mapping[str, tuple[str, ...]] = {"PPOConfig": ("rnd_cfg", "symmetry_cfg", "share_cnn_encoders")}
"""RSL-RL's keys of features that are not here yet; configs often hold them switched off, which is accepted."""


def structural_fields(config: Any) -> set[str]:
    """Names of the fields that shape the program; the other ones are floats that may be traced."""
    hints = typing.get_type_hints(type(config))
    return {f.name for f in dataclasses.fields(config) if float not in (hints[f.name], *typing.get_args(hints[f.name]))}


def _build(cls: type[Config], section: Mapping[str, Any], *, where: str) -> Config:
    section = _without_switched_off(cls, section, where)
    hints = typing.get_type_hints(cls)
    unknown = [key for key in section if key not in hints]
    if unknown:
        raise ValueError(
            f"Unknown key '{unknown[0]}' in {where or 'the config'}. Allowed: {', '.join(sorted(hints))}."
            f"{nearest(unknown[0], hints)}"
        )
    return cls(**{key: _value(hints[key], value, key, f"{where}.{key}".lstrip(".")) for key, value in section.items()})


def _without_switched_off(cls: type, section: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    absent = SWITCHED_OFF.get(cls.__name__, ())
    for key in absent:
        if section.get(key):
            raise ValueError(f"{where}.{key} asks for what rsl_jax cannot do yet. Remove it, or set it to null.")
    return {key: value for key, value in section.items() if key not in absent}


def _value(hint: Any, value: Any, key: str, where: str) -> Any:
    if key in SECTIONS and not dataclasses.is_dataclass(value):
        return None if value is None else _section(value, key, where)
    if key == "obs_groups":
        return {name: tuple([groups] if isinstance(groups, str) else groups) for name, groups in value.items()}
    return _convert(hint, value, where)


def _section(section: Any, key: str, where: str) -> Any:
    if not isinstance(section, Mapping) or "class_name" not in section:
        raise ValueError(
            f"{where} is a section with a 'class_name', one of {', '.join(SECTIONS[key])} or an import path; got "
            f"{section!r}."
        )
    kind = where.rsplit(".", 1)[-1].removesuffix("_cfg")
    target = resolve_callable(section["class_name"], SECTIONS[key], kind)
    kwargs = {name: value for name, value in section.items() if name != "class_name"}
    if isinstance(target, type) and target in SECTIONS[key].values():
        name = next(name for name, cls in SECTIONS[key].items() if cls is target)
        return _build(target, {"class_name": name, **kwargs}, where=where)
    _check_arguments(target, kwargs, where)
    if "distribution_cfg" in kwargs:
        kwargs["distribution_cfg"] = _value(
            Any, kwargs["distribution_cfg"], "distribution_cfg", f"{where}.distribution_cfg"
        )
    return CustomConfig(section["class_name"], kwargs)


def _check_arguments(target: Callable, kwargs: Mapping[str, Any], where: str) -> None:
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    allowed = {*parameters, "distribution_cfg"}
    for key in kwargs:
        if key not in allowed:
            raise ValueError(
                f"Unknown key '{key}' in {where}: {target} takes {', '.join(sorted(allowed))}.{nearest(key, allowed)}"
            )


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Bring a value read from YAML or Python into the type of its field, where that loses nothing."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [argument for argument in arguments if argument is not type(None)]
        return _convert(rest[0], value, where) if len(rest) == 1 else value
    if origin is Literal:
        if value not in arguments:
            hint_text = nearest(str(value), arguments)
            raise ValueError(f"{where} is one of {', '.join(map(repr, arguments))}; got {value!r}.{hint_text}")
        return value
    if origin is tuple:
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise TypeError(f"{where} is a list; got {value!r}.")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ValueError(f"{where} has {len(arguments)} entries; got {value!r}.")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if hint in (int, float, bool, str):
        return _scalar(hint, value, where)
    return value


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a string
        try:
            return float(value)
        except ValueError:
            pass
    allowed = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}[hint]
    is_bool_for_number = isinstance(value, bool) and hint is not bool
    if isinstance(value, allowed) and not is_bool_for_number:
        return float(value) if hint is float else value
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return value  # a number that JAX traces
    raise TypeError(f"{where} is of type {hint.__name__}; got {value!r}.")


def _plain(value: Any) -> Any:
    if isinstance(value, CustomConfig):
        name = value.class_name
        path = name if isinstance(name, str) else f"{name.__module__}:{name.__qualname__}"
        return {"class_name": path, **_plain(dict(value.kwargs))}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}"
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else str(value)


def _require_at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}; got {value}.")
