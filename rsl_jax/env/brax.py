"""Environments of MuJoCo Playground and Brax: two registries, one interface."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.env.base import Transition
from rsl_jax.env.deployment import facts_of_playground
from rsl_jax.env.extras import import_extra, simulators_promotion, without_notices
from rsl_jax.env.limits import step_limit
from rsl_jax.env.menagerie import missing_folders, needing_meshes
from rsl_jax.env.mujoco_camera import MujocoCamera
from rsl_jax.env.randomization import Randomize, Randomizer
from rsl_jax.env.sensor_options import Sensors
from rsl_jax.env.suites import Suite
from rsl_jax.env.vectorized import AutoReset, VectorizedEnv, vectorize
from rsl_jax.registry import lookup
from rsl_jax.types import Array, Key

__all__ = ["BRAX", "PLAYGROUND", "BraxSingleEnv", "brax_names", "make_brax", "make_playground", "playground_names"]

BRAX_EPISODE_LENGTH = 1000
"""Simulation steps of an episode in Brax's own training, for all of its environments."""

_BRAX_NOT_SPRING = {"swimmer": "generalized"}
"""Brax's environments that the ``spring`` backend cannot simulate, and the backend to use instead."""


_RANDOM_IN_TRAINING = {"noise_config.level": 0.0, "push_config.enable": False, "pert_config.enable": False}
"""Settings of Playground's robots that switch their own noise and pushes off."""


class BraxSingleEnv:
    """Environment of Playground or Brax: anything with ``reset(rng) -> state`` and ``step(state, action) -> state``.

    A state has ``obs``, ``reward``, ``done``, ``metrics`` and ``info``. ``done`` means terminated, unless
    ``truncation_key`` names an entry of ``info`` that says that the episode was only truncated. ``metrics`` are logged.

    Attributes:
        env: the environment of its library.
        num_actions: size of an action.
        action_repeat: steps of ``env`` per action.
        step_dt: seconds between two actions.
        max_episode_length: time limit in actions.
        cfg: description of the environment.
        domain_randomizer: the randomizer that its library provides for it, or None.
    """

    def __init__(
        self,
        env: Any,
        *,
        episode_length: int | None = BRAX_EPISODE_LENGTH,
        action_repeat: int = 1,
        clip_actions: float | None = 1.0,
        truncation_key: str | None = None,
        cfg: Mapping[str, Any] | None = None,
        domain_randomizer: Randomizer | None = None,
    ):
        """Adapt an environment.

        Args:
            env: an environment of Playground or Brax, not yet wrapped for training.
            episode_length: time limit in steps of ``env``, or None.
            action_repeat: number of steps of ``env`` per action; their rewards are summed.
            clip_actions: actions are clipped to plus and minus this, which is what both libraries' own training does in
                effect; None leaves them unchanged.
            truncation_key: entry of ``info`` that is 1 where ``done`` is not a termination. The registries' own
                environments have no reliable one: ``time_out``, where it is set, is 1 when Brax's pendulum falls.
            cfg: description of the environment.
            domain_randomizer: randomizer used by ``randomize=True``.
        """
        if action_repeat < 1:
            raise ValueError(f"action_repeat is {action_repeat}, but must be at least 1.")
        self.env = env
        self.num_actions = int(env.action_size)
        self.action_repeat = action_repeat
        self.step_dt = float(env.dt) * action_repeat
        self.max_episode_length = step_limit(None if episode_length is None else episode_length / action_repeat)
        self.cfg = dict(cfg or {})
        self.domain_randomizer = domain_randomizer
        self._clip_actions = clip_actions
        self._truncation_key = truncation_key
        self._camera: MujocoCamera | None = None

    def reset(self, key: Key) -> tuple[Any, Any]:
        """Start an episode."""
        with _as_a_simulator():
            state = self.env.reset(key)
        return state, state.obs

    def step(self, state: Any, action: Array) -> tuple[Any, Transition]:
        """Apply an action ``[A]``, ``action_repeat`` times."""
        if self._clip_actions is not None:
            action = jnp.clip(action, -self._clip_actions, self._clip_actions)
        with _as_a_simulator():
            state = self.env.step(state, action) if self.action_repeat == 1 else self._repeat(state, action)
        done = _bool(state.done)
        cut_short = _bool(self._truncation_key is not None and state.info[self._truncation_key])
        return state, Transition(
            observations=state.obs,
            reward=jnp.where(jnp.isnan(state.done), jnp.nan, state.reward),  # else NaN would pass for an end
            terminated=done & ~cut_short,
            truncated=done & cut_short,
            log=dict(state.metrics),
        )

    def for_evaluation(self) -> BraxSingleEnv:
        """Return the same environment without the noise and the pushes of Playground's own config."""
        config = getattr(self.env, "_config", None)
        changes = {} if config is None else _known_keys(config, _RANDOM_IN_TRAINING)
        if not changes:
            return self
        other, other.env = copy.copy(self), copy.copy(self.env)
        other.env._config = copy.deepcopy(config)
        other.env._config.update_from_flattened_dict(changes)
        other.cfg = {**self.cfg, **other.env._config.to_dict()}
        return other

    def render(self, state: Any) -> np.ndarray:
        """Render a state, uint8 ``[H, W, 3]``."""
        if self._camera is None:
            self._camera = MujocoCamera(self.env.mj_model if hasattr(self.env, "mj_model") else self.env.sys.mj_model)
        qpos, qvel = self.coordinates(state)
        names = () if hasattr(state, "pipeline_state") else ("mocap_pos", "mocap_quat", "xfrc_applied")
        return self._camera.draw(qpos=qpos, qvel=qvel, **{name: getattr(state.data, name) for name in names})

    def coordinates(self, state: Any) -> tuple[Array, Array]:
        """Return joint positions and velocities, which the rest of the simulator's state follows from."""
        if hasattr(state, "pipeline_state"):
            return state.pipeline_state.q, state.pipeline_state.qd
        return state.data.qpos, state.data.qvel

    def at(self, state: Any, coordinates: tuple[Array, Array]) -> Any:
        """Return the state with other joint positions and velocities; observations and reward change at the next step.

        In Brax's ``spring`` and ``positional`` simulations joints are compliant, which joint positions do not show:
        there it is the state in which they do not give way.
        """
        positions, speeds = coordinates
        if hasattr(state, "pipeline_state"):
            with _as_a_simulator():
                return state.replace(pipeline_state=self.env.pipeline_init(positions, speeds))
        forgotten = jnp.zeros_like(state.data.qacc_warmstart)
        return state.replace(data=state.data.replace(qpos=positions, qvel=speeds, qacc_warmstart=forgotten))

    @property
    def model(self) -> Any:
        """The simulator's model: Playground's ``mjx_model``, Brax's ``sys``."""
        return self.env.mjx_model if hasattr(self.env, "mjx_model") else getattr(self.env, "sys", None)

    def with_model(self, model: Any) -> BraxSingleEnv:
        """Return the same environment with another model."""
        other = copy.copy(self)
        other.env = _with_model(self.env, model)
        return other

    def push(self, state: Any, velocity: Array) -> Any:
        """Add a horizontal velocity ``[2]`` in m/s to the robot's base, in the world's frame.

        Raises:
            ValueError: for Brax's robots, and those whose base is not free.
        """
        if not hasattr(state, "data") or self.env.mj_model.njnt == 0 or self.env.mj_model.jnt_type[0] != 0:
            raise ValueError(
                f"{self.cfg.get('name', 'This robot')} cannot be pushed: that needs a robot of MuJoCo Playground whose "
                "first joint is a free joint."
            )
        qvel = state.data.qvel
        return state.replace(data=state.data.replace(qvel=qvel.at[:2].add(velocity.astype(qvel.dtype))))

    def deployment(self) -> dict[str, Any]:
        """Return what a controller needs to know of a robot of Playground; see :mod:`rsl_jax.env.deployment`."""
        suite, _, name = str(self.cfg.get("name", "")).partition("/")
        if suite != "playground":
            return {}
        return facts_of_playground(self.env, name, control_dt=self.step_dt, clip_actions=self._clip_actions)

    def _repeat(self, state: Any, action: Array) -> Any:
        """Repeat an action; an episode that ends meanwhile stays at its end and gets no further reward."""

        def again(state: Any, _: None) -> tuple[Any, None]:
            following = self.env.step(state, action)
            following = following.replace(reward=state.reward + following.reward)
            done = _bool(state.done)
            return jax.tree.map(lambda old, new: jnp.where(done, old, new), state, following), None

        # The first step determines the dtypes of all others.
        return jax.lax.scan(again, self.env.step(state, action), None, length=self.action_repeat - 1)[0]


def _with_model(env: Any, model: Any) -> Any:
    """Return a copy of an environment of either library, with its wrappers, that has another model."""
    env = copy.copy(env)
    if "env" in vars(env):
        env.env = _with_model(env.env, model)
    elif hasattr(env, "_mjx_model"):
        env._mjx_model = model
    else:
        env.sys = model
    return env


def _bool(flag: Any) -> Array:
    return jnp.asarray(flag).astype(bool)


def playground_names() -> list[str]:
    """List the names of Playground's environments."""
    return list(import_extra("mujoco_playground", "playground").registry.ALL_ENVS)


def playground_downloads() -> list[str]:
    """List those whose robots' meshes are not downloaded yet."""
    return [name for name in playground_names() if missing_folders(name)]


def make_playground(
    name: str,
    num_envs: int,
    *,
    config_overrides: Mapping[str, Any] | None = None,
    max_episode_length: int | None = None,
    clip_actions: float | None = 1.0,
    auto_reset: AutoReset = "pool",
    reset_pool_size: int | None = None,
    randomize: Randomize = False,
    randomize_every: int | None = None,
    sensors: Sensors | Mapping[str, Any] | None = None,
) -> VectorizedEnv:
    """Make an environment of MuJoCo Playground's registry. Its config gives ``episode_length`` and ``action_repeat``.

    Args:
        name: such as ``CartpoleBalance``.
        num_envs: size of the batch.
        config_overrides: changes to the environment's config by dotted keys. Physics runs in JAX (``{"impl": "jax"}``)
            unless this says otherwise.
        max_episode_length: time limit in actions instead of the config's.
        clip_actions: see :class:`BraxSingleEnv`.
        auto_reset: see :func:`rsl_jax.env.vectorize`.
        reset_pool_size: see :func:`rsl_jax.env.vectorize`.
        randomize: see :func:`rsl_jax.env.vectorize`; True uses Playground's own randomizer of this environment.
        randomize_every: see :func:`rsl_jax.env.vectorize`.
        sensors: see :func:`rsl_jax.env.vectorize`.
    """
    registry = import_extra("mujoco_playground", "playground").registry
    lookup(name, dict.fromkeys(registry.ALL_ENVS), "Playground environment")
    config = registry.get_default_config(name)
    overrides = {**({"impl": "jax"} if "impl" in config else {}), **(config_overrides or {})}
    for option in overrides:
        lookup(option, dict.fromkeys(_dotted(config.to_dict())), f"config key of playground/{name}")
    with without_notices(), simulators_promotion():
        config.update_from_flattened_dict(overrides)
        with needing_meshes(name):
            env = registry.load(name, config=config)
    single_env = BraxSingleEnv(
        env,
        episode_length=config.get("episode_length", None),
        action_repeat=config.get("action_repeat", 1),
        clip_actions=clip_actions,
        cfg={"name": f"playground/{name}", **config.to_dict()},
        domain_randomizer=_randomizer_of(registry, name),
    )
    return vectorize(
        single_env,
        num_envs,
        max_episode_length=max_episode_length,
        auto_reset=auto_reset,
        reset_pool_size=reset_pool_size,
        randomize=randomize,
        randomize_every=randomize_every,
        sensors=sensors,
    )


def _randomizer_of(registry: Any, name: str) -> Randomizer | None:
    """Return Playground's own randomizer of an environment; Playground prints a message where there is none."""
    with contextlib.redirect_stdout(io.StringIO()):
        return registry.get_domain_randomizer(name)


def _dotted(config: Mapping[str, Any]) -> list[str]:
    """Flatten nested dicts to keys ``outer.inner``."""
    inner = {key: _dotted(value) for key, value in config.items() if isinstance(value, Mapping)}
    return [*config, *(f"{key}.{name}" for key, names in inner.items() for name in names)]


def _known_keys(config: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the changes whose dotted keys a config has."""
    known = _dotted(config.to_dict())
    return {key: value for key, value in changes.items() if key in known}


def brax_names() -> list[str]:
    """List the names of Brax's environments."""
    # "fast" is a dummy for Brax's own tests.
    return sorted(set(import_extra("brax.envs", "brax")._envs) - {"fast"})


def make_brax(
    name: str,
    num_envs: int,
    *,
    backend: str | None = None,
    action_repeat: int = 1,
    max_episode_length: int | None = None,
    clip_actions: float | None = 1.0,
    auto_reset: AutoReset = "pool",
    reset_pool_size: int | None = None,
    randomize: Randomize = False,
    randomize_every: int | None = None,
    sensors: Sensors | Mapping[str, Any] | None = None,
    **env_kwargs: Any,
) -> VectorizedEnv:
    """Make an environment of Brax's registry, with episodes of 1000 simulation steps as in Brax's own training.

    Args:
        name: such as ``ant``.
        num_envs: size of the batch.
        backend: ``spring``, ``positional``, ``generalized`` or ``mjx``. By default ``spring``, by far the fastest to
            compile and to run (``generalized`` for ``swimmer``, which supports no other).
        action_repeat: number of simulation steps per action.
        max_episode_length: time limit in actions instead of Brax's.
        clip_actions: see :class:`BraxSingleEnv`.
        auto_reset: see :func:`rsl_jax.env.vectorize`.
        reset_pool_size: see :func:`rsl_jax.env.vectorize`.
        randomize: see :func:`rsl_jax.env.vectorize`; a function ``(sys, keys) -> (sys, in_axes)``, as Brax's
            ``randomization_fn``.
        randomize_every: see :func:`rsl_jax.env.vectorize`.
        sensors: see :func:`rsl_jax.env.vectorize`.
        **env_kwargs: passed to the environment itself.
    """
    envs = import_extra("brax.envs", "brax")
    lookup(name, dict.fromkeys(brax_names()), "Brax environment")
    backend = backend or _BRAX_NOT_SPRING.get(name, "spring")
    _mend_drag()
    with without_notices(), simulators_promotion():
        env = envs.get_environment(name, backend=backend, **env_kwargs)
    single_env = BraxSingleEnv(
        env,
        action_repeat=action_repeat,
        clip_actions=clip_actions,
        cfg={"name": f"brax/{name}", "backend": backend, "action_repeat": action_repeat, **env_kwargs},
    )
    return vectorize(
        single_env,
        num_envs,
        max_episode_length=max_episode_length,
        auto_reset=auto_reset,
        reset_pool_size=reset_pool_size,
        randomize=randomize,
        randomize_every=randomize_every,
        sensors=sensors,
    )


def _mend_drag() -> None:
    """Fix Brax's drag (of the swimmer, brax 0.14.2) under current JAX, whose ``jnp.clip`` has no ``a_min``."""
    fluid: Any = import_extra("brax.fluid", "brax")
    if "a_min" not in inspect.signature(jnp.clip).parameters and fluid.jp is jnp:
        mended = types.ModuleType("jax.numpy with the old clip")
        mended.__dict__.update(vars(jnp), clip=lambda x, a_min=None, a_max=None: jnp.clip(x, min=a_min, max=a_max))
        fluid.jp = mended


@contextlib.contextmanager
def _as_a_simulator() -> Iterator[None]:
    """Trace code of Brax and Playground, which relies on type promotion and deprecated functions of MuJoCo and JAX.

    Warnings of the latter are suppressed: users of rsl_jax can do nothing about them.
    """
    with simulators_promotion(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


PLAYGROUND = Suite.of_extra("mujoco_playground", "playground", make_playground, playground_names, playground_downloads)
BRAX = Suite.of_extra("brax", "brax", make_brax, brax_names)
