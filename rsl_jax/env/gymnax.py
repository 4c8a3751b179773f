"""Adapter of gymnax's environments."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rsl_jax.env.base import Transition
from rsl_jax.env.extras import PYGAME, import_extra, simulators_promotion, without_screen_and_sound
from rsl_jax.env.randomization import Randomize
from rsl_jax.env.sensor_options import Sensors
from rsl_jax.env.suites import Suite
from rsl_jax.env.vectorized import AutoReset, VectorizedEnv, vectorize
from rsl_jax.registry import lookup
from rsl_jax.types import Array, Key

__all__ = ["GYMNAX", "GymnaxSingleEnv", "GymnaxState", "gymnax_names", "make_gymnax"]


@struct.dataclass
class GymnaxState:
    """State of one gymnax environment.

    Attributes:
        env: gymnax's own state.
        steps: number of steps of the episode, int32 ``[]``.
        key: random key of the episode's steps.
    """

    env: Any
    steps: Array
    key: Key


class GymnaxSingleEnv:
    """One environment of gymnax 1.x, without its automatic reset.

    Observations: an image ``[H, W, C]`` becomes ``[C, H, W]``, a ``Discrete`` observation becomes a one-hot vector,
    anything
    else that is not a vector becomes one. Actions are clipped to the bounds of a ``Box``.

    Attributes:
        env: the environment of gymnax.
        params: its parameters.
        num_actions: size of an action; the number of discrete actions where ``discrete``.
        discrete: whether actions are discrete.
        step_dt: seconds between two actions, where the parameters say so (``dt`` or ``tau``).
        max_episode_length: time limit in steps.
        cfg: description of the environment.
    """

    def __init__(self, env: Any, params: Any, *, flatten: bool = False):
        """Adapt an environment.

        Args:
            env: a gymnax environment.
            params: its parameters.
            flatten: whether images are flattened to vectors too.

        Raises:
            ValueError: if actions are neither a vector nor discrete, or observations not one array.
        """
        spaces = import_extra("gymnax.environments.spaces", "gymnax")
        self.env = env
        self.params = params
        self.step_dt = getattr(params, "dt", getattr(params, "tau", None))
        self.max_episode_length = int(params.max_steps_in_episode) if hasattr(params, "max_steps_in_episode") else None
        self.cfg = {"name": f"gymnax/{env.name}", **getattr(params, "__dict__", {})}
        self._flatten = flatten
        self._visualizer: Any = None

        actions, observations = env.action_space(params), env.observation_space(params)
        self.discrete = isinstance(actions, spaces.Discrete)
        if not self.discrete and not (isinstance(actions, spaces.Box) and len(_shape(actions)) <= 1):
            raise ValueError(f"Actions of gymnax/{env.name} are {actions}; a Discrete or a Box of one axis is needed.")
        self.num_actions = int(actions.n) if self.discrete else int(np.prod(_shape(actions)))
        self._bounds = None if self.discrete else (actions.low, actions.high)
        self._action_shape = _shape(actions)
        if not isinstance(observations, spaces.Discrete | spaces.Box):
            raise ValueError(f"Observations of gymnax/{env.name} are {observations}; a Discrete or a Box is needed.")
        self._choices = int(observations.n) if isinstance(observations, spaces.Discrete) else None

    def reset(self, key: Key) -> tuple[GymnaxState, Array]:
        """Start an episode."""
        reset_key, key = jax.random.split(key)
        with simulators_promotion():
            observations, env = self.env.reset_env(reset_key, self.params)
        return GymnaxState(env=env, steps=jnp.zeros((), jnp.int32), key=key), self._observations(observations)

    def step(self, state: GymnaxState, action: Array) -> tuple[GymnaxState, Transition]:
        """Apply an action ``[A]``, or a discrete action ``[]``."""
        # Not split from a key that changes: where the environment uses no key, nothing of this is then computed.
        step_key = jax.random.fold_in(state.key, state.steps)
        if self._bounds is not None:
            action = jnp.clip(action, *self._bounds).astype(action.dtype).reshape(self._action_shape)
        with simulators_promotion():
            observations, env, reward, terminated, _ = self.env.step_env(step_key, state.env, action, self.params)
            truncated = self.env.is_truncated(env, self.params)
        return GymnaxState(env=env, steps=state.steps + 1, key=state.key), Transition(
            observations=self._observations(observations),
            reward=jnp.asarray(reward).reshape(()),
            terminated=jnp.asarray(terminated).reshape(()),
            truncated=jnp.asarray(truncated).reshape(()),
        )

    def render(self, state: GymnaxState) -> np.ndarray:
        """Render a state with gymnax's own visualizer, uint8 ``[H, W, 3]``.

        Raises:
            NotImplementedError: if gymnax cannot render this environment.
            ImportError: if a package is missing that gymnax renders with.
        """
        if self._visualizer is None:
            self._visualizer = self._start_visualizer(state)
        visualizer = self._visualizer
        visualizer.state_seq = [state.env]
        with simulators_promotion():
            visualizer.update(0)
        canvas = importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(visualizer.fig)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]

    @property
    def model(self) -> Any:
        """The parameters, which can be randomized."""
        return self.params

    def with_model(self, model: Any) -> GymnaxSingleEnv:
        """Return the same environment with other parameters."""
        other = copy.copy(self)
        other.params = model
        return other

    def _start_visualizer(self, state: GymnaxState) -> Any:
        without_screen_and_sound()
        with simulators_promotion():
            visualizer = import_extra("gymnax.visualize", "gymnax").Visualizer(self.env, self.params, [state.env])
        # Do not register the figure with pyplot, which would keep it, and show it.
        importlib.import_module("matplotlib.pyplot").close(visualizer.fig)
        try:
            with simulators_promotion():
                visualizer.init()
        except ImportError as error:
            raise ImportError(f"gymnax renders {self.env.name} with pygame. Install it with: {PYGAME}") from error
        if not hasattr(visualizer, "im"):
            raise NotImplementedError(f"gymnax cannot render {self.env.name}.")
        return visualizer

    def _observations(self, observations: Any) -> Array:
        if self._choices is not None:
            return jax.nn.one_hot(observations, self._choices)
        if observations.ndim == 3 and not self._flatten:
            return jnp.moveaxis(observations, -1, 0)
        return observations.reshape(-1)


def gymnax_names() -> list[str]:
    """List gymnax's environments that can be made without a download."""
    return [name for name in import_extra("gymnax", "gymnax").registered_envs if name != "MNISTBandit-bsuite"]


def make_gymnax(
    name: str,
    num_envs: int,
    *,
    params: Mapping[str, Any] | None = None,
    flatten: bool = False,
    max_episode_length: int | None = None,
    auto_reset: AutoReset = "pool",
    reset_pool_size: int | None = None,
    step_dt: float | None = None,
    randomize: Randomize = False,
    randomize_every: int | None = None,
    sensors: Sensors | Mapping[str, Any] | None = None,
    **env_kwargs: Any,
) -> VectorizedEnv:
    """Make an environment of gymnax's registry.

    Args:
        name: such as ``Pendulum-v1``.
        num_envs: size of the batch.
        params: changes to gymnax's default parameters.
        flatten: whether images are flattened to vectors.
        max_episode_length: time limit in steps instead of gymnax's.
        auto_reset: see :func:`rsl_jax.env.vectorize`.
        reset_pool_size: see :func:`rsl_jax.env.vectorize`.
        step_dt: seconds between two actions, where the parameters do not say so.
        randomize: see :func:`rsl_jax.env.vectorize`; the model are the parameters.
        randomize_every: see :func:`rsl_jax.env.vectorize`.
        sensors: see :func:`rsl_jax.env.vectorize`.
        **env_kwargs: passed to ``gymnax.make``.
    """
    gymnax = import_extra("gymnax", "gymnax")
    lookup(name, dict.fromkeys(gymnax.registered_envs), "gymnax environment")
    env, default_params = gymnax.make(name, **env_kwargs)
    changes = dict(params or {})
    if max_episode_length is not None and hasattr(default_params, "max_steps_in_episode"):
        changes["max_steps_in_episode"] = max_episode_length
    for parameter in changes:
        lookup(parameter, vars(default_params), f"parameter of gymnax/{name}")
    return vectorize(
        GymnaxSingleEnv(env, default_params.replace(**changes), flatten=flatten),
        num_envs,
        max_episode_length=max_episode_length,
        auto_reset=auto_reset,
        reset_pool_size=reset_pool_size,
        step_dt=step_dt,
        randomize=randomize,
        randomize_every=randomize_every,
        sensors=sensors,
    )


def _shape(space: Any) -> tuple[int, ...]:
    """Return the shape of a space; gymnax's own environments give some of one axis as a bare number."""
    return (space.shape,) if isinstance(space.shape, int) else tuple(space.shape)


GYMNAX = Suite.of_extra("gymnax", "gymnax", make_gymnax, gymnax_names)
