"""Conversion of all layouts of RSL-RL's checkpoints to one.

| versions | models | names |
|---|---|---|
| 5.x | a state dict each, `actor_state_dict` | `mlp.*`, `distribution.*`, `obs_normalizer.*`, `rnn.rnn.*`, `cnns.*` |
| 4.x | likewise | `std` and `log_std` instead of `distribution.*` |
| 3.x | all in `model_state_dict` | `actor.*`, `actor_obs_normalizer.*`, `memory_a.*`, `actor_cnns.*`, `std`, ... |
| 1.x, 2.x | likewise | normalisers beside it: `obs_norm_state_dict`, `critic_obs_norm_state_dict`, ... |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rsl_jax.models.state_dicts import BUFFER, listed

MODELS = ("actor", "critic", "student", "teacher")
"""Models of RSL-RL's algorithms, in the order of the optimisers' parameters."""

SUFFIX = "_state_dict"

_SPREAD = {"std": "distribution.std_param", "log_std": "distribution.log_std_param"}

_PREFIXES = {
    f"{prefix}.": (model, part)
    for model, letter in zip(MODELS, "acst", strict=True)
    for prefix, part in (
        (model, "mlp."),
        (f"memory_{letter}", "rnn."),
        (f"{model}_obs_normalizer", "obs_normalizer."),
        (f"{model}_cnns", "cnns."),
    )
}
"""Prefixes in a ``model_state_dict``, with their model and current prefix."""

_NORMALIZERS = {
    "obs_norm_state_dict": ("actor", "student"),
    "critic_obs_norm_state_dict": ("critic",),
    "privileged_obs_norm_state_dict": ("critic", "teacher"),
}
"""Normalisers beside the models, with the candidates for their model."""

OLD_UNTIL = 10**8
"""Number of samples after which the normalisers of 2.x are fixed."""


class Checkpoint(NamedTuple):
    """Checkpoint in RSL-RL 5's layout.

    Attributes:
        models: state dicts by model.
        called: name of each of their arrays in the file, by model.
        order: model and name of each parameter, in the optimiser's order.
        content: everything else, as it is in the file.
    """

    models: dict[str, dict[str, Any]]
    called: dict[str, dict[str, str]]
    order: list[tuple[str, str]]
    content: Mapping[str, Any]


def todays_layout(content: Mapping[str, Any]) -> Checkpoint:
    """Convert a checkpoint of any version of RSL-RL to the current layout.

    Raises:
        ValueError: if it contains something that no version of RSL-RL saves.
    """
    for key, value in content.items():
        if key.endswith(SUFFIX) and not isinstance(value, Mapping):
            raise ValueError(f"'{key}' of this checkpoint is a {type(value).__name__}; RSL-RL saves a dict there.")
    if "model_state_dict" in content:
        return _one_for_all(content)
    models = {name: content[f"{name}{SUFFIX}"] for name in MODELS if f"{name}{SUFFIX}" in content}
    named = {model: {_SPREAD.get(name, name): value for name, value in d.items()} for model, d in models.items()}
    called = {model: {_SPREAD.get(name, name): name for name in d} for model, d in models.items()}
    # The optimiser does not have the teacher of distillation.
    learning = ["student"] if "student" in named else [*named]
    order = [(model, name) for model in learning for name in named[model] if not BUFFER.fullmatch(name)]
    return Checkpoint(named, called, order, content)


def _one_for_all(content: Mapping[str, Any]) -> Checkpoint:
    """Read the layout of versions up to 3."""
    state_dict = content["model_state_dict"]
    models: dict[str, dict[str, Any]] = {}
    called: dict[str, dict[str, str]] = {}
    order = []
    policy = "student" if any(name.startswith("student.") for name in state_dict) else "actor"
    for name, value in state_dict.items():
        model, todays = _todays_name(name, policy)
        models.setdefault(model, {})[todays] = value
        called.setdefault(model, {})[todays] = name
        if not BUFFER.fullmatch(name):
            order.append((model, todays))
    for key, owners in _NORMALIZERS.items():
        for model in owners if key in content else ():
            for name, value in content[key].items() if model in models else ():
                models[model][f"obs_normalizer.{name}"] = value
                called[model][f"obs_normalizer.{name}"] = f"{key}: {name}"
    for arrays in models.values():
        if "obs_normalizer._mean" in arrays and "obs_normalizer.count" not in arrays:
            # Some 2.x did not save the number of samples, and started again with the first batch after loading.
            arrays["obs_normalizer.count"] = np.asarray(OLD_UNTIL)
    return Checkpoint(models, called, order, content)


def _todays_name(name: str, policy: str) -> tuple[str, str]:
    if name in _SPREAD:
        return policy, _SPREAD[name]
    for prefix, (model, part) in _PREFIXES.items():
        if name.startswith(prefix):
            return model, part + name.removeprefix(prefix)
    raise ValueError(
        f"'{name}' of model_state_dict belongs to no model of RSL-RL 1 to 3, whose names start with "
        f"{listed([*_SPREAD, *_PREFIXES])}. Custom policy classes cannot be read."
    )
