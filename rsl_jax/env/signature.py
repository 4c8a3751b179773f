"""Shapes and dtypes of a single environment: checked once, when it is built, and fixed from then on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rsl_jax.env.base import SingleEnv, Transition
from rsl_jax.trees import leaves_by_path
from rsl_jax.types import Array, Key, Metrics, Observations


class Answer(NamedTuple):
    """:class:`rsl_jax.env.Transition` with fixed types.

    Attributes:
        observations: by group, leaves of floats or bytes ``[...]``.
        reward: a float ``[]``.
        terminated: bool ``[]``.
        truncated: bool ``[]``.
        log: floats ``[]``.
    """

    observations: Observations
    reward: Array
    terminated: Array
    truncated: Array
    log: Metrics


class Signature:
    """Single environment whose two functions have consistent shapes and dtypes.

    ``reset`` and ``step`` return states and observations of one structure, one shape and one dtype, so that a step is a
    loop body and never compiles twice. Where dtypes of the environment's own functions differ (a counter that starts as
    a Python number, say) the wider one is used. Any other mismatch is an error at construction.

    Attributes:
        state: shapes and dtypes of the state.
        observations: shapes and dtypes of the observation groups.
        action: shape and dtype of an action.
    """

    def __init__(self, single_env: SingleEnv[Any]):
        """Trace both functions.

        Raises:
            TypeError: if ``reset`` or ``step`` returns something of another form.
            ValueError: if shapes or groups do not match.
        """
        self._name = type(single_env).__name__
        self._single_env = single_env
        self.action = _action(single_env, self._name)
        # Compiled functions cache their trace, so that what is traced here is not traced again in training.
        self._reset = jax.jit(self._raw_reset)
        self._step = jax.jit(self._raw_step)
        self.state, self.observations = self._fixed_point()

    def reset(self, key: Key) -> tuple[Any, Observations]:
        """Start an episode; returns the state and the first observations."""
        return _cast(self._reset(key), (self.state, self.observations))

    def step(self, state: Any, action: Array) -> tuple[Any, Answer]:
        """Apply an action."""
        state, answer = self._step(state, action)
        state, observations = _cast((state, answer.observations), (self.state, self.observations))
        return state, answer._replace(observations=observations)

    def _raw_reset(self, key: Key) -> tuple[Any, Observations]:
        with _noting(f"while tracing {self._name}.reset(key)"):
            result = self._single_env.reset(key)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{self._name}.reset(key) must return (state, observations), but returned {_kind(result)}.")
        state, observations = result
        return state, _groups(observations, f"{self._name}.reset")

    def _raw_step(self, state: Any, action: Array) -> tuple[Any, Answer]:
        with _noting(f"while tracing {self._name}.step(state, action) with an action {_text(self.action)}"):
            result = self._single_env.step(state, action)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Transition)):
            raise TypeError(
                f"{self._name}.step(state, action) must return (state, rsl_jax.env.Transition(...)), "
                f"but returned {_kind(result)}."
            )
        state, transition = result
        return state, _answer(transition, f"{self._name}.step")

    def _fixed_point(self) -> tuple[Any, Any]:
        now = _strong(jax.eval_shape(self._reset, jax.random.key(0)))
        while True:
            state, answer = jax.eval_shape(self._step, now[0], self.action)
            following = (state, answer.observations)
            self._compare(now, following)
            wider = jax.tree.map(_wider, now, following)
            if jax.tree.leaves(wider) == jax.tree.leaves(now):  # dtypes only ever widen, so this ends
                return now
            now = wider

    def _compare(self, start: Any, following: Any) -> None:
        before, after = _by_path(start), _by_path(following)
        if before.keys() != after.keys():
            only = " and ".join(
                f"only {where} gives {', '.join(sorted(names))}"
                for where, names in (("reset", before.keys() - after.keys()), ("step", after.keys() - before.keys()))
                if names
            )
            raise ValueError(f"{self._name}.reset and {self._name}.step must give the same fields, but {only}.")
        kinds: tuple[Any, Any] = jax.tree.structure(start), jax.tree.structure(following)
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{self._name}.reset and {self._name}.step must give pytrees of the same types, "
                f"but gave {kinds[0]} and {kinds[1]}."
            )
        for path, leaf in before.items():
            if leaf.shape != after[path].shape:
                raise ValueError(
                    f"{path} of {self._name} has the shape {list(leaf.shape)} after reset, but "
                    f"{list(after[path].shape)} after step; both must agree."
                )


def typed(x: Any, dtype: Any) -> Array:
    """Convert ``x`` to an array of exactly this dtype, not weakly typed."""
    x = jnp.asarray(x)
    # Keys cannot be converted, and need not be.
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(x, dtype)


@contextlib.contextmanager
def _noting(text: str) -> Iterator[None]:
    """Add to an error of the user's own code where it occurred."""
    try:
        yield
    except Exception as error:
        error.add_note(text)
        raise


def _action(single_env: SingleEnv[Any], name: str) -> jax.ShapeDtypeStruct:
    size = getattr(single_env, "num_actions", None)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{name}.num_actions must be a positive int, but is {size!r}.")
    if getattr(single_env, "discrete", False):
        return jax.ShapeDtypeStruct((), jnp.int32)
    return jax.ShapeDtypeStruct((size,), jnp.result_type(float))


def _answer(transition: Transition, where: str) -> Answer:
    def scalar(name: str, x: Any) -> Array:
        x = jnp.asarray(x)
        if x.shape:
            raise ValueError(f"{name} of {where} must be a scalar [], but has the shape {list(x.shape)}.")
        return x

    reward = _float(scalar("The reward", transition.reward))
    flags = {name: scalar(name, getattr(transition, name)) for name in ("terminated", "truncated")}
    for flag in flags.values():
        if jnp.issubdtype(flag.dtype, jnp.floating):  # otherwise NaN would silently count as true
            reward = jnp.where(jnp.isnan(flag), jnp.full((), jnp.nan, reward.dtype), reward)
    return Answer(
        observations=_groups(transition.observations, where),
        reward=reward,
        **{name: flag.astype(bool) for name, flag in flags.items()},
        log={tag: _float(scalar(f"The log entry {tag!r}", x)) for tag, x in transition.log.items()},
    )


def _groups(observations: Any, where: str) -> Observations:
    groups = dict(observations) if isinstance(observations, Mapping) else {"policy": observations}
    if not groups:
        raise ValueError(f"{where} returns no observations; return an array or a dict of arrays.")
    for name, group in groups.items():
        if not isinstance(name, str) or not hasattr(group, "shape"):
            raise TypeError(
                f"Observations of {where} must be an array or a flat dict of arrays by name, "
                f"but {name!r} is {_kind(group)}."
            )
        if group.shape == ():
            raise ValueError(
                f"The observation group {name!r} of {where} is a scalar; give a vector [1], or an image [C, H, W]."
            )
    # Bytes stay bytes to save memory (a quarter of float32); models make floats of them.
    return {name: x if x.dtype == jnp.uint8 else _float(x) for name, x in groups.items()}


def _float(x: Any) -> Array:
    """Convert ``x`` to floats: of its own type, or of JAX's default type if it has none."""
    x = jnp.asarray(x)
    return typed(x, x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.result_type(float))


def _strong(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _wider(x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    with jax.numpy_dtype_promotion("standard"):  # what is asked for here, whatever the program is set to
        return x if x.dtype == y.dtype else jax.ShapeDtypeStruct(x.shape, jnp.promote_types(x.dtype, y.dtype))


def _cast(tree: Any, like: Any) -> Any:
    return jax.tree.map(lambda x, aval: typed(x, aval.dtype), tree, like)


def _by_path(tree: Any) -> dict[str, Any]:
    state, observations = tree
    return leaves_by_path({"state": state, "observations": observations}, separator=".")


def _kind(x: Any) -> str:
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else f"a value of type {type(x).__name__}"


def _text(aval: jax.ShapeDtypeStruct) -> str:
    return f"{list(aval.shape)} of {aval.dtype}"
