"""Evaluation of a policy while it trains: whole episodes without exploration, in environments of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.env.limits import LARGEST, step_limit
from rsl_jax.ops import reset_carry
from rsl_jax.training.iteration import spec_of
from rsl_jax.types import Algorithm, Array, Metrics, Observations, Spec, TrainState, default_dtype

SECTION = "Eval/"
REWARD, LENGTH = f"{SECTION}mean_reward", f"{SECTION}mean_episode_length"

SEED = 1_000_003
"""Seed of the initial states: the same in every evaluation of every run, so that curves can be compared."""


@struct.dataclass
class Played:
    """Result of an evaluation.

    Attributes:
        returns: sum of the rewards of each episode, ``[M]``.
        lengths: steps of each, int32 ``[M]``.
        log: means of what the environment logs, each ``[]``, over all steps; a step counts as often as there were
            episodes under way.
        frames: states of the environments at the steps that are filmed, only the first environment of each, leaves
            ``[F, 1, ...]``; None where nothing is.
    """

    returns: Array
    lengths: Array
    log: Metrics
    frames: Any = None

    def metrics(self) -> Metrics:
        """Return the means by tag."""
        means = {f"{SECTION}{name}": value for name, value in self.log.items()}
        lengths = self.lengths.astype(default_dtype())
        return {**means, REWARD: jnp.mean(self.returns), LENGTH: jnp.mean(lengths)}


@struct.dataclass
class _Progress:
    """Carry of the loop over steps; ``counts`` says in which environments the first episode is under way."""

    step: Array
    env_state: Any
    observations: Observations
    carry: Any
    counts: Array
    played: Played


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of a policy: the first episode of each of ``M`` environments, from the same states every time.

    Attributes:
        env: the ``M`` environments.
        interval: iterations between two evaluations.
        max_steps: time limit of an episode.
        tags: names of what the environment logs.
        num_frames: number of steps at which the state of the first environment is recorded, ``F``.
        frame_interval: steps from one of these to the next.
    """

    env: Env[Any]
    interval: int
    max_steps: int
    tags: tuple[str, ...]
    num_frames: int = 0
    frame_interval: int = 1

    def play(self, algorithm: Algorithm, state: TrainState) -> Played:
        """Play the episodes; a pure function.

        What follows the first episode of an environment does not count, and the loop ends with the last of these.
        """
        env, dtype = self.env, default_dtype()
        env_state, observations = env.reset(jax.random.key(SEED))
        frame = self._first(env_state)
        start = _Progress(
            step=jnp.zeros((), jnp.int32),
            env_state=env_state,
            observations=observations,
            carry=algorithm.initial_carry(env.num_envs),
            counts=jnp.ones(env.num_envs, bool),
            played=Played(
                returns=jnp.zeros(env.num_envs, dtype),
                lengths=jnp.zeros(env.num_envs, jnp.int32),
                log={tag: jnp.zeros((), dtype) for tag in self.tags},
                frames=jax.tree.map(lambda x: jnp.broadcast_to(x[None], (self.num_frames, *x.shape)), frame),
            ),
        )

        def step(now: _Progress) -> _Progress:
            actions, carry = algorithm.policy(state, now.carry, now.observations)
            env_state, timestep = env.step(now.env_state, actions)
            under_way = jnp.sum(now.counts, dtype=dtype)
            played = Played(
                returns=now.played.returns + jnp.where(now.counts, timestep.rewards.astype(dtype), 0),
                lengths=now.played.lengths + now.counts.astype(jnp.int32),
                log={tag: now.played.log[tag] + under_way * timestep.log[tag].astype(dtype) for tag in self.tags},
                frames=self._recorded(now),
            )
            dones = timestep.dones.astype(bool)
            return _Progress(
                step=now.step + 1,
                env_state=env_state,
                observations=timestep.observations,
                carry=reset_carry(carry, dones),
                counts=now.counts & ~dones,
                played=played,
            )

        end = jax.lax.while_loop(lambda now: jnp.any(now.counts) & (now.step < self.max_steps), step, start)
        steps = jnp.sum(end.played.lengths, dtype=jnp.int32).astype(dtype)
        return end.played.replace(log={tag: total / steps for tag, total in end.played.log.items()})  # type: ignore[attr-defined]

    def metrics_after(self, finished: Array, algorithm: Algorithm, state: TrainState) -> Metrics:
        """Return the metrics of an evaluation if one is due, and NaN otherwise, at no cost.

        Args:
            finished: number of finished iterations, ``[]``; under ``vmap`` the same for all runs, or all would be
                evaluated always.
            algorithm: the algorithm.
            state: the training state after them.
        """
        tags = (REWARD, LENGTH, *(f"{SECTION}{tag}" for tag in self.tags))
        missing = dict.fromkeys(tags, jnp.asarray(jnp.nan, default_dtype()))
        due = finished % self.interval == 0
        return jax.lax.cond(due, lambda state: self.play(algorithm, state).metrics(), lambda _: missing, state)

    def _first(self, env_state: Any) -> Any:
        """Return the state of the first environment, leaves ``[1, ...]``; None where nothing is filmed."""
        size = self.env.num_envs
        return jax.tree.map(lambda x: x[:1] if x.shape[:1] == (size,) else x, env_state) if self.num_frames else None

    def _recorded(self, now: _Progress) -> Any:
        """Return the frames with the current state, if it is one of them."""
        is_frame = now.step % self.frame_interval == 0
        place = jnp.where(is_frame, now.step // self.frame_interval, self.num_frames)
        return jax.tree.map(
            lambda frames, x: frames.at[place].set(x, mode="drop"), now.played.frames, self._first(now.env_state)
        )


def make_evaluation(
    env: Env[Any], cfg: BaseRunnerConfig, eval_env: Env[Any] | None = None, *, spec: Spec, **options: Any
) -> Evaluation | None:
    """Build the evaluation that a config asks for, by ``eval_interval``.

    Args:
        env: the environments of the training.
        cfg: the config.
        eval_env: the environments to evaluate in, used as they are; if None, those of the training without what is
            random only in training (``env.for_evaluation``).
        spec: what the algorithm knows of the environments of the training.
        **options: other attributes of :class:`Evaluation`.

    Returns:
        the evaluation; None if evaluation is off.

    Raises:
        ValueError: if episodes may never end, or the environments do not fit to the config or the training.
    """
    refuse_without_interval(cfg, eval_env)
    if cfg.eval_interval is None:
        return None
    if eval_env is None:
        eval_env = env.for_evaluation(cfg.eval_episodes)
    else:
        if eval_env.num_envs != cfg.eval_episodes:
            raise ValueError(
                f"eval_env has {eval_env.num_envs} environments, but eval_episodes is {cfg.eval_episodes}: each of "
                f"them plays one episode. Make it with num_envs={cfg.eval_episodes}, or set eval_episodes: "
                f"{eval_env.num_envs}."
            )
        refuse_misfit(spec_of(eval_env), spec)
    return Evaluation(eval_env, cfg.eval_interval, limit_of_episodes(eval_env), tuple(_log_of(eval_env)), **options)


def refuse_without_interval(cfg: BaseRunnerConfig, eval_env: Env[Any] | VecEnv | None) -> None:
    """Reject environments for evaluation where it is off.

    Raises:
        ValueError: if there are any.
    """
    if cfg.eval_interval is None and eval_env is not None:
        raise ValueError("eval_env is given, but evaluation is off. Set eval_interval, the iterations between two.")


def limit_of_episodes(env: Env[Any] | VecEnv) -> int:
    """Return the most steps of an episode.

    Raises:
        ValueError: if there is no limit.
    """
    limit = step_limit(getattr(env, "max_episode_length", None))
    most = LARGEST if limit is None else int(jnp.max(jnp.asarray(limit)))
    if most >= LARGEST:
        name = type(getattr(env, "single_env", env)).__name__
        raise ValueError(
            f"An evaluation plays whole episodes, and those of {name} may never end: its max_episode_length is "
            f"{limit}. Bound them by a time limit in steps, such as max_episode_length=1000, an option of vectorize "
            "and make_env (on the command line --env-kwargs max_episode_length=1000)."
        )
    return most


def refuse_misfit(spec: Spec, training: Spec) -> None:
    """Reject an environment for evaluation in which the policy cannot act.

    Raises:
        ValueError: if its observations or actions differ from those of the training; says which.
    """
    for name in ("observations", "num_actions", "discrete"):
        given, expected = getattr(spec, name), getattr(training, name)
        if given != expected:
            raise ValueError(
                f"The policy cannot act in eval_env: {name} of eval_env: {given}; of the training: {expected}. Make it "
                "with the same options."
            )


def _log_of(env: Env[Any]) -> Mapping[str, Any]:
    """Return what an environment logs, by name; nothing is executed."""
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    actions = (env.num_envs,) if env.discrete else (env.num_envs, env.num_actions)
    dtype = jnp.int32 if env.discrete else default_dtype()
    return jax.eval_shape(env.step, state, jax.ShapeDtypeStruct(actions, dtype))[1].log
