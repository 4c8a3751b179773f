"""Loading into a :class:`TrainState`: a checkpoint, parts of one, the variables of a model."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import jax

from rsl_jax.algorithms.variables import DISTRIBUTION, variables_of
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.keys import Part
from rsl_jax.config.sections import read_section
from rsl_jax.metadata import Metadata
from rsl_jax.models import resolve_obs_groups
from rsl_jax.plain import to_plain
from rsl_jax.registry import library_name
from rsl_jax.trees import restore
from rsl_jax.trusted import reading_run
from rsl_jax.types import Algorithm, Spec, TrainState

FIELDS: Mapping[str, tuple[str, ...]] = {"optimizer": ("opt_state", "learning_rate"), "iteration": ("iteration",)}
"""Parts of ``load_cfg`` that are not models or extensions, and the corresponding fields of the state."""

HOMES = ("params", "statistics", "extensions")
"""Fields of the state with entries by the name of models and extensions."""


def load_parts(
    state: TrainState,
    arrays: Mapping[str, Any],
    run: Metadata,
    load_cfg: Mapping[str, bool] | None,
    *,
    algorithm: Algorithm,
    cfg: BaseRunnerConfig,
    spec: Spec,
    strict: bool,
) -> tuple[TrainState, set[str]]:
    """Load parts of a checkpoint into a state.

    From a checkpoint of another algorithm only the policy is loaded, under the name of the model here that takes its
    place.

    Args:
        state: the state.
        arrays: the checkpoint's state, as nested dicts.
        run: the checkpoint's metadata.
        load_cfg: which parts; None for all there are.
        algorithm: the algorithm here.
        cfg: the config here.
        spec: the environment here.
        strict: whether everything must fit; otherwise a part that does not fit keeps its value, with a warning.

    Returns:
        the new state, and the requested parts.

    Raises:
        ValueError: for an unknown part, or one that does not fit and ``strict``; if there are no parameters.
    """
    there = arrays.get("params")
    if not isinstance(there, Mapping):
        raise ValueError(f"The checkpoint has no parameters. It has: {', '.join(map(str, arrays)) or 'nothing'}.")
    same_algorithm = bool(set(there) & set(state.params))
    adopted = {ours: theirs for theirs, ours in algorithm.adopts.items() if theirs in there and not same_algorithm}
    parts = set(adopted) if adopted else {*state.params, *state.extensions, *FIELDS, "loop"}
    if load_cfg is None and not adopted:
        return restore_state(state, arrays, strict=strict), parts
    wanted = parts if load_cfg is None else {name for name, value in load_cfg.items() if value}
    for part in wanted:
        if part not in parts:
            raise ValueError(
                f"load_cfg names '{part}', which {'this checkpoint' if adopted else 'this algorithm'} does not have. "
                f"Allowed: {', '.join(sorted(parts))}."
            )
        if part in adopted:
            check_adoption(part, adopted[part], run, algorithm=algorithm, cfg=cfg, spec=spec, strict=strict)
            theirs = {"params": there[adopted[part]], **arrays.get("statistics", {}).get(adopted[part], {})}
            state = with_variables(state, part, theirs, strict=strict)
    return state if adopted else restore_state(state, arrays, parts=wanted, strict=strict), wanted


def restore_state(
    template: TrainState, arrays: Mapping[str, Any], *, parts: Collection[str] | None = None, strict: bool = True
) -> TrainState:
    """Restore saved arrays into a training state.

    The memory of each environment in a whole state is restored as far as it fits; it stays the template's
    where the number of environments differs.

    Args:
        template: the state; gives structure, shapes and types.
        arrays: a saved state, as nested dicts.
        parts: names of models, extensions and of :data:`FIELDS` to restore; everything if None. Others are
            ignored.
        strict: whether everything must fit; otherwise a part that does not fit keeps its value, with a warning.

    Raises:
        ValueError: if something does not fit and ``strict``; lists what.
    """
    if parts is None:
        state, memory = dataclasses.replace(template, memory={}), arrays.get("memory", {})
        state = restore(state, {name: part for name, part in arrays.items() if name != "memory"}, strict=strict)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dataclasses.replace(state, memory=restore(template.memory, memory, strict=False))
    changed: dict[str, Any] = {}
    for name in (name for part in parts for name in FIELDS.get(part, ())):
        changed[name] = restore(getattr(template, name), arrays.get(name, {}), strict=strict, what=name)
    for home in HOMES:
        here, there = dict(getattr(template, home)), arrays.get(home, {})
        for part in here.keys() & set(parts):
            here[part] = restore(here[part], there.get(part, {}), strict=strict, what=f"{part}'s {home}")
        changed[home] = here
    return dataclasses.replace(template, **changed)


def with_variables(state: TrainState, name: str, variables: Mapping[str, Any], *, strict: bool = True) -> TrainState:
    """Return the state with other variables for a model, whatever their source.

    Variables of the action noise alone are replaced where both have them, and else stay unchanged.

    Args:
        state: the state; gives structure, shapes and types.
        name: the model.
        variables: all its collections, as :func:`rsl_jax.algorithms.variables.variables_of` returns them.
        strict: whether everything must fit; otherwise a part that does not fit keeps its value, with a warning.

    Raises:
        ValueError: if there is no such model, or something does not fit and ``strict``; lists what.
    """
    if name not in state.params:
        raise ValueError(f"There is no model '{name}' here. There are: {', '.join(state.params)}.")
    like = variables_of(state, name)
    collections = restore(like, _with_distribution_of(like, variables), strict=strict, what=f"'{name}' that is given")
    params = {**state.params, name: collections.pop("params")}
    return dataclasses.replace(state, params=params, statistics={**state.statistics, name: collections})


def check_adoption(
    name: str,
    theirs: str,
    run: Metadata,
    *,
    algorithm: Algorithm,
    cfg: BaseRunnerConfig,
    spec: Spec,
    strict: bool,
) -> None:
    """Check that a model of another algorithm fits the model here that it is loaded into.

    Args:
        name: the model here.
        theirs: the name of the other model.
        run: the other model's run.
        algorithm: the algorithm here.
        cfg: the config here.
        spec: the environment here.
        strict: whether the two must fit.

    Raises:
        ValueError: if they do not fit and ``strict``; says how they differ.
    """
    here = _shapes_of_groups(getattr(algorithm, "obs_groups", cfg.obs_groups), spec.observations, name)
    there = _shapes_of_groups(run.obs_groups, run.spec.observations, theirs)
    differences = _different_layers(getattr(cfg, name), run.section(theirs), theirs)
    if list(here.values()) != list(there.values()):
        differences.insert(0, f"observation groups {_listed(here)} against {_listed(there)}")
    elif list(here) != list(there):
        warnings.warn(
            f"The {name} observes {_listed(here)}, and was trained as the {theirs} on {_listed(there)}. The sizes fit; "
            "make sure that their contents are the same.",
            stacklevel=4,
        )
    if differences and strict:
        raise ValueError(
            f"The checkpoint's {theirs} does not fit the {name} of this config: {'; '.join(differences)}. Give the "
            f"section '{name}' and obs_groups['{name}'] what the {theirs} was trained with (the checkpoint's metadata "
            "hold its config)."
        )


def _with_distribution_of(like: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for collection in {**variables, **like}:
        given, own = dict(variables.get(collection, {})), like.get(collection, {})
        if str(jax.tree.structure(given.get(DISTRIBUTION))) != str(jax.tree.structure(own.get(DISTRIBUTION))):
            given.pop(DISTRIBUTION, None)
            given |= {DISTRIBUTION: own[DISTRIBUTION]} if DISTRIBUTION in own else {}
        result[collection] = given
    return result


def _shapes_of_groups(
    obs_groups: Mapping[str, tuple[str, ...]], shapes: Mapping[str, tuple[int, ...]], obs_set: str
) -> dict[str, tuple[int, ...]]:
    # Warnings about a missing set were given when the model was built.
    groups = resolve_obs_groups(list(shapes), obs_groups, [obs_set], warn=False)[obs_set]
    return {group: tuple(shapes[group]) for group in groups}


def _different_layers(here: Any, there: Mapping[str, Any], theirs: str) -> list[str]:
    """Describe how a model's section differs from one in metadata; nothing that it names is imported."""
    saved = {name: value for name, value in there.items() if name != "distribution_cfg"}
    if library_name(saved.get("class_name", "MLPModel"), "model") is not None:
        with reading_run("The checkpoint's metadata"):
            saved = to_plain(read_section(Part("model", default="MLPModel"), saved, theirs))
    ours = to_plain(here)
    names = [name for name in {**ours, **saved} if name != "distribution_cfg"]
    missing = "nothing"
    return [
        f"{name} {ours.get(name, missing)} against {saved.get(name, missing)}"
        for name in names
        if ours.get(name, missing) != saved.get(name, missing)
    ]


def _listed(groups: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"'{group}' {list(shape)}" for group, shape in groups.items())
