"""Migration of configs of RSL-RL 1 to 4, and of its clients, to the current layout.

From plain dicts to plain dicts; nothing here uses the dataclasses. Defaults of old versions that have changed since are
written out, so that a run is what its config meant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rsl_jax.config.leftovers import bare_name, gaussian, tidy_algorithm, tidy_model
from rsl_jax.registry import nearest

MODELS = ("actor", "critic", "student", "teacher")

POLICIES: Mapping[str, tuple[str, str, str]] = {
    "ActorCritic": ("actor", "critic", "MLPModel"),
    "ActorCriticRecurrent": ("actor", "critic", "RNNModel"),
    "ActorCriticCNN": ("actor", "critic", "CNNModel"),
    "StudentTeacher": ("student", "teacher", "MLPModel"),
    "StudentTeacherRecurrent": ("student", "teacher", "RNNModel"),
}
"""The policies before version 4: the two models of each, and their class."""

OLD_PPO: Mapping[str, Any] = {
    "num_learning_epochs": 1,
    "num_mini_batches": 1,
    "gamma": 0.998,
    "entropy_coef": 0.0,
    "schedule": "fixed",
}
"""Defaults of PPO in RSL-RL 1 and 2 that version 3 changed."""

_Sentinel = type(dataclasses.MISSING)  # copies of it are others

RUNNERS = ("OnPolicyRunner", "DistillationRunner", "runner_class_name")
"""Values of ``runner_class_name`` without meaning; the last one is in Genesis's examples."""


def migrate(train_cfg: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Convert a config of any version of RSL-RL to the current layout; the given one is not changed.

    Args:
        train_cfg: a config: current, of RSL-RL 1 to 4, or legged_gym's with its section ``runner``; of plain types.

    Returns:
        the config in RSL-RL 5.5's layout, and what was read as what, one clause each, without keys that are
        present and switched off.

    Raises:
        ValueError: for what is not supported any more, such as a custom policy; says what to do instead.
    """
    notes: list[str] = []
    cfg = _copy(train_cfg)
    _flatten(cfg, notes)
    before_3 = not _is_of_version_3(train_cfg)
    for name in ("policy", "algorithm", *MODELS):
        _drop_empty(cfg, name)
    if "policy" in cfg:
        _split_policy(cfg, notes, before_3=before_3)
    elif _is_missing(cfg.get("empirical_normalization")):
        cfg.pop("empirical_normalization", None)
    elif cfg.pop("empirical_normalization", False):
        notes.append(
            "empirical_normalization is ignored, obs_normalization of each model is read, as in RSL-RL 4 and 5"
        )
    for name in MODELS:
        if isinstance(cfg.get(name), dict):
            tidy_model(name, cfg[name], notes)
    if isinstance(cfg.get("algorithm"), dict):
        tidy_algorithm(cfg["algorithm"], notes)
    _rename_obs_groups(cfg, notes)
    logger = cfg.get("logger")
    if isinstance(logger, str) and logger.lower() in ("tensorboard", "wandb", "neptune"):
        cfg["logger"] = logger.lower()
    return cfg, notes


def describe(notes: list[str]) -> str:
    """Describe what was read as what, on one line."""
    return f"This config is not in RSL-RL 5.5's form: {'; '.join(notes)}. 'rsl-jax config' converts it."


def is_nested(content: Mapping[str, Any]) -> bool:
    """Return whether a config has legged_gym's layout: parts of it in a section ``runner``, others beside that."""
    return isinstance(content.get("runner"), Mapping) and ("policy" in content or "algorithm" in content)


def _is_missing(value: Any) -> bool:
    """Return whether a key of Isaac Lab has no value: a sentinel, and ``{}`` in the files that it saves."""
    return isinstance(value, _Sentinel) or value is None or (isinstance(value, Mapping) and not value)


def _copy(value: Any) -> Any:
    """Return a deep copy of the dicts, without keys that only say that their value is missing."""
    if not isinstance(value, Mapping):
        return value
    return {key: _copy(item) for key, item in value.items() if not isinstance(item, _Sentinel)}


def _is_of_version_3(train_cfg: Mapping[str, Any]) -> bool:
    """Return whether a config with a policy has keys of version 3: observation groups, normalisers of each model."""
    runner = train_cfg.get("runner")
    here = {**runner, **train_cfg} if isinstance(runner, Mapping) else train_cfg
    policy = here.get("policy")
    normalizes = [f"{model}_obs_normalization" for model in MODELS]
    return "obs_groups" in here or (isinstance(policy, Mapping) and any(key in policy for key in normalizes))


def _drop_empty(cfg: dict[str, Any], name: str) -> None:
    """Remove a section that is empty, and keys of it that have no value."""
    section = cfg.get(name)
    if isinstance(section, dict):
        cfg[name] = section = {key: item for key, item in section.items() if not (isinstance(item, dict) and not item)}
    if section == {} or (section is None and name == "policy"):
        cfg.pop(name, None)


def _flatten(cfg: dict[str, Any], notes: list[str]) -> None:
    """Flatten the section ``runner`` of legged_gym and RSL-RL 1, which also names the classes of the others."""
    if isinstance(cfg.get("runner"), dict):
        nested = is_nested(cfg)
        runner = cfg.pop("runner")
        differing = [key for key, value in runner.items() if key in cfg and cfg[key] != value]
        cfg.update({key: value for key, value in runner.items() if key not in cfg})
        if nested:
            notes.append("the keys of runner are read as the run's")
        if differing:
            notes.append(f"{', '.join(differing)} of runner ignored beside the run's own")
    for name in ("policy", "algorithm"):
        class_name = cfg.pop(f"{name}_class_name", None)
        section = cfg.setdefault(name, {}) if class_name else None
        if isinstance(section, dict):
            section.setdefault("class_name", class_name)
    if not cfg.get("init_member_classes", True):
        del cfg["init_member_classes"]
    runner_class = cfg.pop("runner_class_name", None)
    if runner_class and bare_name(runner_class) not in RUNNERS:
        notes.append(f"runner_class_name '{runner_class}' is ignored")


def _split_policy(cfg: dict[str, Any], notes: list[str], *, before_3: bool) -> None:
    """Split the section ``policy`` of RSL-RL before version 4 into one for each model."""
    policy, given = cfg.pop("policy"), cfg.pop("empirical_normalization", None)
    normalization = None if _is_missing(given) else bool(given)
    if not isinstance(policy, dict):
        raise ValueError(f"policy must be a section of keys and values, as before RSL-RL 4; got {policy!r}.")
    name = _policy_class(policy, cfg)
    learner, other, _ = POLICIES[name]
    if learner in cfg and other in cfg:
        notes.append(f"policy is ignored, as there are {learner} and {other}")
        return
    algorithm = cfg.setdefault("algorithm", {})
    distills = learner == "student"
    if isinstance(algorithm, dict):
        algorithm.setdefault("class_name", "Distillation" if distills else "PPO")
        expected = "Distillation" if distills else "PPO"
        if bare_name(algorithm["class_name"]) in {"PPO", "Distillation"} - {expected}:
            raise ValueError(f"policy '{name}' goes with the algorithm {expected}; got {algorithm['class_name']!r}.")
    if distills and not before_3 and normalization:
        notes.append("empirical_normalization is ignored, as in the distillation of RSL-RL 3")
        normalization = None
    models, unread = _models_of(name, policy, normalization)
    for model, section in models.items():
        cfg.setdefault(model, section)
    notes.append(f"policy '{name}' is read as {learner} and {other}")
    if normalization and any(policy.get(f"{model}_obs_normalization") is None for model in models):
        notes.append("empirical_normalization is read as their obs_normalization")
    if unread:
        notes.append(f"{', '.join(f'policy.{key}' for key in unread)} ignored, as in RSL-RL")
    if not distills:
        notes.append("max_grad_norm limits actor and critic separately, before RSL-RL 4 it limited both together")
        if before_3 and isinstance(algorithm, dict) and bare_name(algorithm["class_name"]) == "PPO":
            _write_old_defaults(algorithm, notes)
    symmetry = algorithm.get("symmetry_cfg") if isinstance(algorithm, dict) else None
    if before_3 and isinstance(symmetry, dict) and symmetry.get("data_augmentation_func"):
        notes.append("the function of symmetry_cfg is called as function(env, obs, actions), as since RSL-RL 3")


def _policy_class(policy: Mapping[str, Any], cfg: Mapping[str, Any]) -> str:
    algorithm = cfg.get("algorithm")
    distills = isinstance(algorithm, dict) and bare_name(algorithm.get("class_name")) == "Distillation"
    default = "StudentTeacher" if distills else "ActorCritic"
    name = bare_name(policy.get("class_name", default))
    if name in POLICIES:
        return name
    learner, other, _ = POLICIES[default]
    if learner in cfg and other in cfg:  # then it is not read
        return default
    raise ValueError(
        f"policy.class_name '{name}' is a custom PyTorch module, which cannot be converted to models. Supported are "
        f"{', '.join(POLICIES)}.{nearest(name, POLICIES)} Otherwise write its networks as models in JAX, and give them "
        f"in the sections '{learner}' and '{other}' (docs/custom_parts.md)."
    )


def _models_of(
    name: str, policy: Mapping[str, Any], normalization: bool | None
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the sections of the two models of a policy, and the keys of it that have no meaning."""
    rest = {key: value for key, value in policy.items() if key != "class_name" and value is not None}
    learner, other, model = POLICIES[name]
    shared = {key: rest.pop(key) for key in ("activation",) if key in rest}
    teacher_has_memory = rest.pop("teacher_recurrent", False) if name == "StudentTeacherRecurrent" else True
    memory = _memory(rest) if model == "RNNModel" else {}
    models: dict[str, dict[str, Any]] = {}
    for part in (learner, other):
        has_memory = model == "RNNModel" and (part == learner or teacher_has_memory)
        section: dict[str, Any] = {"class_name": "MLPModel" if model == "RNNModel" and not has_memory else model}
        if model == "CNNModel":
            encoder = rest.pop(f"{part}_cnn_cfg", None)
            section |= {"cnn_cfg": encoder} if encoder else {"class_name": "MLPModel"}
        if f"{part}_hidden_dims" in rest:
            section["hidden_dims"] = rest.pop(f"{part}_hidden_dims")
        section |= shared
        normalizes = rest.pop(f"{part}_obs_normalization", normalization)
        section["obs_normalization"] = bool(normalizes)
        models[part] = {**section, **(memory if has_memory else {})}
    distills = learner == "student"
    state_dependent = False if distills else rest.pop("state_dependent_std", False)
    std = rest.pop("init_noise_std", 0.1 if distills else 1.0)
    models[learner]["distribution_cfg"] = gaussian(std, rest.pop("noise_std_type", None), state_dependent)
    if distills:  # so that the actor of a run of PPO fits; a teacher acts by the mean
        models[other]["distribution_cfg"] = {"class_name": "GaussianDistribution"}
    return models, list(rest)


def _memory(policy: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of an RNN; its size had another name, which RSL-RL reads where the new one has its default."""
    size, old_size = policy.pop("rnn_hidden_dim", 256), policy.pop("rnn_hidden_size", None)
    memory = {
        "rnn_type": policy.pop("rnn_type", "lstm"),
        "rnn_hidden_dim": old_size if old_size and size == 256 else size,
    }
    return {**memory, "rnn_num_layers": policy.pop("rnn_num_layers", 1)}


def _write_old_defaults(algorithm: dict[str, Any], notes: list[str]) -> None:
    absent = {key: value for key, value in OLD_PPO.items() if key not in algorithm}
    algorithm.update(absent)
    if absent:
        values = ", ".join(f"{key} {value}" for key, value in absent.items())
        notes.append(f"what algorithm leaves out is as in RSL-RL 1 and 2, which have no obs_groups: {values}")


def _rename_obs_groups(cfg: dict[str, Any], notes: list[str]) -> None:
    """Rename the observation set of the acting model, which RSL-RL 3 called ``policy``."""
    groups, algorithm = cfg.get("obs_groups"), cfg.get("algorithm")
    if not isinstance(groups, dict) or "policy" not in groups:
        return
    name = bare_name(algorithm.get("class_name")) if isinstance(algorithm, dict) else ""
    learner, other = ("student", "teacher") if name == "Distillation" or "student" in cfg else ("actor", "critic")
    if learner in groups:
        return
    cfg["obs_groups"] = {learner if key == "policy" else key: value for key, value in groups.items()}
    notes.append(f"obs_groups.policy is read as obs_groups.{learner}")
    if other not in groups and groups["policy"] not in ("policy", ["policy"], ("policy",)):
        notes.append(f"obs_groups names no {other}, so that is the group {other} or policy")
