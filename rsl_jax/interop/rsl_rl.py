"""Conversion between RSL-RL's checkpoints and our training states.

A checkpoint of RSL-RL is a dict of state dicts. :func:`from_rsl_rl` and :func:`to_rsl_rl` translate between such a
dict and a :class:`TrainState`; :func:`read_rsl_rl_checkpoint` and :func:`write_rsl_rl_checkpoint` do it with files, for
which PyTorch must be installed. ``docs/checkpoints_rsl_rl.md`` says what is kept.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rsl_jax.config import BaseRunnerConfig, DistillationConfig, PPOConfig
from rsl_jax.extensions.rnd import RndState
from rsl_jax.interop.files import SUFFIX, import_torch, read_file, write_file
from rsl_jax.interop.layouts import MODELS, Checkpoint, todays_layout
from rsl_jax.interop.optimizers import PREDICTOR, read_optimizer, warn_of_settings, write_optimizer
from rsl_jax.models import ENCODERS
from rsl_jax.models.state_dicts import (
    BUFFER,
    from_state_dict,
    has_place_for,
    listed,
    to_numpy,
    to_state_dict,
)
from rsl_jax.registry import nearest
from rsl_jax.types import TrainState

OWNER = "actor"
"""The model that owns shared encoders."""

SPREAD = "distribution"
"""Parameters of the action noise; no deterministic output depends on them."""

NO_ADOPTIONS: Mapping[str, str] = MappingProxyType({})


class Loaded(NamedTuple):
    """Contents of a checkpoint of RSL-RL.

    Attributes:
        state: the training state.
        iteration: RSL-RL's ``iter``; None if it was not requested.
        infos: what the user had saved with it.
        parts: loaded parts: models, ``optimizer``, ``iteration``, ``rnd``.
    """

    state: TrainState
    iteration: int | None
    infos: Any
    parts: frozenset[str]


# --- files ------------------------------------------------------------------------------------------------------------


def is_rsl_rl_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an RSL-RL checkpoint, by its ending; our checkpoints are folders."""
    return Path(path).suffix == SUFFIX and not Path(path).is_dir()


def read_rsl_rl_checkpoint(
    path: str | os.PathLike[str],
    state: TrainState,
    *,
    cfg: BaseRunnerConfig | None = None,
    adopts: Mapping[str, str] = NO_ADOPTIONS,
    load_cfg: Mapping[str, bool] | None = None,
    strict: bool = True,
) -> Loaded:
    """Read a checkpoint of RSL-RL 1 to 5 into a training state; see :func:`from_rsl_rl` for the other arguments.

    Args:
        path: the file.
        state: a state of the algorithm to load into.
        cfg: the config here, to compare settings of the optimiser; they are not compared if None.
        adopts: see ``Algorithm.adopts``.
        load_cfg: which parts; None for all there are.
        strict: whether everything must fit.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if PyTorch is not installed.
        ValueError: if it is damaged, holds anything but tensors and plain containers, or does not fit.
    """
    content = read_file(path)
    try:
        return from_rsl_rl(content, state, cfg=cfg, adopts=adopts, load_cfg=load_cfg, strict=strict)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_rsl_rl_checkpoint(
    path: str | os.PathLike[str], state: TrainState, cfg: BaseRunnerConfig, *, iteration: int, infos: Any = None
) -> Path:
    """Write a training state as a checkpoint that RSL-RL 5 loads; see :func:`to_rsl_rl` for the arguments.

    Args:
        path: the file; one of the same name is replaced.
        state: the state.
        cfg: the config that it was trained with.
        iteration: the last finished iteration, counted from 0.
        infos: user data of tensors and plain containers.

    Returns:
        the path.

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if RSL-RL has no name for something.
        TypeError: if ``infos`` holds anything else.
    """
    import_torch(f"Writing '{Path(path).name}'")
    return write_file(path, to_rsl_rl(state, cfg, iteration=iteration, infos=infos))


# --- reading ----------------------------------------------------------------------------------------------------------


def from_rsl_rl(
    content: Mapping[str, Any],
    state: TrainState,
    *,
    cfg: BaseRunnerConfig | None = None,
    adopts: Mapping[str, str] = NO_ADOPTIONS,
    load_cfg: Mapping[str, bool] | None = None,
    strict: bool = True,
) -> Loaded:
    """Load what RSL-RL saved into a training state.

    Args:
        content: the dict that RSL-RL saved, of any version.
        state: a state of the algorithm to load into, as its ``init`` returns it.
        cfg: the config here, to compare settings of the optimiser; they are not compared if None.
        adopts: for models of another algorithm, by name, the model here that their variables are loaded into:
            a PPO actor becomes the teacher of distillation. Then nothing else is loaded.
        load_cfg: which parts to load: models by name, ``optimizer`` (with the learning rate), ``iteration`` and
            ``rnd``; None for all there is. As in RSL-RL, what the algorithm here does not have is ignored.
        strict: whether everything must fit; otherwise what does not fit keeps its value, with a warning.

    Returns:
        the new state, and what does not belong to it.

    Raises:
        ValueError: if a requested part is missing, or does not fit and ``strict``.
    """
    checkpoint = todays_layout(content)
    has_own = bool(checkpoint.models.keys() & state.params.keys())
    adopted = {ours: theirs for theirs, ours in adopts.items() if theirs in checkpoint.models and not has_own}
    parts = _wanted(state, adopted, load_cfg)
    for name in [name for name in state.params if name in parts]:
        theirs = adopted.get(name, name)
        state = _with_model(state, name, theirs, checkpoint, strict=strict, spread_counts=name == theirs != "teacher")
    if "rnd" in parts:
        state = _with_rnd(state, content, strict=strict)
    if "optimizer" in parts:
        state = _with_optimizer(state, checkpoint, cfg, strict=strict)
    iteration = None
    if "iteration" in parts:
        iteration = _iteration(content.get("iter", int(state.iteration)))
        state = dataclasses.replace(state, iteration=jnp.asarray(iteration, state.iteration.dtype))
    return Loaded(state, iteration, content.get("infos"), frozenset(parts))


def _wanted(state: TrainState, adopted: Mapping[str, str], load_cfg: Mapping[str, bool] | None) -> set[str]:
    here = {*state.params, "optimizer", "iteration"}
    if isinstance(state.extensions.get("rnd"), RndState):
        here.add("rnd")
    there = set(adopted) if adopted else here
    if load_cfg is None:
        return there
    known = {*MODELS, *here, "rnd"}
    for name, value in load_cfg.items():
        if name not in known:
            raise ValueError(
                f"load_cfg names '{name}', which no checkpoint of RSL-RL has. Allowed: {', '.join(sorted(here))}."
                f"{nearest(name, here)}"
            )
        if value and adopted and name in here - there:
            raise ValueError(
                f"load_cfg names '{name}', which this checkpoint of another algorithm does not have for this one. "
                f"Allowed: {', '.join(sorted(there))}."
            )
    return {name for name in there if load_cfg.get(name)}


def _with_model(
    state: TrainState, name: str, theirs: str, checkpoint: Checkpoint, *, strict: bool, spread_counts: bool
) -> TrainState:
    """Return the state with a model's parameters and normaliser."""
    if theirs not in checkpoint.models:
        raise ValueError(
            f"The checkpoint has no '{theirs}_state_dict', only {listed(checkpoint.content)}"
            + (f", with nothing of a model '{theirs}' in it" if "model_state_dict" in checkpoint.content else "")
            + ". RSL-RL saves one for each model of its algorithm; is this a checkpoint of another library, or of "
            "another algorithm?"
        )
    like = {"params": state.params[name], **state.statistics[name]}
    arrays = _without_borrowed(checkpoint, theirs, like)
    wanted = like
    if not spread_counts:
        arrays, wanted = _without_spread(arrays, like)
    home = "model" if "model_state_dict" in checkpoint.content else theirs
    try:
        variables = from_state_dict(arrays, wanted, strict=strict, called=checkpoint.called[theirs])
    except ValueError as error:
        raise ValueError(f"{home}_state_dict: {error}") from error
    variables = {collection: {**like[collection], **part} for collection, part in variables.items()}
    params = variables.pop("params")
    return dataclasses.replace(
        state,
        params={**state.params, name: params},
        statistics={**state.statistics, name: {**state.statistics[name], **variables}},
    )


def _without_borrowed(checkpoint: Checkpoint, model: str, like: Any) -> dict[str, Any]:
    """Remove another model's encoders from a state dict, as the model that shares them does not store them."""
    arrays = checkpoint.models[model]
    owned = checkpoint.models.get(OWNER, {}) if model != OWNER else {}

    def is_borrowed(name: str) -> bool:
        if not name.startswith(f"{ENCODERS}.") or name not in owned or has_place_for(name, like):
            return False
        return np.array_equal(to_numpy(arrays[name]), to_numpy(owned[name]))

    return {name: array for name, array in arrays.items() if not is_borrowed(name)}


def _without_spread(arrays: Mapping[str, Any], like: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Remove the parameters of the action noise from both, unless both have the same ones."""
    spread = {name for name in arrays if name.startswith(f"{SPREAD}.")}
    part = {name: {SPREAD: collection[SPREAD]} for name, collection in like.items() if SPREAD in collection}
    if spread and all(has_place_for(name, part) for name in spread):
        return dict(arrays), like
    return (
        {name: array for name, array in arrays.items() if name not in spread},
        {name: {k: v for k, v in collection.items() if k != SPREAD} for name, collection in like.items()},
    )


def _with_rnd(state: TrainState, content: Mapping[str, Any], *, strict: bool) -> TrainState:
    if "rnd_state_dict" not in content:
        warnings.warn("The checkpoint has no curiosity ('rnd_state_dict'), which starts from scratch.", stacklevel=4)
        return state
    rnd = state.extensions["rnd"]
    try:
        rnd = rnd_from_state_dict(content["rnd_state_dict"], rnd, strict=strict)
    except ValueError as error:
        raise ValueError(f"rnd_state_dict: {error}") from error
    if "rnd_optimizer_state_dict" in content:
        order = [(PREDICTOR, name) for name in content["rnd_state_dict"] if name.startswith(f"{PREDICTOR}.")]
        saved = content["rnd_optimizer_state_dict"]
        try:
            opt_state, _ = read_optimizer(saved, order, rnd.opt_state, learner=PREDICTOR, strict=strict)
        except ValueError as error:
            raise ValueError(f"rnd_{error}") from error
        rnd = dataclasses.replace(rnd, opt_state=opt_state)
    return dataclasses.replace(state, extensions={**state.extensions, "rnd": rnd})


def _with_optimizer(
    state: TrainState, checkpoint: Checkpoint, cfg: BaseRunnerConfig | None, *, strict: bool
) -> TrainState:
    saved = checkpoint.content.get("optimizer_state_dict")
    if saved is None:
        warnings.warn(
            "The checkpoint has no optimiser ('optimizer_state_dict'), which starts from scratch.", stacklevel=4
        )
        return state
    opt_state, learning_rate = read_optimizer(saved, checkpoint.order, state.opt_state, strict=strict)
    if cfg is not None:
        warn_of_settings(saved, getattr(cfg.algorithm, "optimizer", ""))
    rate = state.learning_rate if learning_rate is None else learning_rate
    rate = jnp.asarray(rate, state.learning_rate.dtype)
    return dataclasses.replace(state, opt_state=opt_state, learning_rate=rate)


def _iteration(value: Any) -> int:
    if not np.issubdtype(np.asarray(to_numpy(value)).dtype, np.integer) or np.ndim(to_numpy(value)):
        raise ValueError(f"'iter' of the checkpoint is {value!r}; RSL-RL saves the number of an iteration there.")
    return int(value)


def rnd_from_state_dict(state_dict: Mapping[str, Any], state: RndState, *, strict: bool = True) -> RndState:
    """Load predictor, target and normalisers of RSL-RL's random network distillation into ours.

    Its count of steps (for a weight schedule) and the discounted sums of rewards stay as they are: RSL-RL
    does not save them.

    Args:
        state_dict: arrays by RSL-RL's names.
        state: as the extension's ``init`` returns it.
        strict: whether everything must fit; otherwise what does not fit keeps its value, with a warning.

    Raises:
        ValueError: if the two do not fit and ``strict``; see :func:`params_from_state_dict`.
    """
    parts = {name: getattr(state, name) for name in ("predictor", "target", "normalizers")}
    return dataclasses.replace(state, **from_state_dict(state_dict, parts, strict=strict))


def params_from_state_dict(state_dict: Mapping[str, Any], like: Any) -> Any:
    """Convert a state dict of one of RSL-RL's models to variables of ours.

    Args:
        state_dict: arrays (of numpy, or tensors) by RSL-RL's names.
        like: variables of our model by collection (``params``, ``normalizer``, ...) as its ``init`` gives them; or some
            of the collections, for a part of the model. They say which arrays are wanted, and their shapes and types.

    Returns:
        the same tree with the arrays of the state dict.

    Raises:
        ValueError: if the two do not fit: names the arrays that only one of them has, or the shapes.
    """
    return from_state_dict(state_dict, like)


def train_state_from_checkpoint(checkpoint: Mapping[str, Any], state: TrainState) -> TrainState:
    """Load everything in an RSL-RL checkpoint into a training state; the rest of the state is unchanged.

    Args:
        checkpoint: what RSL-RL saved, loaded by PyTorch.
        state: a state of the algorithm to load into, as its ``init`` returns it.

    Returns:
        the state with the checkpoint's parameters, normalisers, optimiser, learning rate, RND and iteration.

    Raises:
        ValueError: if a model is missing, or something does not fit.
    """
    there = {"optimizer": "optimizer_state_dict", "iteration": "iter", "rnd": "rnd_state_dict"}
    load_cfg = {**dict.fromkeys(state.params, True), **{part: key in checkpoint for part, key in there.items()}}
    return from_rsl_rl(checkpoint, state, load_cfg=load_cfg).state


# --- writing ----------------------------------------------------------------------------------------------------------


def to_rsl_rl(state: TrainState, cfg: BaseRunnerConfig, *, iteration: int, infos: Any = None) -> dict[str, Any]:
    """Convert a training state to RSL-RL 5's format, which its ``load`` accepts strictly, the optimiser included.

    Args:
        state: the state.
        cfg: the config that it was trained with.
        iteration: the last finished iteration, counted from 0.
        infos: user data.

    Returns:
        the dict that ``torch.save`` writes, of tensors.

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if RSL-RL has no name for something.
    """
    torch = import_torch("A checkpoint for RSL-RL")
    state_dicts = {name: OrderedDict(_tensors(arrays, torch)) for name, arrays in _models(state, cfg).items()}
    parameters = {
        (model, name): tensor
        for model, tensors in state_dicts.items()
        if model != "teacher"  # it is not trained, so no optimiser has it
        for name, tensor in tensors.items()
        if not BUFFER.fullmatch(name)
    }
    if _shares_encoders(cfg):
        owned = {name: tensor for (model, name), tensor in parameters.items() if model == OWNER}
        parameters |= {("critic", name): t for name, t in owned.items() if name.startswith(f"{ENCODERS}.")}
    content: dict[str, Any] = {f"{name}_state_dict": tensors for name, tensors in state_dicts.items()}
    content["optimizer_state_dict"] = write_optimizer(
        getattr(cfg.algorithm, "optimizer", ""),
        state.opt_state,
        parameters,
        learning_rate=_shortest(state.learning_rate),
        steps=(iteration + 1) * _steps_per_iteration(cfg),
    )
    if isinstance(state.extensions.get("rnd"), RndState):
        content |= _rnd(state.extensions["rnd"], cfg, torch)
    return {**content, "iter": int(iteration), "infos": infos}


def _models(state: TrainState, cfg: BaseRunnerConfig) -> dict[str, dict[str, np.ndarray]]:
    """Return the state dicts of all models, in RSL-RL's order."""
    unknown = [name for name in state.params if name not in MODELS]
    if unknown:
        raise ValueError(
            f"RSL-RL has no model {listed(unknown)}; only PPO and distillation can be written for it. Save an "
            "a custom algorithm as a checkpoint of rsl_jax."
        )
    models = {}
    for name in [name for name in MODELS if name in state.params]:
        params, statistics = dict(state.params[name]), dict(state.statistics[name])
        home = name
        if name == "critic" and _shares_encoders(cfg):
            home = OWNER
            params[ENCODERS] = state.params[OWNER][ENCODERS]
            theirs = state.statistics[OWNER]
            statistics |= {key: theirs[key] for key in theirs if key == "batch_statistics"}
        models[name] = to_state_dict({"params": params, **statistics}, groups=tuple(cfg.obs_groups.get(home, ())))
    return models


def _shares_encoders(cfg: BaseRunnerConfig) -> bool:
    return isinstance(cfg.algorithm, PPOConfig) and cfg.algorithm.share_cnn_encoders


def _rnd(state: RndState, cfg: BaseRunnerConfig, torch: Any) -> dict[str, Any]:
    arrays = to_state_dict({name: getattr(state, name) for name in ("normalizers", "predictor", "target")})
    tensors = OrderedDict(_tensors(arrays, torch))
    rnd_cfg: Any = getattr(cfg.algorithm, "rnd_cfg", None)
    parameters = {(PREDICTOR, name): tensor for name, tensor in tensors.items() if name.startswith(f"{PREDICTOR}.")}
    optimizer = write_optimizer(
        "adam", state.opt_state, parameters, learning_rate=rnd_cfg.learning_rate, steps=0, learner=PREDICTOR
    )
    return {"rnd_state_dict": tensors, "rnd_optimizer_state_dict": optimizer}


def _tensors(arrays: Mapping[str, np.ndarray], torch: Any) -> dict[str, Any]:
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    # As RSL-RL computes it, to the last bit: PyTorch's square root rounds differently from numpy's.
    roots = {f"{name.removesuffix('_var')}_std": t.sqrt() for name, t in tensors.items() if name.endswith("._var")}
    return {**tensors, **roots}


def _shortest(rate: Any) -> float:
    """Convert a rate to double precision: the shortest number that is this one in its own; 1e-3 for float32's of it."""
    return float(str(np.asarray(rate)[()]))


def _steps_per_iteration(cfg: BaseRunnerConfig) -> int:
    algorithm: Any = cfg.algorithm
    if isinstance(algorithm, DistillationConfig):
        return algorithm.num_learning_epochs * cfg.num_steps_per_env // algorithm.gradient_length
    return algorithm.num_learning_epochs * algorithm.num_mini_batches
