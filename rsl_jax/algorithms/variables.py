"""Models by name and their variables in a :class:`TrainState`; shared by all algorithms."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rsl_jax.types import Carry, Key, Model, Observations, TrainState, default_dtype

DISTRIBUTION = "distribution"
"""Path of the parameters of the action noise in a collection; no deterministic output depends on them."""

Models = Mapping[str, Model]
"""Linen modules with the methods of :class:`rsl_jax.models.MLPModel`, by name."""

OWNER = "actor"
"""The model that owns shared parts: a state holds them once, among its parameters."""


def init_models(
    models: Models, keys: Sequence[Key], *, shared: tuple[str, ...] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Initialise the parameters of all models as PyTorch would, and their statistics; each by name.

    ``keys`` holds one for each model.
    """
    variables = {name: init_variables(model, k) for (name, model), k in zip(models.items(), keys, strict=True)}
    params = {name: collections.pop("params") for name, collections in variables.items()}
    for name in models:
        params = with_parts(params, name, params[name], shared)
    return params, {name: own_statistics(collections, name, shared) for name, collections in variables.items()}


def init_variables(model: Model, key: Key) -> dict[str, Any]:
    """Initialise all collections of a model's variables; ``params`` is always among them."""
    observations = {group: jnp.zeros((1, *shape), default_dtype()) for group, shape in model.obs_shapes.items()}
    return {"params": {}, **model.init(key, observations, model.initial_carry(1))}


def variables_of(state: TrainState, name: str, shared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return all collections of a model's variables."""
    return {"params": parts_of(state.params, name, shared), **statistics_of(state.statistics, name, shared)}


def statistics_of(statistics: Mapping[str, Any], name: str, shared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a model's collections of statistics, with those of the parts that the actor owns and all models share."""
    collections = dict(statistics[name])
    for collection, parts in statistics[OWNER].items() if shared else ():
        borrowed = {part: parts[part] for part in shared if part in parts}
        if borrowed:
            collections[collection] = {**collections.get(collection, {}), **borrowed}
    return collections


def own_statistics(collections: Mapping[str, Any], name: str, shared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a model's collections of statistics without shared ones, as a state stores them."""
    if name == OWNER or not shared:
        return dict(collections)
    own = {
        collection: {part: value for part, value in parts.items() if part not in shared}
        for collection, parts in collections.items()
    }
    return {collection: parts for collection, parts in own.items() if parts or not collections[collection]}


def parts_of(tree: Mapping[str, Any], name: str, shared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a model's parts of parameters (or gradients) by model, with those that the actor owns and all share."""
    return {**tree[name], **{part: tree[OWNER][part] for part in shared}}


def with_parts(tree: Mapping[str, Any], name: str, parts: Mapping[str, Any], shared: tuple[str, ...] = ()) -> Any:
    """Return the tree with other ``parts`` for a model, shared ones included; the inverse of :func:`parts_of`."""
    tree = {**tree, name: {part: value for part, value in parts.items() if part not in shared}}
    return {**tree, OWNER: {**tree[OWNER], **{part: parts[part] for part in shared}}} if shared else tree


def initial_carry(models: Models, num_envs: int) -> Carry:
    """Return hidden states of all models at the start of an episode, by name; ``()`` if none has any."""
    carry = {name: model.initial_carry(num_envs) for name, model in models.items()}
    return carry if jax.tree.leaves(carry) else ()


def carry_of(carry: Carry, name: str) -> Carry:
    """Return a model's part of the hidden states."""
    return carry[name] if carry else ()


def with_carry(carry: Carry, **parts: Carry) -> Carry:
    """Return the hidden states with other ones for the named models."""
    return {**carry, **parts} if carry else ()


def update_statistics(
    models: Models, state: TrainState, observations: Observations, *, axis_name: str | None = None
) -> TrainState:
    """Update the normalisers of the models with observations with leaves ``[T, N, ...]``."""
    statistics = dict(state.statistics)
    for name, model in models.items():
        _, learned = model.apply(
            variables_of(state, name), observations, axis_name, method="update_normalization", mutable=["normalizer"]
        )
        statistics[name] = {**statistics[name], **learned}
    return dataclasses.replace(state, statistics=statistics)
