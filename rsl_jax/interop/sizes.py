"""Sizes of an environment from an RSL-RL checkpoint, which contains no config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.interop.layouts import Checkpoint, todays_layout
from rsl_jax.models import build_distribution
from rsl_jax.models.state_dicts import listed, to_numpy
from rsl_jax.types import Spec

Shapes = dict[str, tuple[int, ...]]

POLICIES = ("actor", "student")
"""Models that act."""


def spec_of_checkpoint(
    content: Mapping[str, Any],
    cfg: BaseRunnerConfig,
    *,
    observations: Mapping[str, tuple[int, ...]],
    num_envs: int,
) -> Spec:
    """Return the spec of the environment that a checkpoint was trained in.

    Sizes of observation groups that are not given follow from the models' inputs where only one possibility is left.

    Args:
        content: what RSL-RL saved.
        cfg: the config of the run; its ``obs_groups`` give the groups of each model.
        observations: shapes of groups, as far as they are known.
        num_envs: number of environments.

    Raises:
        ValueError: if a size cannot be determined; names the groups.
    """
    checkpoint = todays_layout(content)
    policy = next((name for name in POLICIES if name in checkpoint.models), None)
    if policy is None:
        raise ValueError(f"There is no policy in this checkpoint, only {listed(content)}. Is it one of RSL-RL's?")
    return Spec(
        observations=_observations(checkpoint, cfg, observations),
        num_actions=_num_actions(checkpoint.models[policy], getattr(cfg, policy)),
        num_envs=num_envs,
        step_dt=1.0,  # it only scales the weight of the intrinsic reward, which is not collected here
    )


def _observations(checkpoint: Checkpoint, cfg: BaseRunnerConfig, given: Mapping[str, tuple[int, ...]]) -> Shapes:
    known: Shapes = {name: tuple(shape) for name, shape in given.items()}
    inputs = {name: _input_size(arrays) for name, arrays in checkpoint.models.items()}
    if "rnd_state_dict" in checkpoint.content:
        inputs["rnd_state"] = _columns(checkpoint.content["rnd_state_dict"], "predictor.0.weight")
    groups = {name: _groups(name, cfg, known) for name in inputs}
    for _ in groups:  # each pass may determine what another set lacked
        for name, size in inputs.items():
            unknown = [group for group in groups[name] if group not in known]
            if size is not None and len(unknown) == 1:
                vectors = [known[g][0] for g in groups[name] if g in known and len(known[g]) == 1]
                known[unknown[0]] = (size - sum(vectors),)
    missing = sorted({group for names in groups.values() for group in names if group not in known})
    if missing:
        sums = [f"{name} sees {size} numbers in all" for name, size in inputs.items() if size is not None]
        raise ValueError(
            f"The sizes of these observation groups do not follow from the file: {listed(missing)} "
            f"({', '.join(sums) or 'nothing but images'}). Give them, for example {missing[0]}=48, or "
            f"{missing[0]}=3,64,64 for an image."
        )
    return known


def _groups(name: str, cfg: BaseRunnerConfig, known: Shapes) -> tuple[str, ...]:
    return tuple(cfg.obs_groups.get(name, (name,) if name in known else ("policy",)))


def _input_size(arrays: Mapping[str, Any]) -> int | None:
    """Return the size of a model's input beside images; None if it is unknown."""
    if "obs_normalizer._mean" in arrays:
        return _columns(arrays, "obs_normalizer._mean")
    if any(name.startswith("cnns.") for name in arrays):
        return None
    return _columns(arrays, "rnn.rnn.weight_ih_l0") or _columns(arrays, "mlp.0.weight")


def _columns(arrays: Mapping[str, Any], name: str) -> int | None:
    return int(to_numpy(arrays[name]).shape[-1]) if name in arrays else None


def _num_actions(arrays: Mapping[str, Any], section: Any) -> int:
    layers = [name for name in arrays if name.startswith("mlp.") and name.endswith(".bias")]
    if not layers:
        raise ValueError("The policy of this checkpoint has no MLP, so it is not one of RSL-RL's models.")
    outputs = to_numpy(arrays[layers[-1]]).size
    distribution_cfg = getattr(section, "distribution_cfg", None)
    an_action = build_distribution(distribution_cfg, 1).output_dim if distribution_cfg is not None else 1
    return outputs // math.prod((an_action,) if isinstance(an_action, int) else an_action)
