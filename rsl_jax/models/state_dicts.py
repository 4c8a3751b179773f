"""Conversion between variables and the state dicts of RSL-RL's PyTorch modules.

Only numpy is needed; tensors are accepted as well.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.trees import leaves_by_path, path_of
from rsl_jax.types import Array


class Layout(NamedTuple):
    """Layout of an array in PyTorch and here.

    Attributes:
        ours: conversion from PyTorch's layout to ours.
        theirs: conversion from our layout to PyTorch's.
    """

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


def _permuted(permutations: Mapping[int, tuple[int, ...]]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.transpose(array, permutations.get(array.ndim, range(array.ndim)))


SAME = Layout(lambda array: array, lambda array: array)
TRANSPOSED = Layout(np.transpose, np.transpose)
# Kernels [D, C, H, W] are [H, W, C, D] here, pixels [C, H, W] are [H, W, C]; vectors are unchanged.
CHANNELS_LAST = Layout(_permuted({3: (1, 2, 0), 4: (2, 3, 1, 0)}), _permuted({3: (2, 0, 1), 4: (3, 2, 0, 1)}))
WITHOUT_BATCH = Layout(lambda array: array[0] if array.ndim else array, lambda array: array[None])


class Rule(NamedTuple):
    """Names of an array on both sides, where ``{number}`` counts, ``{even}`` is its double, ``{group}`` is a name.

    Attributes:
        theirs: name in the state dict.
        ours: path of the variable.
        layout: layouts of the two.
    """

    theirs: str
    ours: str
    layout: Layout = SAME


def _linear(theirs: str, ours: str) -> tuple[Rule, ...]:
    # A sequence of linear layers, each but the last followed by its activation: every second index is a layer.
    return (
        Rule(f"{theirs}.{{even}}.weight", f"{ours}/layer_{{number}}/kernel", TRANSPOSED),
        Rule(f"{theirs}.{{even}}.bias", f"{ours}/layer_{{number}}/bias"),
    )


def _normalizer(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{theirs}._mean", f"{ours}/mean", WITHOUT_BATCH),
        Rule(f"{theirs}._var", f"{ours}/var", WITHOUT_BATCH),
        Rule(f"{theirs}.count", f"{ours}/count"),
    )


RULES: tuple[Rule, ...] = (
    *_normalizer("obs_normalizer", "normalizer/obs"),
    # What is configured not to learn is a constant here; RSL-RL keeps it among the parameters.
    Rule("distribution.std_param", "params/distribution/std"),
    Rule("distribution.std_param", "constants/distribution/std"),
    Rule("distribution.log_std_param", "params/distribution/log_std"),
    Rule("distribution.log_std_param", "constants/distribution/log_std"),
    *_linear("mlp", "params/mlp"),
    # Gates are concatenated in the same order: r, z, n of a GRU, i, f, g, o of an LSTM.
    Rule("rnn.rnn.weight_ih_l{number}", "params/rnn/layer_{number}/input_kernel", TRANSPOSED),
    Rule("rnn.rnn.weight_hh_l{number}", "params/rnn/layer_{number}/hidden_kernel", TRANSPOSED),
    Rule("rnn.rnn.bias_ih_l{number}", "params/rnn/layer_{number}/input_bias"),
    Rule("rnn.rnn.bias_hh_l{number}", "params/rnn/layer_{number}/hidden_bias"),
    # Convolutions and normalisations are numbered consecutively; each number has one kind of weight.
    Rule("cnns.{group}.{number}.weight", "params/cnns/{group}/layer_{number}/kernel", CHANNELS_LAST),
    Rule("cnns.{group}.{number}.weight", "params/cnns/{group}/layer_{number}/scale", CHANNELS_LAST),
    Rule("cnns.{group}.{number}.bias", "params/cnns/{group}/layer_{number}/bias", CHANNELS_LAST),
    Rule("cnns.{group}.{number}.running_mean", "batch_statistics/cnns/{group}/layer_{number}/mean"),
    Rule("cnns.{group}.{number}.running_var", "batch_statistics/cnns/{group}/layer_{number}/var"),
    # Random network distillation.
    *_normalizer("state_normalizer", "normalizers/state"),
    *_normalizer("reward_normalizer.emp_norm", "normalizers/reward"),
    *_linear("predictor", "predictor"),
    *_linear("target", "target"),
)
"""A new kind of layer is a line here; in the order in which RSL-RL registers its modules."""

DERIVED = re.compile(r".*(normalizer|emp_norm)\._std|cnns\..*\.num_batches_tracked")
"""Arrays that follow from others, or that no computation uses."""

BUFFER = re.compile(r".*(\._mean|\._var|\._std|\.count|\.running_mean|\.running_var|\.num_batches_tracked)")
"""Names that are not parameters, so that no optimiser counts them."""

_FIELDS = {"number": r"\d+", "even": r"\d*[02468]", "group": r"[^./]+"}


def from_state_dict(
    state_dict: Mapping[str, Any],
    like: Any,
    *,
    strict: bool = True,
    called: Mapping[str, str] | None = None,
) -> Any:
    """Convert a state dict to our variables.

    Args:
        state_dict: arrays (of numpy, or tensors) by PyTorch's names.
        like: variables of one of our models by collection (``params``, ``normalizer``, ...), or some of them. They say
            which arrays are wanted, and their shapes and types.
        strict: whether everything must fit; otherwise an array that does not fit keeps the value of ``like``, with a
            warning.
        called: other names for entries of the state dict, for messages.

    Returns:
        the same tree with the arrays of the state dict.

    Raises:
        ValueError: if the two do not fit and ``strict``: names the arrays that only one of them has, or both
            shapes.
    """
    wanted, called = leaves_by_path(like), called or {}
    found: dict[str, Array] = {}
    unused: list[str] = []
    misshapen: dict[str, str] = {}
    for name, value in state_dict.items():
        targets = _targets(name)
        path = next((target for target in targets if target in wanted), None)
        if path is None:
            if not DERIVED.fullmatch(name):
                unused.append(called.get(name, name))
            continue
        array = targets[path].ours(to_numpy(value))
        if array.shape == wanted[path].shape:
            found[path] = _cast(array, wanted[path])
        else:
            misshapen[path] = (
                f"'{called.get(name, name)}' of the state dict has shape {array.shape}, '{path}' of the model "
                f"{wanted[path].shape} (both in our layout)"
            )
    complaint = _complaint(unused, sorted(wanted.keys() - found.keys() - misshapen.keys()), [*misshapen.values()])
    if complaint and strict:
        raise ValueError(f"This state dict does not fit the model. {complaint}")
    if complaint:
        warnings.warn(f"Parts of a state dict do not fit and are left as they were. {complaint}", stacklevel=2)
    return jax.tree_util.tree_map_with_path(lambda path, leaf: found.get(path_of(path), leaf), like)


def to_state_dict(variables: Any, *, groups: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Convert our variables to a state dict; the inverse of :func:`from_state_dict`.

    Args:
        variables: variables of one of our models by collection, or some of them.
        groups: image groups in the order of the model, which is that of its encoders.

    Returns:
        arrays by PyTorch's names, in the order in which RSL-RL's modules register them.

    Raises:
        ValueError: if RSL-RL has no name for a variable; names it.
    """
    found = []
    for path, leaf in leaves_by_path(variables).items():
        rank, fields = _rule_of(path)
        rule, group = RULES[rank], fields.get("group", "")
        place = groups.index(group) if group in groups else len(groups)
        key = (_section(rule), place, group, int(fields.get("number", 0)), rank)
        found.append((key, _filled(rule.theirs, fields), rule.layout.theirs(np.asarray(leaf))))
    state_dict = {}
    for _, name, array in sorted(found, key=lambda entry: entry[0]):
        state_dict[name] = array
        if name.endswith("._var"):
            state_dict[name.removesuffix("_var") + "_std"] = np.sqrt(array)
        elif name.endswith(".count"):
            state_dict[name] = array.astype(np.int64)
        elif name.endswith(".running_var"):
            # Only a counter: with a fixed momentum PyTorch never uses it.
            state_dict[name.removesuffix("running_var") + "num_batches_tracked"] = np.zeros((), np.int64)
    return state_dict


def to_numpy(value: Any) -> np.ndarray:
    """Convert an array or tensor on any device to numpy."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def listed(names: Iterable[str]) -> str:
    """Format names for a message."""
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def has_place_for(name: str, like: Any) -> bool:
    """Return whether an array of a state dict has a counterpart among variables."""
    return bool(leaves_by_path(like).keys() & _targets(name).keys())


# --- names ------------------------------------------------------------------------------------------------------------


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{piece}>{_FIELDS[piece]})" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    )


def _fields(template: str, text: str) -> dict[str, str] | None:
    """Match a text with a template and return its fields; None if it does not match."""
    match = _pattern(template).fullmatch(text)
    if match is None:
        return None
    fields = match.groupdict()
    if "even" in fields:
        fields["number"] = str(int(fields["even"]) // 2)
    elif "number" in fields:
        fields["even"] = str(2 * int(fields["number"]))
    return fields


def _filled(template: str, fields: Mapping[str, str]) -> str:
    return template.format(**fields)


def _targets(name: str) -> dict[str, Layout]:
    """Return the possible paths of a state dict's array, of which a model has one, and its layout."""
    matches = ((rule, _fields(rule.theirs, name)) for rule in RULES)
    return {_filled(rule.ours, fields): rule.layout for rule, fields in matches if fields is not None}


def _rule_of(path: str) -> tuple[int, dict[str, str]]:
    """Return the index of a variable's rule, and the fields of its path."""
    for rank, rule in enumerate(RULES):
        fields = _fields(rule.ours, path)
        if fields is not None:
            return rank, fields
    raise ValueError(
        f"RSL-RL has no name for the variable '{path}'. Only what MLPModel, RNNModel, CNNModel and curiosity are made "
        "of can be written for it; save custom models as checkpoints of rsl_jax."
    )


def _their_name(path: str) -> str:
    """Return the name of a variable in a state dict, for messages."""
    try:
        rank, fields = _rule_of(path)
    except ValueError:
        return ""
    return f" ({_filled(RULES[rank].theirs, fields)})"


def _section(rule: Rule) -> int:
    """Return the place of the submodule that a rule is about."""
    parts = [other.theirs.partition(".")[0] for other in RULES]
    return parts.index(rule.theirs.partition(".")[0])


def _cast(array: np.ndarray, like: Array) -> Array:
    if np.issubdtype(like.dtype, np.integer):
        array = np.minimum(array, np.iinfo(like.dtype).max)  # they count with 64 bits
    return jnp.asarray(array, like.dtype)


def _complaint(unused: Sequence[str], missing: Sequence[str], misshapen: Sequence[str]) -> str:
    """Describe what does not fit, and what to do; empty if everything fits."""
    sentences = [
        *([f"The model has no place for {listed(unused)}."] if unused else []),
        *(
            ["The state dict does not have " + ", ".join(f"'{p}'{_their_name(p)}" for p in missing) + "."]
            if missing
            else []
        ),
        *([f"{'; '.join(misshapen)}."] if misshapen else []),
    ]
    if not sentences:
        return ""
    advice = "Compare observation groups, the number of actions, hidden_dims, obs_normalization, cnn_cfg and "
    return " ".join([*sentences, advice + "distribution_cfg of the two configs."])
