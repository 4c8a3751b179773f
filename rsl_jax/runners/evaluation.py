"""Evaluation of the policy while a runner trains it."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.env.vec_env import JaxVecEnv
from rsl_jax.runners.episodes import play_episodes
from rsl_jax.runners.film import film_writer, frame_rate
from rsl_jax.runners.policy import InferencePolicy
from rsl_jax.training.evaluation import (
    LENGTH,
    REWARD,
    SECTION,
    SEED,
    Evaluation,
    limit_of_episodes,
    make_evaluation,
    refuse_misfit,
    refuse_without_interval,
)
from rsl_jax.training.loops import spec_of_any
from rsl_jax.training.sharding import EVERYWHERE, STATE_SPECS, Devices
from rsl_jax.trees import is_key
from rsl_jax.types import Algorithm, Spec, TrainState

FRAMES_PER_SECOND = 25
"""Maximum of a video: one is written at every evaluation, so rendering must not take long."""

SECONDS = "Perf/evaluation_time"

Play = Callable[[TrainState, int], dict[str, float]]
"""``(state, iteration) -> metrics``: plays the episodes of an evaluation, and films them."""


class Evaluator:
    """Evaluations of a run, after every ``eval_interval`` iterations."""

    def __init__(self, play: Play, interval: int):
        self._play, self._interval = play, interval

    def metrics_after(self, it: int, state: TrainState) -> dict[str, float]:
        """Return the metrics of the policy after iteration ``it``; none if no evaluation is due."""
        if (it + 1) % self._interval:
            return {}
        start = time.perf_counter()
        metrics = self._play(state, it)
        return {**metrics, SECONDS: time.perf_counter() - start}


def make_evaluator(
    env: Env[Any] | VecEnv,
    cfg: BaseRunnerConfig,
    eval_env: Env[Any] | VecEnv | None,
    *,
    algorithm: Algorithm,
    spec: Spec,
    devices: Devices,
    log_dir: Path | None,
) -> Evaluator | None:
    """Build the evaluator that a config asks for.

    Args:
        env: the environments of the training.
        cfg: the config.
        eval_env: the environments to evaluate in; if None, those of a pure ``env`` without what is random only in
            training.
        algorithm: the algorithm; of several devices, that on each of them.
        spec: what the algorithm knows of ``env``.
        devices: the devices of the run.
        log_dir: folder of the run, to write videos to; None for no videos.

    Returns:
        the evaluator; None if evaluation is off.

    Raises:
        ValueError: if there is no environment to evaluate in, episodes may never end, or it does not fit.
    """
    refuse_without_interval(cfg, eval_env)
    if cfg.eval_interval is None:
        return None
    pure = _pure(env if eval_env is None else eval_env)
    play: Play
    if pure is not None:
        film = Film(pure.step_dt, cfg.eval_video if pure.can_render() else 0, log_dir)
        frames = {"num_frames": film.num_frames, "frame_interval": film.frame_interval}
        evaluation = make_evaluation(pure, cfg, None if eval_env is None else pure, spec=spec, **frames)
        assert evaluation is not None
        play = CompiledPlay(evaluation, algorithm, devices, film)
    elif eval_env is None or isinstance(eval_env, Env):
        raise ValueError(
            f"Evaluation (eval_interval) needs environments of its own, and {type(env).__name__} cannot be copied, as "
            "a rsl_jax.env.Env can. Give a second one, without what is random only in training: OnPolicyRunner(env, "
            "cfg, eval_env=...)."
        )
    else:
        play = HostPlay(eval_env, cfg, algorithm, spec, devices, log_dir)
    return Evaluator(play, cfg.eval_interval)


def _pure(env: Any) -> Env[Any] | None:
    env = env.env if isinstance(env, JaxVecEnv) else env
    return env if isinstance(env, Env) else None


class CompiledPlay:
    """Evaluation in pure environments: one compiled call, which donates nothing; each device plays all episodes."""

    def __init__(self, evaluation: Evaluation, algorithm: Algorithm, devices: Devices, film: Film):
        def play(state: TrainState) -> tuple[Any, ...]:
            played = evaluation.play(algorithm, state)
            return played.metrics(), played.lengths[0], played.frames

        self._env, self._film = evaluation.env, film
        self._play = jax.jit(devices.run(play, (STATE_SPECS,), EVERYWHERE))

    def __call__(self, state: TrainState, it: int) -> dict[str, float]:
        """Play the episodes, and film the first environment's."""
        metrics, length, frames = self._play(state)
        fetched = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if self._film.is_on:
            count = min(self._film.num_frames, -(-int(length) // self._film.frame_interval))
            self._film.write(it, (self._env.render(frame) for frame in _each(frames, count)))
        return fetched


class HostPlay:
    """Evaluation in environments outside JAX, which are reset before each one as far as they can be.

    Where ``reset`` takes a seed the starts are the same every time. Where there is no ``reset``, the episodes under way
    are played to their end and do not count.
    """

    def __init__(
        self,
        env: VecEnv,
        cfg: BaseRunnerConfig,
        algorithm: Algorithm,
        spec: Spec,
        devices: Devices,
        log_dir: Path | None,
    ):
        refuse_misfit(spec_of_any(env), spec)
        self._env, self._algorithm, self._devices = env, algorithm, devices
        self._per_env = -(-cfg.eval_episodes // env.num_envs)
        self._max_steps = (self._per_env + 1) * limit_of_episodes(env)
        self._film = Film(getattr(env, "step_dt", None), cfg.eval_video if hasattr(env, "render") else 0, log_dir)
        self._policy: InferencePolicy | None = None

    def __call__(self, state: TrainState, it: int) -> dict[str, float]:
        """Play the episodes, and film the first environment."""
        if self._policy is None:
            self._policy = InferencePolicy(self._algorithm, state, self._env, self._devices.local[0])
        else:
            self._policy = self._policy.with_state(state)
        _restart(self._env)
        frames = _Pictures(self._env, self._film)
        played = play_episodes(
            self._env, self._policy, per_env=self._per_env, max_steps=self._max_steps, seed=SEED, on_step=frames.take
        )
        if frames.taken:
            self._film.write(it, frames.taken)
        means = {f"{SECTION}{name}": value for name, value in played.log.items()}
        ended = bool(played.returns)
        return {
            **means,
            REWARD: float(np.mean(played.returns)) if ended else np.nan,
            LENGTH: float(np.mean(played.lengths)) if ended else np.nan,
        }


def _restart(env: Any) -> None:
    """Reset an environment where it can be, from the same states where it takes a seed."""
    reset = getattr(env, "reset", None)
    if reset is not None:
        takes_seed = "seed" in inspect.signature(reset).parameters
        reset(**({"seed": SEED} if takes_seed else {}))


class Film:
    """Videos of evaluations, in ``log_dir/videos``, from where the log writers take them; not of several processes.

    Training does not depend on them: if one cannot be made, a warning says why, and no further ones are tried.

    Attributes:
        num_frames: maximum number of frames of a video; 0 if there are none.
        frame_interval: steps from one frame to the next.
    """

    def __init__(self, step_dt: float | None, seconds: float, log_dir: Path | None):
        self.frame_interval, self._frames_per_second = frame_rate(step_dt, most=FRAMES_PER_SECOND)
        # All processes must run the same program, but only one has a folder.
        self._folder = None if log_dir is None or jax.process_count() > 1 else log_dir / "videos"
        self.num_frames = 0 if self._folder is None else int(np.ceil(seconds * self._frames_per_second))
        self.is_on = self.num_frames > 0

    def write(self, it: int, frames: Iterable[np.ndarray]) -> None:
        """Write the video of the evaluation after iteration ``it``."""
        self.attempt(lambda: self._write(it, frames))

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do something for a video, if there are any; returns None if it fails."""
        if not self.is_on:
            return None
        try:
            return action()
        except Exception as error:  # of OpenGL, a simulator, a codec, the disk: whatever it is, training goes on
            self.is_on = False
            warnings.warn(
                f"Evaluations are not filmed: {type(error).__name__}: {error} With eval_video: 0 it is not tried.",
                stacklevel=6,
            )
            return None

    def _write(self, it: int, frames: Iterable[np.ndarray]) -> None:
        assert self._folder is not None
        with film_writer(self._folder / f"eval_{it}.mp4", self._frames_per_second) as append:
            for frame in frames:
                append(frame)


class _Pictures:
    """Pictures of the first environment of a batch outside JAX, taken while it steps."""

    def __init__(self, env: Any, film: Film):
        self._env, self._film, self._steps = env, film, 0
        self.taken: list[np.ndarray] = []

    def take(self) -> None:
        if self._steps % self._film.frame_interval == 0 and len(self.taken) < self._film.num_frames:
            picture = self._film.attempt(self._env.render)
            if picture is not None:
                self.taken.append(np.asarray(picture))
        self._steps += 1


def _each(frames: Any, count: int) -> Iterator[Any]:
    """Yield the first ``count`` of the states that were recorded, leaves ``[F, ...]``, on the host but for keys."""
    fetched = jax.device_get(jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, frames))

    def restored(leaf: Any, x: Any) -> Any:
        return jax.random.wrap_key_data(x, impl=jax.random.key_impl(leaf)) if is_key(leaf) else x

    for index in range(count):
        yield jax.tree.map(lambda leaf, x, index=index: restored(leaf, x[index]), frames, fetched)
