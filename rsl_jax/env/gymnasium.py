"""Adapter of gymnasium's vector environments to RSL-RL's ``VecEnv``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from rsl_jax.env.arrays import to_numpy
from rsl_jax.env.extras import PYGAME, import_extra, is_headless, without_notices, without_screen_and_sound
from rsl_jax.env.gymnasium_spaces import Groups, action_converter, observation_converter
from rsl_jax.env.limits import step_limit
from rsl_jax.env.suites import Suite
from rsl_jax.registry import lookup

__all__ = ["GYMNASIUM", "GymnasiumVecEnv", "gymnasium_names", "make_gymnasium"]

_NOT_FOR_US = {"tabular", "Blackjack"}
"""Registered environments that are left out: tuples for observations, or spaces that do not match their tables."""


class GymnasiumVecEnv:
    """``gymnasium.vector`` environment with RSL-RL's interface (:class:`rsl_jax.env.VecEnv`), in numpy.

    ``time_outs`` are episode ends by truncation in gymnasium, or by the time limit, that are not
    terminations too. ``final_observations`` are those before the reset.

    Observations keep the names of a ``Dict`` space; of any other space they are the group ``policy``. Images
    ``[H, W, C]`` (or ``[C, H, W]``) become ``[C, H, W]``, bytes are divided by 255; a ``Discrete`` observation becomes
    a one-hot vector; other boxes become vectors. Actions are clipped to the bounds of a ``Box``.

    Attributes:
        envs: the vector environment.
        num_envs: size of the batch, ``N``.
        num_actions: size of an action, ``A``; the number of discrete actions where ``discrete``.
        discrete: whether actions are discrete.
        max_episode_length: time limit in steps, or None.
        step_dt: seconds between two actions, where given.
        device: always ``"cpu"``.
        cfg: description of the environment.
    """

    def __init__(
        self,
        envs: Any,
        *,
        seed: int | None = None,
        max_episode_length: int | None = None,
        step_dt: float | None = None,
        flatten: bool = False,
        cfg: Mapping[str, Any] | None = None,
    ):
        """Adapt an environment and reset it.

        Args:
            envs: a ``gymnasium.vector.VectorEnv``. With ``autoreset_mode=AutoresetMode.DISABLED`` the adapter resets
                it, so that a time limit and random episode lengths can be enforced; ``SAME_STEP`` works too.
            seed: seed of the environments.
            max_episode_length: time limit in steps; that of the environment's spec where not given.
            step_dt: seconds between two actions.
            flatten: whether images are flattened to vectors too.
            cfg: description of the environment.

        Raises:
            ValueError: if it resets itself in the step after an end, or has spaces that cannot be used.
        """
        self.envs = envs
        self.num_envs = int(envs.num_envs)
        self.step_dt = step_dt
        self.device = "cpu"
        self.cfg = dict(cfg or {})
        self._resets_itself = _resets_itself(envs)
        own_limit = _spec_limit(envs)
        if self._resets_itself and max_episode_length is not None and max_episode_length != own_limit:
            raise ValueError(
                f"A time limit of {max_episode_length} steps cannot be imposed on an environment that resets itself. "
                "Make it with autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED, or with that limit in its spec."
            )
        self.max_episode_length = own_limit if max_episode_length is None else max_episode_length
        self._convert = observation_converter(envs.single_observation_space, flatten=flatten)
        actions = envs.single_action_space
        self.num_actions, self.discrete, self._actions = action_converter(actions, self.num_envs)
        self.reset(seed=seed)

    def reset(self, *, seed: int | None = None) -> Groups:
        """Reset all environments; returns the first observations, leaves ``[N, ...]``."""
        observations, _ = self.envs.reset(seed=seed)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._observations = self._convert(observations)
        return self._observations

    def get_observations(self) -> Groups:
        """Return the current observations, leaves ``[N, ...]``."""
        return self._observations

    def step(self, actions: Any) -> tuple[Groups, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply actions ``[N, A]`` (``[N]`` or ``[N, 1]`` where discrete); environments whose episode ends are reset.

        Returns:
            observations (leaves ``[N, ...]``), rewards ``[N]``, dones ``[N]``, and extras with ``time_outs`` ``[N]``
            and ``final_observations``.
        """
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions(actions))
        self._lengths = self._lengths + 1
        if not self._resets_itself and self.max_episode_length is not None:
            truncated = truncated | (self._lengths >= self.max_episode_length)
        dones = terminated | truncated
        final = self._observations = self._convert(observations)
        if dones.any() and self._resets_itself:
            final = _put(final, self._convert(_final(observations, infos)), dones)
        elif dones.any():
            restarted, _ = self.envs.reset(options={"reset_mask": dones})
            self._observations = _put(final, self._convert(restarted), dones)
        self._lengths = np.where(dones, 0, self._lengths)
        extras = {"time_outs": truncated & ~terminated, "final_observations": final}
        return self._observations, rewards, dones, extras

    def render(self) -> np.ndarray:
        """Render the first environment, uint8 ``[H, W, 3]``.

        Raises:
            NotImplementedError: if the environment was not made with ``render_mode="rgb_array"``.
            ImportError: if a package is missing that gymnasium renders with.
        """
        if getattr(self.envs, "render_mode", None) != "rgb_array":
            raise NotImplementedError(
                "To be rendered, a Gymnasium environment must be created with render_mode='rgb_array'."
            )
        without_screen_and_sound()
        if is_headless():
            os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            # Do not render every environment for the sake of one.
            frame = self.envs.envs[0].render() if hasattr(self.envs, "envs") else self.envs.render()[0]
        except import_extra("gymnasium", "gymnasium").error.DependencyNotInstalled as error:
            raise ImportError(f"Gymnasium cannot render: {error}. For its classic control tasks: {PYGAME}") from error
        return np.asarray(frame, np.uint8)

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    @property
    def episode_length_buf(self) -> np.ndarray:
        """Steps since the last reset, int64 ``[N]``; can be set where the environment does not reset itself."""
        return self._lengths

    @episode_length_buf.setter
    def episode_length_buf(self, lengths: Any) -> None:
        if self._resets_itself:
            raise AttributeError(
                "Episode lengths cannot be set in an environment that resets itself. Make it with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED."
            )
        lengths = np.array(to_numpy(lengths), np.int64)
        if lengths.shape != (self.num_envs,):
            raise ValueError(f"Episode lengths must have the shape [{self.num_envs}], but have {list(lengths.shape)}.")
        self._lengths = lengths


def gymnasium_names() -> list[str]:
    """List gymnasium's environments that can be trained here: newest versions, of packages that are installed."""
    registration = import_extra("gymnasium", "gymnasium").envs.registration
    newest: dict[tuple[str | None, str], Any] = {}
    for spec in registration.registry.values():
        if spec.namespace in _NOT_FOR_US or spec.name in _NOT_FOR_US:
            continue
        known = newest.get((spec.namespace, spec.name))
        if known is None or (spec.version or 0) > (known.version or 0):
            newest[spec.namespace, spec.name] = spec
    return sorted(spec.id for spec in newest.values() if _can_be_loaded(registration, spec))


def make_gymnasium(
    name: str,
    num_envs: int,
    *,
    seed: int | None = None,
    max_episode_length: int | None = None,
    step_dt: float | None = None,
    flatten: bool = False,
    vectorization_mode: str = "sync",
    **env_kwargs: Any,
) -> GymnasiumVecEnv:
    """Make an environment of gymnasium's registry, ``num_envs`` times.

    Args:
        name: such as ``Pendulum-v1``, or ``module:Name-v0`` to have a module imported first.
        num_envs: size of the batch.
        seed: seed of the environments.
        max_episode_length: time limit in steps instead of the registered one.
        step_dt: seconds between two actions.
        flatten: whether images are flattened to vectors.
        vectorization_mode: ``sync`` (one process) or ``async`` (one process per environment).
        **env_kwargs: passed to ``gymnasium.make``.
    """
    gymnasium = import_extra("gymnasium", "gymnasium")
    without_screen_and_sound()
    if ":" not in name:
        lookup(name, dict.fromkeys(gymnasium.envs.registration.registry), "gymnasium environment")
    limit = {} if max_episode_length is None else {"max_episode_steps": step_limit(max_episode_length)}
    kwargs = {**_render_mode(gymnasium.envs.registration, name), **limit, **env_kwargs}
    with without_notices():
        envs = gymnasium.make_vec(
            name,
            num_envs,
            vectorization_mode=vectorization_mode,
            vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED},
            **kwargs,
        )
    cfg = {"name": f"gymnasium/{name}", **env_kwargs}
    return GymnasiumVecEnv(
        envs, seed=seed, max_episode_length=max_episode_length, step_dt=step_dt, flatten=flatten, cfg=cfg
    )


def _resets_itself(envs: Any) -> bool:
    mode = getattr(envs, "metadata", {}).get("autoreset_mode")
    mode = getattr(mode, "value", mode)
    if mode not in ("Disabled", "SameStep"):
        raise ValueError(
            f"The vector environment has autoreset_mode={mode!r}, in which the step after the end of an episode is not "
            "a real step. Make it with autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED (or SAME_STEP)."
        )
    return mode == "SameStep"


def _spec_limit(envs: Any) -> int | None:
    spec = getattr(envs, "spec", None)
    if spec is None and hasattr(envs, "get_attr"):
        spec = envs.get_attr("spec")[0]
    return getattr(spec, "max_episode_steps", None)


def _final(observations: Any, infos: Mapping[str, Any]) -> Any:
    """Return final observations as gymnasium provides them; rows of environments that did not end are invalid."""
    if "final_obs" not in infos:
        raise ValueError("An environment with autoreset_mode SAME_STEP must return infos['final_obs'], but did not.")

    def batch(current: np.ndarray, final: Any) -> np.ndarray:
        rows = [now if seen is None else seen for now, seen in zip(current, final, strict=True)]
        return np.stack(rows).astype(current.dtype)

    final = infos["final_obs"]
    if isinstance(observations, Mapping):
        return {name: batch(current, _by_name(final, name)) for name, current in observations.items()}
    return batch(observations, final)


def _by_name(final: Any, name: str) -> Any:
    """Return one group of the final observations, which gymnasium stores as a dict of arrays or an array of dicts."""
    return final[name] if isinstance(final, Mapping) else [None if seen is None else seen[name] for seen in final]


def _put(groups: Groups, replacements: Groups, where: np.ndarray) -> Groups:
    """Return new groups that hold ``replacements`` where ``where`` ``[N]``."""

    def put(name: str, group: np.ndarray) -> np.ndarray:
        return np.where(np.reshape(where, where.shape + (1,) * (group.ndim - 1)), replacements[name], group)

    return {name: put(name, group) for name, group in groups.items()}


def _can_be_loaded(registration: Any, spec: Any) -> bool:
    if callable(spec.entry_point) or spec.entry_point is None:
        return False  # placeholders that only say what was removed
    try:
        registration.load_env_creator(spec.entry_point)
    except Exception:  # whatever a missing package makes it raise
        return False
    return True


def _render_mode(registration: Any, name: str) -> dict[str, str]:
    """Request rendering where the environment supports it; costs nothing until an image is asked for."""
    try:
        creator = registration.load_env_creator(registration.registry[name].entry_point)
    except Exception:  # not registered yet, or a package is missing: making the environment says so
        return {}
    modes = getattr(creator, "metadata", {}).get("render_modes", ())
    return {"render_mode": "rgb_array"} if "rgb_array" in modes else {}


GYMNASIUM = Suite.of_extra("gymnasium", "gymnasium", make_gymnasium, gymnasium_names)
