"""Conversion between the optimiser states that RSL-RL saves and ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.models.state_dicts import from_state_dict, has_place_for, listed, to_numpy, to_state_dict

Names = tuple[str, str]
"""Model and name of a parameter."""

STUDENT, PREDICTOR = "student", "predictor"
"""Learners with their own optimiser: distillation's and RND's."""

MOMENTS: Mapping[str, Mapping[str, str]] = {
    "adam": {"mu": "exp_avg", "nu": "exp_avg_sq"},
    "rmsprop": {"nu": "square_avg"},
    "sgd": {},
}
"""State of a kind of optimiser for each parameter: our name and PyTorch's."""

KINDS: Mapping[str, tuple[str, str]] = {
    "adam": ("adam", "Adam"),
    "adamw": ("adam", "AdamW"),
    "rmsprop": ("rmsprop", "RMSprop"),
    "sgd": ("sgd", "SGD"),
}
"""Kind and PyTorch's class of each of RSL-RL's optimisers."""

_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "maximize": False}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "adam": {**_ADAM, "weight_decay": 0},
    "adamw": {**_ADAM, "weight_decay": 1e-2},
    "rmsprop": {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False, "maximize": False},
    "sgd": {"momentum": 0, "weight_decay": 0, "nesterov": False, "maximize": False},
}
"""Hyper-parameters of our optimisers: PyTorch's defaults."""


# --- reading ----------------------------------------------------------------------------------------------------------


def read_optimizer(
    saved: Mapping[str, Any], order: Sequence[Names], opt_state: Any, *, learner: str = STUDENT, strict: bool = True
) -> tuple[Any, float | None]:
    """Load the moments of a saved optimiser into the state of ours.

    Args:
        saved: ``state`` and ``param_groups`` of a PyTorch optimiser.
        order: model and name of each of its parameters.
        opt_state: state of our optimiser.
        learner: the model whose parameters it has, if only one's.
        strict: whether it must fit; otherwise what does not fit keeps its value, with a warning.

    Returns:
        the new state and the learning rate, if there is one.

    Raises:
        ValueError: if it does not fit and ``strict``.
    """
    try:
        states = _states_by_name(saved, order)
        theirs, ours = _kind_of_saved(states), _kind_of(opt_state)
        if theirs not in (None, ours):
            raise ValueError(
                f"It is of the kind '{theirs}' and this config's of the kind '{ours}'. Set algorithm.optimizer to what "
                "the checkpoint was trained with, or leave it out by load_cfg."
            )
        moments = {theirs: _moments(states, theirs) for theirs in MOMENTS[ours].values()}
        steps = [int(to_numpy(s["step"])) for s in states.values() if "step" in s]
        # Shared encoders are updated twice by each step of RSL-RL, and count twice.
        restored = jax.tree.map(
            lambda node: _with_moments(node, ours, moments, min(steps, default=0), learner),
            opt_state,
            is_leaf=_remembers,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"optimizer_state_dict: {error}"
        if strict:
            raise ValueError(message) from error
        warnings.warn(f"The optimiser is left as it was. {message}", stacklevel=3)
        return opt_state, None
    groups = saved["param_groups"]
    return restored, float(groups[0]["lr"]) if groups else None


def warn_of_settings(saved: Mapping[str, Any], name: str) -> None:
    """Warn if a saved optimiser has other hyper-parameters than ours of this name."""
    for group in saved.get("param_groups", [])[:1]:
        given = {key: value for key, value in group.items() if key in SETTINGS.get(name, {})}
        different = [
            f"{key} {value}, here {SETTINGS[name][key]}"
            for key, value in given.items()
            if not np.array_equal(value, SETTINGS[name][key])
        ]
        if different:
            warnings.warn(
                f"The checkpoint's optimiser had other settings than '{name}': {'; '.join(different)}. Training "
                "continues with the latter; compare algorithm.optimizer of the two configs.",
                stacklevel=3,
            )


def _states_by_name(saved: Mapping[str, Any], order: Sequence[Names]) -> dict[Names, Mapping[str, Any]]:
    ids = [index for group in saved["param_groups"] for index in group["params"]]
    if len(ids) != len(order):  # a list of parameters without duplicates
        order = [(model, name) for model, name in order if not (model == "critic" and name.startswith("cnns."))]
    if len(ids) != len(order):
        raise ValueError(f"It has {len(ids)} parameters, the models of the checkpoint have {len(order)}.")
    return {names: saved["state"].get(index, {}) for names, index in zip(order, ids, strict=True)}


def _kind_of_saved(states: Mapping[Names, Mapping[str, Any]]) -> str | None:
    """Return the kind of a saved optimiser; None if it has no state, as before its first step."""
    remembered = {key for state in states.values() for key, value in state.items() if value is not None} - {"step"}
    for kind, fields in MOMENTS.items():
        if remembered == set(fields.values()):
            return kind if remembered else None
    raise ValueError(
        f"It remembers {listed(sorted(remembered))} of its parameters, which none of {', '.join(KINDS)} does with "
        "PyTorch's defaults."
    )


def _remembers(node: Any) -> bool:
    return "nu" in getattr(node, "_fields", ())


def _kind_of(opt_state: Any) -> str:
    nodes = [node for node in jax.tree.leaves(opt_state, is_leaf=_remembers) if _remembers(node)]
    return "sgd" if not nodes else "adam" if "mu" in nodes[0]._fields else "rmsprop"


def _moments(states: Mapping[Names, Mapping[str, Any]], field: str) -> dict[str, dict[str, Any]]:
    """Return one kind of moments of all parameters that have them, by model and name."""
    found: dict[str, dict[str, Any]] = {}
    for (model, name), state in states.items():
        if field in state:
            found.setdefault(model, {})[name] = state[field]
    return found


def _with_moments(
    node: Any, kind: str, moments: Mapping[str, dict[str, dict[str, Any]]], count: int, learner: str
) -> Any:
    if not _remembers(node):
        return node
    changes = {ours: _tree(getattr(node, ours), moments[theirs], learner) for ours, theirs in MOMENTS[kind].items()}
    if "count" in node._fields:
        changes["count"] = jnp.asarray(count, node.count.dtype)
    return node._replace(**changes)


def _tree(like: Any, moments: Mapping[str, dict[str, Any]], learner: str) -> Any:
    """Convert moments to our structure, zero where an optimiser has not taken a step."""
    if not moments:
        return jax.tree.map(jnp.zeros_like, like)
    parts = {model: _part(model, part, moments.get(model, {})) for model, part in _by_model(like, learner).items()}
    return parts if _is_by_model(like) else parts[learner]


def _part(model: str, like: Any, moments: Mapping[str, Any]) -> Any:
    wanted = _named(model, like)
    # Shared parts have their moments with their owner.
    own = {name: array for name, array in moments.items() if has_place_for(name, wanted)}
    return from_state_dict(own, wanted)[next(iter(wanted))]


def _is_by_model(tree: Mapping[str, Any]) -> bool:
    return "actor" in tree


def _by_model(tree: Any, learner: str) -> Mapping[str, Any]:
    return tree if _is_by_model(tree) else {learner: tree}


def _named(model: str, tree: Any) -> dict[str, Any]:
    """Return the moments of a model in the structure of its parameters."""
    return {model if model == PREDICTOR else "params": tree}


# --- writing ----------------------------------------------------------------------------------------------------------


def write_optimizer(
    name: str,
    opt_state: Any,
    parameters: Mapping[Names, Any],
    *,
    learning_rate: float,
    steps: int,
    learner: str = STUDENT,
) -> dict[str, Any]:
    """Convert the state of our optimiser to PyTorch's format.

    Args:
        name: name of the optimiser.
        opt_state: its state.
        parameters: tensors by model and name, in their order; one that two models share is the same tensor.
        learning_rate: the current learning rate.
        steps: number of steps it has taken, for those of ours that do not count them.
        learner: the model whose parameters it has, if only one's.

    Returns:
        the argument of ``load_state_dict`` of RSL-RL's optimiser.

    Raises:
        ValueError: if RSL-RL does not have the optimiser.
    """
    import torch

    if name.lower() not in KINDS:
        raise ValueError(f"RSL-RL has no optimiser '{name}'; there are {', '.join(KINDS)}.")
    kind, class_name = KINDS[name.lower()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "optimizer contains a parameter group with duplicate parameters")
        optimizer = getattr(torch.optim, class_name)([*parameters.values()], lr=learning_rate)
    remembered = _remembered(opt_state, kind, steps, learner)
    for names in [names for names in parameters if names in remembered]:
        tensors = {key: torch.from_numpy(np.array(value)) for key, value in remembered[names].items()}
        optimizer.state[parameters[names]] = tensors
    return optimizer.state_dict()


def _remembered(opt_state: Any, kind: str, steps: int, learner: str) -> dict[Names, dict[str, np.ndarray]]:
    """Return our optimiser's state for each parameter, by PyTorch's names; nothing before its first step."""
    states: dict[Names, dict[str, np.ndarray]] = {}
    for node in jax.tree.leaves(opt_state, is_leaf=_remembers):
        if not _remembers(node):
            continue
        has_moved = any(np.any(leaf) for leaf in jax.tree.leaves(node.nu))
        taken = int(node.count) if "count" in node._fields else steps * has_moved
        for ours, theirs in MOMENTS[kind].items() if taken else ():
            for model, part in _by_model(getattr(node, ours), learner).items():
                for name, array in to_state_dict(_named(model, part)).items():
                    state = states.setdefault((model, name), {"step": np.asarray(taken, array.dtype)})
                    state[theirs] = array
    return states
