"""Superfluous keys of sections in the current layout: switched off, without effect, or of other versions.

RSL-RL or its clients (mjlab, Isaac Lab, robot_lab) accept such sections. Works on plain dicts; each function
changes the section that it is given, a copy, and records in ``notes`` what was read as what unless it has no meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

SMALLEST_STD = 1e-6
"""Smallest standard deviation, in RSL-RL and here."""

BUILT_IN = ("MLPModel", "RNNModel", "CNNModel")
PPO_KEYS = (
    "clip_param",
    "desired_kl",
    "entropy_coef",
    "gamma",
    "lam",
    "normalize_advantage_per_mini_batch",
    "num_mini_batches",
    "schedule",
    "share_cnn_encoders",
    "use_clipped_value_loss",
    "value_loss_coef",
)
"""Keys of PPO, which RSL-RL's distillation accepts and ignores."""

PER_LAYER = ("kernel_size", "stride", "dilation", "norm", "max_pool")
PADDINGS = ("none", "zeros", "reflect", "replicate", "circular")


def bare_name(class_name: Any) -> str:
    """Return the bare name of an RSL-RL class, in whatever form a config gives it; a custom class keeps its path."""
    if callable(class_name):
        module, name = getattr(class_name, "__module__", ""), getattr(class_name, "__name__", str(class_name))
        return name if module.split(".")[0] == "rsl_rl" else f"{module}:{name}"
    text = str(class_name or "")
    return text.replace(":", ".").rpartition(".")[2] if text.split(".")[0] == "rsl_rl" else text


def tidy_model(name: str, section: dict[str, Any], notes: list[str]) -> None:
    """Remove foreign keys from the section of a model; ``name`` is its name in the config.

    Raises:
        ValueError: for what has no meaning here, with the way out.
    """
    model = bare_name(section.get("class_name"))
    _drop_switched_off(name, model, section, notes)
    if model not in BUILT_IN:
        return
    _read_noise(name, section, notes)
    encoders = section.get("cnn_cfg")
    if isinstance(encoders, dict):
        nested = bool(encoders) and all(isinstance(encoder, Mapping) for encoder in encoders.values())
        for key, encoder in encoders.items() if nested else [("", encoders)]:
            _tidy_encoder(f"{name}.cnn_cfg.{key}".rstrip("."), encoder, notes)
    if isinstance(section.get("distribution_cfg"), dict):
        _tidy_distribution(name, section, notes)


def tidy_algorithm(section: dict[str, Any], notes: list[str]) -> None:
    """Remove keys without effect from the section of the algorithm, and rename those of older versions."""
    algorithm = bare_name(section.get("class_name"))
    if algorithm not in ("PPO", "Distillation"):
        return
    if isinstance(section.get("optimizer"), str) and not {".", ":"} & {*section["optimizer"]}:
        section["optimizer"] = section["optimizer"].lower()
    if algorithm == "Distillation":
        unread = [key for key in PPO_KEYS if key in section]
        if unread:
            notes.append(f"{', '.join(unread)} of the algorithm are ignored: they are PPO's")
        for key in unread:
            del section[key]
    elif "schedule" in section:
        _tidy_schedule(section, notes)
    for key, tidy in (("rnd_cfg", _tidy_rnd), ("symmetry_cfg", _tidy_symmetry)):
        if isinstance(section.get(key), dict):
            tidy(section, section[key], notes)


def _drop_switched_off(name: str, model: str, section: dict[str, Any], notes: list[str]) -> None:
    """Remove keys of other models that are None, and sizes of an RNN without one; mjlab writes all of them to each."""
    for key in ("cnn_cfg", "cnns"):
        if key in section and section[key] is None and not (key == "cnn_cfg" and model == "CNNModel"):
            del section[key]
    has_rnn = section.get("rnn_type") is not None
    if model == "RNNModel":
        if not has_rnn and "rnn_type" in section:
            del section["rnn_type"]
            notes.append(f"{name}.rnn_type null is read as 'lstm'")
    elif not has_rnn and (model in BUILT_IN or "rnn_type" in section):
        for key in ("rnn_type", "rnn_hidden_dim", "rnn_num_layers"):
            section.pop(key, None)


def _read_noise(name: str, section: dict[str, Any], notes: list[str]) -> None:
    """Convert RSL-RL 4's four keys to a ``distribution_cfg``."""
    keys = ("stochastic", "init_noise_std", "noise_std_type", "state_dependent_std")
    given = {key: section.pop(key) for key in keys if key in section}
    given = {key: value for key, value in given.items() if value is not None}
    telling = {"stochastic": given.get("stochastic"), "init_noise_std": given.get("init_noise_std")}
    if section.get("distribution_cfg") is not None:
        unread = [f"{name}.{key}" for key, value in telling.items() if value not in (None, False)]
        if unread:
            notes.append(f"{' and '.join(unread)} ignored beside {name}.distribution_cfg")
        return
    if not given.get("stochastic", name == "actor" and "init_noise_std" in given):
        return
    section["distribution_cfg"] = gaussian(
        given.get("init_noise_std", 1.0), given.get("noise_std_type"), given.get("state_dependent_std")
    )
    notes.append(f"{', '.join(given)} of {name} are read as its distribution_cfg")


def gaussian(init_std: float, std_type: str | None, state_dependent: bool | None) -> dict[str, Any]:
    """Return the section of the Gaussian that RSL-RL before version 5 described by these keys."""
    kind = "HeteroscedasticGaussianDistribution" if state_dependent else "GaussianDistribution"
    return {"class_name": kind, "init_std": init_std, "std_type": std_type or "scalar"}


def _tidy_distribution(name: str, section: dict[str, Any], notes: list[str]) -> None:
    distribution = section["distribution_cfg"]
    kind = bare_name(distribution.get("class_name"))
    is_gaussian = kind in ("GaussianDistribution", "HeteroscedasticGaussianDistribution")
    if name == "critic" and is_gaussian:
        section["distribution_cfg"] = None
        notes.append("critic.distribution_cfg is ignored: a value is the mean alone")
    elif name == "critic" and kind == "BetaDistribution":
        raise ValueError(
            "critic.distribution_cfg is a BetaDistribution, which would limit values to its action_range. A critic "
            "has no distribution: remove the key, or set it to null."
        )
    elif is_gaussian and distribution.get("init_std") in (0, 0.0):
        bounds = distribution.get("std_range")
        lower = bounds[0] if isinstance(bounds, (list, tuple)) and bounds else 0.0
        distribution["init_std"] = smallest = (
            max(lower, SMALLEST_STD) if isinstance(lower, (int, float)) else SMALLEST_STD
        )
        notes.append(f"{name}.distribution_cfg.init_std 0 is read as {smallest:g}, the smallest value allowed")


def _tidy_encoder(where: str, encoder: Any, notes: list[str]) -> None:
    channels = encoder.get("output_channels")
    layers = len(channels) if isinstance(channels, (list, tuple)) else 0
    for key in PER_LAYER:
        value = encoder.get(key)
        if layers and isinstance(value, (list, tuple)) and len(value) > layers:
            encoder[key] = list(value[:layers])
            notes.append(f"only the first {layers} of {len(value)} entries of {where}.{key} are read, one per layer")
    padding = encoder.get("padding", "none")
    if isinstance(padding, str) and padding not in PADDINGS and not _near(padding, PADDINGS):
        encoder["padding"] = "none"
        notes.append(f"{where}.padding '{padding}' is read as 'none', as RSL-RL does")


def _tidy_schedule(section: dict[str, Any], notes: list[str]) -> None:
    schedule = section["schedule"]
    if schedule in ("adaptive", "fixed") or (isinstance(schedule, str) and _near(schedule, ("adaptive", "fixed"))):
        return  # misspelt names are rejected where the value is read
    if schedule is None or isinstance(schedule, str):
        section["schedule"] = "fixed"
        notes.append(f"algorithm.schedule {schedule!r} is read as 'fixed', as RSL-RL does")


def _near(name: str, allowed: tuple[str, ...]) -> bool:
    return bool(difflib.get_close_matches(name.lower(), allowed, n=1, cutoff=0.8))


def _tidy_rnd(_: dict[str, Any], rnd: dict[str, Any], notes: list[str]) -> None:
    _rename(rnd, "gate_normalization", "state_normalization", "rnd_cfg", notes)
    if isinstance(rnd.get("weight_schedule"), dict):
        _rename(rnd["weight_schedule"], "max_num_steps", "final_step", "rnd_cfg.weight_schedule", notes)


SYMMETRY_KEYS = ("use_data_augmentation", "use_mirror_loss", "data_augmentation_func", "mirror_loss_coeff")


def _tidy_symmetry(section: dict[str, Any], symmetry: dict[str, Any], notes: list[str]) -> None:
    symmetry.pop("_env", None)  # the environment, which RSL-RL 2 and 3 put there themselves
    if any(symmetry.get(key) for key in ("use_data_augmentation", "use_mirror_loss", "mirror_spec")):
        return
    # Anything but RSL-RL's keys is left to the reader, which knows what to say about it.
    if not symmetry.get("data_augmentation_func") and symmetry.keys() <= set(SYMMETRY_KEYS):
        section["symmetry_cfg"] = None
        notes.append("algorithm.symmetry_cfg is ignored: it is switched off and names no function")


def _rename(section: dict[str, Any], old: str, new: str, where: str, notes: list[str]) -> None:
    if old in section and new not in section:
        section[new] = section.pop(old)
        notes.append(f"algorithm.{where}.{old} is read as {new}")
