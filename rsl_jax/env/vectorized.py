"""Vectorization of a single environment: :func:`vectorize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rsl_jax.env.base import Env, SingleEnv, State, equal_part
from rsl_jax.env.limits import step_limit
from rsl_jax.env.randomization import Models, Randomization, Randomize, RandomizedSingleEnv, Start
from rsl_jax.env.sensor_options import Sensors
from rsl_jax.env.signature import Answer, Signature, typed
from rsl_jax.env.wrappers import for_evaluation
from rsl_jax.trees import select_rows
from rsl_jax.types import Array, Key, Observations, TimeStep

AutoReset = Literal["pool", "full", "cached"]


@struct.dataclass
class VectorState(Generic[State]):
    """State of ``N`` environments.

    Attributes:
        env: states of the single environments, leaves ``[N, ...]``.
        episode_length: steps since the last reset, int32 ``[N]``.
        pool: states and observations that episodes can start from, leaves ``[P, ...]``; ``()`` where every reset is
            made again.
        restarts: number of episodes that each environment has ended, int32 ``[N]``.
        key: random keys of the resets, ``[N]``.
        models: the models that episodes start with, where physics are randomized, leaves ``[M, ...]``; else ``()``.
    """

    env: State
    episode_length: Array
    pool: Any
    restarts: Array
    key: Key
    models: Any = ()


def vectorize(
    single_env: SingleEnv[Any],
    num_envs: int,
    *,
    max_episode_length: float | None = None,
    auto_reset: AutoReset = "pool",
    step_dt: float | None = None,
    cfg: Mapping[str, Any] | object | None = None,
    reset_pool_size: int | None = None,
    randomize: Randomize = False,
    randomize_every: int | None = None,
    sensors: Sensors | Mapping[str, Any] | None = None,
) -> VectorizedEnv:
    """Turn a single environment into a batch that ends its episodes and resets itself.

    An episode ends where the single environment says terminated or truncated, and at the time limit. ``time_outs`` are
    the ends that are not terminations. At an end the *whole* state of the single environment is replaced, including
    what it remembers between steps, and the observations before that are returned as ``final_observations``.

    Args:
        single_env: the single environment. Its attributes ``max_episode_length``, ``step_dt`` and ``cfg``, if any, are
            the defaults of arguments that are not given.
        num_envs: size of the batch, ``N``.
        max_episode_length: time limit in steps, of any size; None for no limit.
        auto_reset: where the next episode starts. ``"pool"``: each environment takes the next of ``reset_pool_size``
            random initial states, from another one on than the others; ``begin_iteration`` renews them (before it first
            does, they are those that the first episodes started from). As cheap as it gets, and as varied as resets
            are.
            ``"full"``: a new initial state every time; costs a reset of all environments at each step where one ends.
            ``"cached"``: each environment returns to the state it first started from, as Brax's training does; with
            the random key in that state, so that the noise of its episodes is always the same.
        step_dt: seconds between two actions.
        cfg: description of the environment, saved with the logs.
        reset_pool_size: size of the pool, ``P``; ``num_envs`` where not given.
        randomize: whether physics differ between environments: True for the environment's own ``domain_randomizer``, or
            a function, or the import path of one (``rsl_jax.env.Randomizer``). The environment keeps
            its physics in the pytree ``model``. A model is kept until its episode ends.
        randomize_every: number of iterations after which new models are drawn, for the episodes that start from then
            on; None for never. A ``"cached"`` start cannot have another model.
        sensors: noise, delays, history and pushes; see :class:`rsl_jax.env.Sensors`.

    Raises:
        ValueError: for sizes that are not positive, an unknown ``auto_reset``, a randomizer that does not keep its
            contract, sensors of unknown groups, or an environment whose ``reset`` and ``step`` do not fit
            together (:class:`rsl_jax.env.signature.Signature` says what is checked).
    """
    _check_positive("num_envs", num_envs)
    if auto_reset not in get_args(AutoReset):
        raise ValueError(
            f"auto_reset is {auto_reset!r}, but must be one of {', '.join(map(repr, get_args(AutoReset)))}."
        )
    if reset_pool_size is not None and auto_reset != "pool":
        raise ValueError(f"reset_pool_size only has an effect with auto_reset='pool', not with {auto_reset!r}.")
    pool_size = num_envs if reset_pool_size is None else reset_pool_size
    _check_positive("reset_pool_size", pool_size)
    if sensors:
        single_env = Sensors.of(sensors).wrap(single_env)
    if randomize is not False and randomize is not None:
        single_env = RandomizedSingleEnv(single_env, randomize)
    _check_interval(randomize_every, single_env, auto_reset)
    if max_episode_length is None:
        max_episode_length = getattr(single_env, "max_episode_length", None)
    return VectorizedEnv(
        single_env,
        num_envs=num_envs,
        max_episode_length=step_limit(max_episode_length),
        auto_reset=auto_reset,
        pool_size=pool_size,
        step_dt=getattr(single_env, "step_dt", None) if step_dt is None else step_dt,
        cfg=getattr(single_env, "cfg", {}) if cfg is None else cfg,
        randomize_every=randomize_every,
    )


class VectorizedEnv(Env[VectorState[Any]]):
    """Batch of environments (:func:`vectorize`); ``single_env`` is the wrapped single environment."""

    def __init__(
        self,
        single_env: SingleEnv[Any],
        *,
        num_envs: int,
        max_episode_length: int | None,
        auto_reset: AutoReset,
        pool_size: int,
        step_dt: float | None,
        cfg: Mapping[str, Any] | object,
        randomize_every: int | None = None,
    ):
        self._signature = Signature(single_env)  # first, because it looks for mistakes
        self.single_env = single_env
        self.num_envs = num_envs
        self.num_actions = single_env.num_actions
        self.discrete = bool(getattr(single_env, "discrete", False))
        self.max_episode_length = max_episode_length
        self.auto_reset = auto_reset
        self.step_dt = step_dt
        self.cfg = cfg
        self._pool_size = pool_size
        self._randomization: Randomization | None = None
        if isinstance(single_env, RandomizedSingleEnv):
            self._randomization = Randomization(single_env.draw, randomize_every)

    def reset(self, key: Key) -> tuple[VectorState[Any], Observations]:
        """Reset all environments; returns the state and the first observations, leaves ``[N, ...]``."""
        key, start_key = jax.random.split(key)
        pool_size = self._pool_size if self.auto_reset == "pool" else self.num_envs
        # One batched reset serves both, because a simulator's takes long to compile.
        size = max(self.num_envs, pool_size)
        models: Models | tuple[()] = ()
        if self._randomization is not None:
            start_key, model_key = jax.random.split(start_key)
            models = self._randomization.init(model_key, size)
        starts = self._starts(jax.random.split(start_key, size), models)
        env, observations = _first(starts, self.num_envs)
        pool = () if self.auto_reset == "full" else _first(starts, pool_size)
        lengths, restarts = (jnp.zeros(self.num_envs, jnp.int32) for _ in range(2))
        return VectorState(env, lengths, pool, restarts, jax.random.split(key, self.num_envs), models), observations

    def step(self, state: VectorState[Any], actions: Array) -> tuple[VectorState[Any], TimeStep]:
        """Apply actions ``[N, A]`` (``[N]`` or ``[N, 1]`` where discrete), and reset where an episode ends."""
        env, answer = jax.vmap(self._signature.step)(state.env, self._actions(actions))
        episode_length = state.episode_length + 1
        dones, time_outs = self._endings(answer, episode_length)
        restarts = state.restarts + dones.astype(jnp.int32)
        env, observations = self._restart(dones, (env, answer.observations), replace(state, restarts=restarts))
        next_state = replace(state, env=env, episode_length=jnp.where(dones, 0, episode_length), restarts=restarts)
        timestep = TimeStep(
            observations=observations,
            rewards=answer.reward,
            dones=dones,
            time_outs=time_outs,
            final_observations=answer.observations,
            log=jax.tree.map(jnp.mean, answer.log),
        )
        return next_state, timestep

    def single_step(self, state: State, action: Array) -> tuple[State, Answer]:
        """Step one environment, without time limit and reset."""
        return self._signature.step(state, action)

    def begin_iteration(self, state: VectorState[Any], key: Key) -> VectorState[Any]:
        """Renew randomized models, if it is time, and the pool of initial states, if there is one."""
        if self._randomization is not None:
            key, model_key = jax.random.split(key)
            state = replace(state, models=self._randomization.renew(state.models, model_key))
        if self.auto_reset != "pool":
            return state
        return replace(state, pool=self._starts(jax.random.split(key, self._pool_size), state.models))

    def part(self, num_parts: int) -> VectorizedEnv:
        """Return the same with an equal part of the batch and of the pool."""
        part = super().part(num_parts)
        part._pool_size = equal_part("reset_pool_size", self._pool_size, num_parts)
        return part

    def for_evaluation(self, num_envs: int) -> VectorizedEnv:
        """Return ``num_envs`` of the same environment, without what is random only in training.

        They restart where they started (``"cached"``): only the first episode counts in an evaluation, so later ones
        should cost nothing.
        """
        other = super().for_evaluation(num_envs)
        other.auto_reset, other._pool_size, other._randomization = "cached", num_envs, None
        other.single_env = for_evaluation(self.single_env)
        if other.single_env is not self.single_env:
            other._signature = Signature(other.single_env)
        return other

    def can_render(self) -> bool:
        """Return whether the single environment can render."""
        return hasattr(self.single_env, "render")

    def render(self, state: VectorState[Any], index: int = 0) -> np.ndarray:
        """Render environment ``index``, uint8 ``[H, W, 3]``."""
        render = getattr(self.single_env, "render", None)
        if render is None:
            raise NotImplementedError(
                f"{type(self.single_env).__name__} cannot be rendered: it has no method render(state)."
            )
        return render(jax.tree.map(lambda x: x[index], state.env))

    def _starts(self, keys: Key, models: Models | tuple[()]) -> tuple[Any, Observations]:
        starts: Any = Start(keys, _first(models.drawn, len(keys))) if isinstance(models, Models) else keys
        return jax.vmap(self._signature.reset)(starts)

    def _endings(self, answer: Answer, episode_length: Array) -> tuple[Array, Array]:
        time_up = answer.truncated
        if self.max_episode_length is not None:
            time_up = time_up | (episode_length >= self.max_episode_length)
        return answer.terminated | time_up, time_up & ~answer.terminated

    def _restart(self, dones: Array, current: Any, state: VectorState[Any]) -> Any:
        """Replace ``current`` by a start where done.

        Selecting at every step was measured to be no slower than a ``cond`` that skips it where none is done (256
        cart-poles, CPU), and is the same under ``vmap``. Only a full reset is worth a ``cond``.
        """
        if self.auto_reset == "full":

            def restarted() -> Any:
                keys = jax.vmap(jax.random.fold_in)(state.key, state.restarts)
                return select_rows(dones, self._starts(keys, state.models), current)

            return jax.lax.cond(dones.any(), restarted, lambda: current)
        pool = state.pool
        if self.auto_reset == "pool":
            # In turn, not at random: the pool is random, and drawing numbers took a quarter of a pendulum's step.
            rows = (jnp.arange(self.num_envs, dtype=jnp.int32) + state.restarts) % self._pool_size
            pool = jax.tree.map(lambda x: x[rows], pool)
        return select_rows(dones, pool, current)

    def _actions(self, actions: Array) -> Array:
        size = self.num_envs
        if self.discrete and actions.shape in ((size,), (size, 1)):
            return actions.reshape(size).astype(jnp.int32)
        if not self.discrete and actions.shape == (size, self.num_actions):
            return typed(actions, self._signature.action.dtype)
        allowed = f"[{size}] or [{size}, 1]" if self.discrete else f"[{size}, {self.num_actions}]"
        raise ValueError(f"Actions must have the shape {allowed}, but have {list(actions.shape)}.")


def _first(tree: Any, size: int) -> Any:
    # No slices where there is nothing to cut: they cost compile time, leaf by leaf.
    return jax.tree.map(lambda x: x if x.shape[0] == size else x[:size], tree)


def _check_interval(every: int | None, single_env: Any, auto_reset: AutoReset) -> None:
    if every is None:
        return
    _check_positive("randomize_every", every)
    if not isinstance(single_env, RandomizedSingleEnv):
        raise ValueError(f"randomize_every is {every}, but nothing is randomized; give randomize, too.")
    if auto_reset == "cached":
        raise ValueError(
            "auto_reset='cached' starts every episode from the same state, whose model is drawn once; leave out "
            "randomize_every, or take auto_reset='pool'."
        )


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}, but must be at least 1.")
