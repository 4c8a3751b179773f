"""Reads what RSL-RL trained: its state dicts, by their PyTorch names, into the variables of our models.

Only numpy is needed. A checkpoint of RSL-RL is a pickle, which is why opening it is left to PyTorch::

    checkpoint = torch.load("model_1500.pt", weights_only=True, map_location="cpu")
    state = train_state_from_checkpoint(checkpoint, algorithm.init(key))
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.extensions.rnd import RndState
from rsl_jax.trees import leaves_by_name, path_name
from rsl_jax.types import Array, TrainState


class Rule(NamedTuple):
    """Where arrays of a name go.

    Attributes:
        pattern: of the PyTorch name, matched as a whole.
        targets: ``(match) -> paths`` of the variable, of which the model has one; none for what needs no keeping.
        convert: from PyTorch's layout to ours.
    """

    pattern: str
    targets: Callable[[re.Match[str]], tuple[str, ...]]
    convert: Callable[[np.ndarray], np.ndarray] = lambda array: array


def _mlp_layer(match: re.Match[str]) -> str:
    # A sequence of linear layers, each but the last followed by its activation: every second index is a layer.
    return f"params/mlp/layer_{int(match['index']) // 2}"


def _recurrent_layer(match: re.Match[str]) -> tuple[str, ...]:
    side, part = {"ih": "input", "hh": "hidden"}[match["side"]], {"weight": "kernel", "bias": "bias"}[match["part"]]
    return (f"params/rnn/layer_{match['index']}/{side}_{part}",)


def _encoder(collection: str, *names: str) -> Callable[[re.Match[str]], tuple[str, ...]]:
    # Convolutions and normalisations are numbered in a row; what stands at a number has one of the names.
    return lambda match: tuple(f"{collection}/cnns/{match['group']}/layer_{match['index']}/{name}" for name in names)


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Kernels ``[D, C, H, W]`` to ``[H, W, C, D]``, pixels ``[C, H, W]`` to ``[H, W, C]``; a vector stays one."""
    return np.transpose(array, {1: (0,), 3: (1, 2, 0), 4: (2, 3, 1, 0)}[array.ndim])


def _distribution(match: re.Match[str]) -> tuple[str, ...]:
    # What is configured not to learn is a constant with us; RSL-RL keeps it among the parameters.
    return tuple(f"{collection}/distribution/{match['name']}" for collection in ("params", "constants"))


def _normalizer(match: re.Match[str]) -> tuple[str, ...]:
    return (f"normalizer/obs/{match['moment']}",)


def _rnd_layer(match: re.Match[str]) -> str:
    return f"{match['network']}/layer_{int(match['index']) // 2}"


def _rnd_normalizer(match: re.Match[str]) -> tuple[str, ...]:
    return (f"normalizers/{match['of']}/{match['moment']}",)


RND_NETWORK = r"(?P<network>predictor|target)\.(?P<index>\d+)\."
RND_NORMALIZER = r"(?P<of>state|reward)_normalizer\.(emp_norm\.)?"
ENCODER = r"cnns\.(?P<group>[^.]+)\.(?P<index>\d+)\."

RULES: tuple[Rule, ...] = (
    Rule(r"mlp\.(?P<index>\d+)\.weight", lambda match: (f"{_mlp_layer(match)}/kernel",), np.transpose),
    Rule(r"mlp\.(?P<index>\d+)\.bias", lambda match: (f"{_mlp_layer(match)}/bias",)),
    # Gates stand side by side in the same order: r, z, n of a GRU, i, f, g, o of an LSTM.
    Rule(r"rnn\.rnn\.(?P<part>weight|bias)_(?P<side>ih|hh)_l(?P<index>\d+)", _recurrent_layer, np.transpose),
    Rule(ENCODER + "weight", _encoder("params", "kernel", "scale"), _channels_last),
    Rule(ENCODER + "bias", _encoder("params", "bias"), _channels_last),
    Rule(ENCODER + "running_mean", _encoder("batch_statistics", "mean")),
    Rule(ENCODER + "running_var", _encoder("batch_statistics", "var")),
    Rule(ENCODER + "num_batches_tracked", lambda match: ()),
    Rule(r"distribution\.(?P<name>std|log_std)_param", _distribution),
    Rule(r"obs_normalizer\._(?P<moment>mean|var)", _normalizer, lambda array: array[0]),
    Rule(r"obs_normalizer\.(?P<moment>count)", _normalizer),
    Rule(r"obs_normalizer\._std", lambda match: ()),
    Rule(RND_NETWORK + "weight", lambda match: (f"{_rnd_layer(match)}/kernel",), np.transpose),
    Rule(RND_NETWORK + "bias", lambda match: (f"{_rnd_layer(match)}/bias",)),
    Rule(RND_NORMALIZER + r"_(?P<moment>mean|var)", _rnd_normalizer, lambda array: array[0]),
    Rule(RND_NORMALIZER + r"(?P<moment>count)", _rnd_normalizer),
    Rule(RND_NORMALIZER + "_std", lambda match: ()),
)
"""A new kind of layer is a line here."""


def params_from_state_dict(state_dict: Mapping[str, Any], like: Any) -> Any:
    """Bring a state dict of one of RSL-RL's models into the shape of one of ours.

    Args:
        state_dict: arrays (of numpy, or tensors) by RSL-RL's names.
        like: variables of our model by collection (``params``, ``normalizer``, ...) as its ``init`` gives them; or some
            of the collections, for a part of the model. They say which arrays are wanted, and their shapes and types.

    Returns:
        the same tree with the arrays of the state dict.

    Raises:
        ValueError: if the two do not fit: names the arrays that one has and the other has not, or the shapes.
    """
    wanted = leaves_by_name(like)
    found: dict[str, Array] = {}
    unused = []
    for name, value in state_dict.items():
        rule, targets = _rule_of(name)
        path = next((target for target in targets if target in wanted), None)
        if path is not None and rule is not None:
            found[path] = _fitted(rule.convert(_to_numpy(value)), wanted[path], name, path)
        elif targets:
            unused.append(name)
    missing = sorted(set(wanted) - set(found))
    if unused or missing:
        raise ValueError(
            "This state dict does not fit the model. "
            + (f"The model has no place for {_listed(unused)}. " if unused else "")
            + (f"The state dict does not have {_listed(missing)}. " if missing else "")
            + "Compare hidden_dims, obs_normalization, cnn_cfg and distribution_cfg of the two configs."
        )
    return jax.tree_util.tree_map_with_path(lambda path, _: found[path_name(path)], like)


def rnd_from_state_dict(state_dict: Mapping[str, Any], state: RndState) -> RndState:
    """Put predictor, target and normalisers of RSL-RL's curiosity into ours.

    Its optimiser, its count of steps (which a weight schedule goes by) and the discounted sums of rewards start anew;
    RSL-RL does not save the last two.

    Args:
        state_dict: arrays by RSL-RL's names.
        state: as the extension's ``init`` gives it.

    Raises:
        ValueError: if the two do not fit; see :func:`params_from_state_dict`.
    """
    parts = {name: getattr(state, name) for name in ("predictor", "target", "normalizers")}
    return dataclasses.replace(state, **params_from_state_dict(state_dict, parts))


def train_state_from_checkpoint(checkpoint: Mapping[str, Any], state: TrainState) -> TrainState:
    """Put the actor and critic of an RSL-RL checkpoint, and their normalisers, into a training state.

    The optimiser starts anew, at the learning rate where RSL-RL's stood. Curiosity comes along where both have it.

    Args:
        checkpoint: what RSL-RL saved, loaded by PyTorch: ``actor_state_dict``, ``critic_state_dict`` and, where
            they are there, ``optimizer_state_dict``, ``rnd_state_dict`` and ``iter``.
        state: a state of the algorithm that goes on from there, as its ``init`` gives it.

    Returns:
        the state with the checkpoint's parameters, normalisers, learning rate and iteration.

    Raises:
        ValueError: if a part is not there, or does not fit the model.
    """
    params, statistics, extensions = dict(state.params), dict(state.statistics), dict(state.extensions)
    for name in state.params:
        key = f"{name}_state_dict"
        if key not in checkpoint:
            raise ValueError(
                f"The checkpoint has no '{key}', only {_listed(checkpoint)}. RSL-RL 5 writes one; a checkpoint of an "
                "earlier version must be loaded and saved again by version 5."
            )
        like = {"params": params[name], **statistics[name]}
        owner = checkpoint.get("actor_state_dict", {}) if name != "actor" else {}
        try:
            variables = params_from_state_dict(_without_shared(checkpoint[key], owner, like), like)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        params[name] = variables.pop("params")
        statistics[name] = variables
    if "rnd" in extensions and "rnd_state_dict" in checkpoint:
        try:
            extensions["rnd"] = rnd_from_state_dict(checkpoint["rnd_state_dict"], extensions["rnd"])
        except ValueError as error:
            raise ValueError(f"rnd_state_dict: {error}") from error
    groups = checkpoint.get("optimizer_state_dict", {}).get("param_groups", [])
    learning_rate = groups[0]["lr"] if groups else state.learning_rate
    return dataclasses.replace(
        state,
        params=params,
        statistics=statistics,
        extensions=extensions,
        learning_rate=jnp.asarray(learning_rate, state.learning_rate.dtype),
        iteration=jnp.asarray(checkpoint.get("iter", state.iteration), state.iteration.dtype),
    )


def _without_shared(state_dict: Mapping[str, Any], owner: Mapping[str, Any], like: Any) -> dict[str, Any]:
    """A state dict without the encoders that are its owner's, and have no place in the model that borrows them."""
    wanted = leaves_by_name(like)

    def is_borrowed(name: str) -> bool:
        known = name.startswith("cnns.") and name in owner and not wanted.keys() & set(_rule_of(name)[1])
        return known and np.array_equal(_to_numpy(state_dict[name]), _to_numpy(owner[name]))

    return {name: array for name, array in state_dict.items() if not is_borrowed(name)}


def _rule_of(name: str) -> tuple[Rule | None, tuple[str, ...]]:
    """The rule for a name and where it may go; without a rule only its own name."""
    for rule in RULES:
        match = re.fullmatch(rule.pattern, name)
        if match:
            return rule, rule.targets(match)
    return None, (name,)


def _fitted(array: np.ndarray, like: Array, name: str, path: str) -> Array:
    if array.shape != like.shape:
        raise ValueError(
            f"'{name}' of the state dict has shape {array.shape}, '{path}' of the model {like.shape} (both in our "
            "layout). Compare hidden_dims, observation groups and the number of actions of the two."
        )
    return jnp.asarray(array, like.dtype)


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "nothing"
