"""Policies as plain functions of arrays, the form in which they are exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from rsl_jax.types import Array, Carry

BATCH = "batch"
"""Name of the dynamic axis."""

OBS = "obs"
"""Name of the input that holds all 1-D observation groups, concatenated."""

STATE_NAMES = ("h", "c")
"""Names of a recurrent layer's hidden states, in their order; input ``h_in`` and output ``h_out`` for ``h``."""


class Tensor(NamedTuple):
    """Input or output of an exported policy.

    Attributes:
        name: its name in runtimes.
        shape: its sizes; :data:`BATCH` stands for the dynamic one.
        dtype: its type.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class PolicyFunction:
    """Deterministic policy as ``(obs [B, D], *images, *states_in) -> (actions [B, A], *states_out)`` in float32.

    Discrete actions are int32 ``[B]``.

    Attributes:
        function: the function; traceable, with constants of numpy.
        inputs: its inputs: ``obs`` (1-D groups, concatenated; absent where there are none), images by the names of
            their groups ``[B, C, H, W]``, hidden states ``h_in``, ``c_in`` ``[layers, B, hidden]``.
        outputs: its outputs: ``actions``, ``h_out``, ``c_out``.
        reference: the same by the model's own ``mode``, from observation groups; exports are compared with it.
        facts: metadata of the policy.
        moments: mean and standard deviation of typical values of an input, by name, where the model knows them.
    """

    function: Callable[..., tuple[Array, ...]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    reference: Callable[..., tuple[Array, ...]]
    facts: Mapping[str, Any]
    moments: Mapping[str, tuple[np.ndarray, np.ndarray]]


def plain_policy(model: Any, variables: Mapping[str, Any]) -> PolicyFunction:
    """Convert a model with its variables to a plain function.

    A model needs ``obs_shapes``, ``obs_groups``, ``initial_carry(num_envs)`` and ``mode(observations, carry)``. Its
    hidden states are a tuple over layers, each an array ``[N, hidden]`` or a tuple of those, which leave as ``h`` and
    ``c`` ``[layers, N, hidden]``. A model with other hidden states defines two methods,
    ``pack_carry(carry) -> {name: array}`` and ``unpack_carry({name: array}) -> carry``, with the batch on axis 1 of
    every array.

    Args:
        model: a linen module.
        variables: all its collections of variables, of one training run, in any float type.

    Returns:
        the function and its metadata.

    Raises:
        ValueError: if variables are missing, superfluous, of other shapes, NaN or infinite, or if names clash.
    """
    if getattr(model, "dtype", None) is not None:
        model = model.clone(dtype=None)  # exports are float32, whatever the training computed in
    check_variables(model, variables)
    constants = float32_variables(variables)
    vectors = [group for group in model.obs_groups if len(model.obs_shapes[group]) == 1]
    images = [group for group in model.obs_groups if group not in vectors]
    states = _describe_states(model)

    def from_groups(observations: Mapping[str, Array], *packed: Array) -> tuple[Array, ...]:
        carry = unpack_carry(model, dict(zip(states, packed, strict=True)))
        actions, carry = model.apply(constants, observations, carry, method="mode")
        return actions, *pack_carry(model, carry).values()

    def function(*arrays: Array) -> tuple[Array, ...]:
        return from_groups(*_split_inputs(arrays, model, vectors, images, jnp.split))

    def reference(*arrays: Any) -> tuple[Array, ...]:
        return from_groups(*_split_inputs(arrays, model, vectors, images, np.split))

    inputs = _describe_inputs(model, vectors, images, states)
    with float32_mode():
        result = jax.eval_shape(function, *(placeholder(tensor, batch=1) for tensor in inputs))
    outputs = (
        Tensor("actions", (BATCH, *result[0].shape[1:]), str(result[0].dtype)),
        *(Tensor(f"{name}_out", shape) for name, shape in states.items()),
    )
    check_names(inputs, outputs)
    facts = _facts(model, vectors, images, inputs, outputs)
    return PolicyFunction(function, inputs, outputs, reference, facts, _moments(constants, inputs))


def float32_mode() -> Any:
    """Return a context in which JAX computes with 32 bits, whatever its settings."""
    return jax.enable_x64(False)


def placeholder(tensor: Tensor, *, batch: Any) -> jax.ShapeDtypeStruct:
    """Return the shape and type of a tensor at a batch size, which may be symbolic."""
    return jax.ShapeDtypeStruct(tuple(batch if size == BATCH else size for size in tensor.shape), tensor.dtype)


# --- hidden states ----------------------------------------------------------------------------------------------------


def pack_carry(model: Any, carry: Carry) -> dict[str, Array]:
    """Return hidden states by name, each ``[layers, N, hidden]``; empty if there are none."""
    if hasattr(model, "pack_carry"):
        return dict(model.pack_carry(carry))
    layers = [jax.tree.leaves(layer) for layer in carry]
    if any(len(layer) > len(STATE_NAMES) for layer in layers):
        raise ValueError(
            f"A layer of {type(model).__name__} has {max(map(len, layers))} hidden states; at most {len(STATE_NAMES)} "
            "have names. Give the model the methods pack_carry(carry) and unpack_carry(arrays), see docs/export.md."
        )
    return {name: jnp.stack(parts) for name, parts in zip(STATE_NAMES, zip(*layers, strict=True), strict=False)}


def unpack_carry(model: Any, arrays: Mapping[str, Array]) -> Carry:
    """Invert :func:`pack_carry`."""
    if hasattr(model, "unpack_carry"):
        return model.unpack_carry(arrays)
    structure = jax.tree.structure(jax.eval_shape(lambda: model.initial_carry(1)))
    # By split and squeeze, which an ONNX graph has as one node each; an index is several.
    layers = zip(*(jnp.split(array, array.shape[0]) for array in arrays.values()), strict=True)
    return jax.tree.unflatten(structure, [jnp.squeeze(state, 0) for layer in layers for state in layer])


def _describe_states(model: Any) -> dict[str, tuple[int | str, ...]]:
    names: list[str] = []

    def pack() -> tuple[Array, ...]:
        packed = pack_carry(model, model.initial_carry(1))
        names.extend(packed)  # here, because JAX sorts the keys of a dict that it hands on, and h comes before c
        return tuple(packed.values())

    with float32_mode():
        shapes = [state.shape for state in jax.eval_shape(pack)]
    return {name: (shape[0], BATCH, *shape[2:]) for name, shape in zip(names, shapes, strict=True)}


# --- inputs -----------------------------------------------------------------------------------------------------------


def _describe_inputs(
    model: Any, vectors: Sequence[str], images: Sequence[str], states: Mapping[str, tuple[int | str, ...]]
) -> tuple[Tensor, ...]:
    size = sum(model.obs_shapes[group][0] for group in vectors)
    return (
        *([Tensor(OBS, (BATCH, size))] if vectors else []),
        *(Tensor(group, (BATCH, *model.obs_shapes[group])) for group in images),
        *(Tensor(f"{name}_in", shape) for name, shape in states.items()),
    )


def _split_inputs(
    arrays: Sequence[Any], model: Any, vectors: Sequence[str], images: Sequence[str], split: Callable[..., Any]
) -> tuple[Any, ...]:
    """Split inputs into the observation groups as a dict and the hidden states."""
    rest, observations = list(arrays), {}
    if len(vectors) == 1:
        observations[vectors[0]] = rest.pop(0)
    elif vectors:
        ends = np.cumsum([model.obs_shapes[group][0] for group in vectors])[:-1]
        observations.update(zip(vectors, split(rest.pop(0), ends.tolist(), axis=1), strict=True))
    for group in images:
        observations[group] = rest.pop(0)
    return observations, *rest


def check_names(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Reject ambiguous names.

    Raises:
        ValueError: if a name is used twice.
    """
    names = [tensor.name for tensor in (*inputs, *outputs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"The observation group '{twice[0]}' has the name of another input or output of the exported policy, "
            f"{names}. Rename the group in the environment."
        )


# --- variables --------------------------------------------------------------------------------------------------------


def check_variables(model: Any, variables: Mapping[str, Any]) -> None:
    """Reject variables that do not belong to a model.

    Raises:
        ValueError: if one is missing, superfluous, of another shape, NaN or infinite; names it.
    """
    expected = _shapes_by_path(_expected_variables(model))
    given = _shapes_by_path(variables)
    name = type(model).__name__
    missing, unknown = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"These are not the variables of this {name}: missing {missing or 'none'}, unknown {unknown or 'none'}. "
            "Give all collections, for example {'params': state.params['actor'], **state.statistics['actor']}."
        )
    different = [path for path in expected if expected[path] != given[path]]
    if different:
        path = different[0]
        stacked = all(shape[1:] == expected[path] for path, shape in given.items())
        remedy = " Pick one of the seeds that were trained together: jax.tree.map(lambda x: x[0], variables)."
        raise ValueError(
            f"{name}'s variable {path} has the shape {expected[path]}; got {given[path]}.{remedy if stacked else ''}"
        )
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if not np.all(np.isfinite(np.asarray(leaf).astype(np.float64))):
            raise ValueError(
                f"{name}'s variable {jax.tree_util.keystr(key_path)} contains NaN or infinity; such a policy is not "
                "exported. Export the last good checkpoint."
            )


def _expected_variables(model: Any) -> Any:
    def init() -> Any:
        observations = {group: jnp.zeros((1, *shape)) for group, shape in model.obs_shapes.items()}
        return model.init(jax.random.key(0), observations, model.initial_carry(1))

    return {"params": {}, **jax.eval_shape(init)}


def _shapes_by_path(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): tuple(np.shape(leaf)) for path, leaf in leaves}


def float32_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the variables to numpy, floats to float32."""
    return dict(jax.tree.map(_to_float32, variables))


def _to_float32(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _moments(constants: Mapping[str, Any], inputs: Sequence[Tensor]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the normaliser's moments; an export is verified with inputs of that range."""
    normalizer: Any = constants.get("normalizer", {}).get("obs")
    sizes = {tensor.name: tensor.shape[1:] for tensor in inputs}
    mean, var = getattr(normalizer, "mean", None), getattr(normalizer, "var", None)
    if mean is None or var is None or mean.shape != sizes.get(OBS):
        return {}
    return {OBS: (mean, np.sqrt(var))}


def _facts(
    model: Any, vectors: Sequence[str], images: Sequence[str], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> dict[str, Any]:
    facts = {
        "model_class": type(model).__name__,
        "observation_groups": list(vectors),
        "observation_sizes": [model.obs_shapes[group][0] for group in vectors],
        "action_size": 1 if outputs[0].shape == (BATCH,) else outputs[0].shape[-1],
        "input_names": [tensor.name for tensor in inputs],
        "output_names": [tensor.name for tensor in outputs],
    }
    distribution = getattr(model, "distribution", None)
    if distribution is not None and distribution.discrete:
        facts["num_choices"] = model.output_dim
    if images:
        facts["image_groups"] = list(images)
        facts["image_shapes"] = [list(model.obs_shapes[group]) for group in images]
    return facts
