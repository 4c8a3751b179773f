"""Which parts of a checkpoint go into a state."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

from rsl_jax.algorithms.variables import with_variables
from rsl_jax.checkpoint import Checkpoint, restore, restore_state
from rsl_jax.config import BaseRunnerConfig, arguments_of
from rsl_jax.models import resolve_obs_groups
from rsl_jax.types import Algorithm, Spec, TrainState

FIELDS: Mapping[str, tuple[str, ...]] = {"optimizer": ("opt_state", "learning_rate"), "iteration": ("iteration",)}
"""Parts of ``load_cfg`` that are no models or extensions, and the fields of the state that they mean."""


def load_parts(
    state: TrainState,
    checkpoint: Checkpoint,
    load_cfg: Mapping[str, bool] | None,
    *,
    algorithm: Algorithm,
    cfg: BaseRunnerConfig,
    spec: Spec,
    strict: bool,
) -> tuple[TrainState, set[str]]:
    """Put parts of a checkpoint into a state.

    Of a checkpoint of another algorithm the parts are its policy, by the name of the model here that takes its place.

    Args:
        state: the state.
        checkpoint: the checkpoint.
        load_cfg: which parts; None for all there is.
        algorithm: the algorithm here.
        cfg: the config here.
        spec: the environment here.
        strict: whether everything must fit; otherwise what does not stays as it is, with a warning.

    Returns:
        the new state, and the parts that were wanted.

    Raises:
        ValueError: for a part that there is not, or that does not fit and ``strict``.
    """
    there = checkpoint.state["params"]
    same_algorithm = bool(set(there) & set(state.params))
    adopted = {ours: theirs for theirs, ours in algorithm.adopts.items() if theirs in there and not same_algorithm}
    parts = set(adopted) if adopted else {*state.params, *state.extensions, *FIELDS, "loop"}
    if load_cfg is None and not adopted:
        return restore_state(state, checkpoint.state, strict=strict), parts
    wanted = parts if load_cfg is None else {name for name, value in load_cfg.items() if value}
    for part in wanted:
        if part not in parts:
            raise ValueError(
                f"load_cfg names '{part}', which {'this checkpoint' if adopted else 'this algorithm'} does not have. "
                f"Allowed: {', '.join(sorted(parts))}."
            )
        if part in adopted:
            state = adopt(part, adopted[part], state, checkpoint, cfg=cfg, spec=spec, strict=strict)
        elif part != "loop":
            state = _with_part(part, state, checkpoint, strict=strict)
    return state, wanted


def _with_part(part: str, state: TrainState, checkpoint: Checkpoint, *, strict: bool) -> TrainState:
    for name in FIELDS.get(part, ()):
        value = restore(getattr(state, name), checkpoint.state.get(name, {}), strict=strict, what=name)
        state = dataclasses.replace(state, **{name: value})
    for home in ("params", "statistics", "extensions"):
        if part in getattr(state, home):
            saved = checkpoint.state.get(home, {}).get(part, {})
            value = restore(getattr(state, home)[part], saved, strict=strict, what=f"{part}'s {home}")
            changed: dict[str, Any] = {home: {**getattr(state, home), part: value}}
            state = dataclasses.replace(state, **changed)
    return state


def adopt(
    name: str,
    theirs: str,
    state: TrainState,
    checkpoint: Checkpoint,
    *,
    cfg: BaseRunnerConfig,
    spec: Spec,
    strict: bool,
) -> TrainState:
    """The state with a model's variables, normaliser included, from a checkpoint of another algorithm.

    Args:
        name: the model here.
        theirs: its name in the checkpoint.
        state: the state.
        checkpoint: the checkpoint.
        cfg: the config here.
        spec: the environment here.
        strict: whether everything must fit; otherwise what does not stays as it is, with a warning.

    Raises:
        ValueError: if the two models do not fit and ``strict``; says in what they differ.
    """
    their_cfg = BaseRunnerConfig.from_dict(checkpoint.metadata["config"])
    their_shapes = {group: tuple(shape) for group, shape in checkpoint.metadata["environment"]["observations"].items()}
    here, there = _groups(cfg, spec.observations, name), _groups(their_cfg, their_shapes, theirs)
    differences = _different_layers(getattr(cfg, name), getattr(their_cfg, theirs))
    if list(here.values()) != list(there.values()):
        differences.insert(0, f"observation groups {_listed(here)} against {_listed(there)}")
    elif list(here) != list(there):
        warnings.warn(
            f"The {name} looks at {_listed(here)}, and was trained as the {theirs} on {_listed(there)}. The sizes fit; "
            "make sure that they hold the same.",
            stacklevel=4,
        )
    if differences and strict:
        raise ValueError(
            f"The checkpoint's {theirs} does not fit the {name} of this config: {'; '.join(differences)}. Give the "
            f"section '{name}' and obs_groups['{name}'] what the {theirs} was trained with (the checkpoint's metadata "
            "hold its config)."
        )
    variables = {"params": checkpoint.state["params"][theirs], **checkpoint.state.get("statistics", {}).get(theirs, {})}
    return with_variables(state, name, variables, strict=strict)


def _groups(cfg: BaseRunnerConfig, shapes: Mapping[str, tuple[int, ...]], obs_set: str) -> dict[str, tuple[int, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever there is to say of a missing set was said when the model was built
        groups = resolve_obs_groups(list(shapes), cfg.obs_groups, [obs_set])[obs_set]
    return {group: tuple(shapes[group]) for group in groups}


def _different_layers(here: Any, there: Any) -> list[str]:
    ours, theirs = ({"class_name": cfg.class_name, **arguments_of(cfg)} for cfg in (here, there))
    names = [name for name in {**ours, **theirs} if name != "distribution_cfg"]
    missing = "nothing"
    return [
        f"{name} {ours.get(name, missing)} against {theirs.get(name, missing)}"
        for name in names
        if ours.get(name, missing) != theirs.get(name, missing)
    ]


def _listed(groups: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"'{name}' {list(shape)}" for name, shape in groups.items())
