"""Population-based training: :func:`population_based_training`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.keys import LARGEST_INT
from rsl_jax.env.base import Env
from rsl_jax.registry import nearest
from rsl_jax.sweeps.exchange import Exchange
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.population import PopulationResult
from rsl_jax.sweeps.program import Program
from rsl_jax.sweeps.progress import Progress, SweepConsole
from rsl_jax.sweeps.ranges import Range, list_ranges
from rsl_jax.sweeps.running import LONGEST_STRETCH, Run, SweepStopped, check_number
from rsl_jax.sweeps.settings import Member, list_seeds
from rsl_jax.sweeps.sweeping import pure_environment
from rsl_jax.sweeps.tracing import numbers_without_effect, traceable_paths
from rsl_jax.training.evaluation import SECTION
from rsl_jax.training.sharding import Devices

FEWEST_MEMBERS = 4

Bounds = Range | Sequence[float]


def population_based_training(
    env: Env[Any] | str,
    cfg: BaseRunnerConfig | Mapping[str, Any],
    *,
    iterations: int,
    members: int = 16,
    interval: int = 10,
    ranges: Mapping[str, Bounds] | None = None,
    fraction: float = 0.25,
    factors: Sequence[float] = (0.8, 1.25),
    resample: float = 0.25,
    score: str | None = None,
    seed: int = 0,
    num_envs: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    devices: int | Sequence[jax.Device] | None = None,
    init_at_random_ep_len: bool = False,
    console: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    **ranges_by_name: Bounds,
) -> PopulationResult:
    """Train a population whose worst members are replaced by copies of its best ones, with perturbed hyperparameters.

    Numbers of the config are explored between two bounds each, ``learning_rate=(1e-4, 1e-2)``. Every member starts with
    numbers drawn from these ranges. After every ``interval`` iterations the members with the lowest scores, and all in
    which NaN or infinity occurred, are replaced by copies of random members with the highest scores, with the copied
    numbers perturbed by a factor or resampled. A copy takes over the whole state of its parent (parameters, optimiser,
    normalisers, environments, episode statistics) except for the random key. The score is the latest value of a log
    tag; a member that has none yet is neither replaced nor copied. All members are one program.

    Args:
        env: the environments of one member, or a name for :func:`rsl_jax.env.make_env`.
        cfg: the config, or RSL-RL's dict of it.
        iterations: number of iterations of each member.
        members: size of the population; member ``k`` is seeded ``seed + k``.
        interval: number of iterations between two exchanges.
        ranges: bounds by key, as ``ranges_by_name``, for keys that contain a dot. A key is a path in the config, or its
            end where that is enough.
        fraction: fraction of the members that is replaced, and of those that are copied; at most a half.
        factors: factors by which a number may be perturbed; :class:`Range` says how on each scale.
        resample: probability that a number is resampled instead of perturbed.
        score: log tag of the score, the higher the better. If None, that of evaluations with the config's
            ``eval_interval``, and otherwise the mean reward (with curiosity the environment's own).
        seed: seed of all random choices.
        num_envs: number of environments of one member, if ``env`` is a name.
        folder: folder to which checkpoints of all members and their lineage are written, every ``save_interval``
            iterations; None writes nothing.
        resume: continue the training in ``folder``; the result equals an uninterrupted one, bit for bit.
        devices: devices over which members are distributed, or their number; all devices of JAX if None.
        init_at_random_ep_len: start every environment at a random step of its first episode.
        console: whether to show progress.
        on_progress: called with the progress after every block of iterations.
        **ranges_by_name: bounds by key, each ``(low, high)`` or a :class:`Range`.

    Returns:
        curves, numbers and lineage of the members, and their states.

    Raises:
        ValueError: for arguments that contradict each other, are out of range, or change the program.
        TypeError: for a value of the wrong type.
        SweepStopped: if Ctrl-C or SIGTERM stopped it; the results so far are in its ``result``, and in the folder.
        RuntimeError: if another process trains in the folder.

    Source: Jaderberg et al., "Population based training of neural networks" (2017), with truncation selection.
    """
    env = pure_environment(env, num_envs)
    cfg = BaseRunnerConfig.from_dict(cfg)
    check_number("iterations", iterations)
    chosen = list_ranges(cfg, {**(ranges or {}), **ranges_by_name})
    if resume and folder is None:
        raise ValueError("resume=True continues the training in a folder; give folder=PATH.")
    _check_sizes(members=members, interval=interval, iterations=iterations, seed=seed)
    chosen_devices = Devices.choose(len(jax.devices()) if devices is None else devices).devices
    _refuse_what_shapes_the_program([*chosen], traceable_paths(env, cfg, [*chosen]))
    program = Program(
        env,
        cfg,
        [*chosen],
        stretch=min(iterations, interval, LONGEST_STRETCH),
        devices=chosen_devices[:members],
        init_at_random_ep_len=init_at_random_ep_len,
    )
    rules = Exchange(chosen, interval, fraction, tuple(factors), resample, score or program.score_tag, seed)
    rules.check()
    _check_evaluation(rules, cfg.eval_interval)
    jaxpr, tags = program.trace()
    _check_program(rules, tags, numbers_without_effect(program, jaxpr))
    seeds = list_seeds(range(seed, seed + members))
    population = [Member(i, setting, seeds[i]) for i, setting in enumerate(rules.draw_settings(members))]
    fitting = program.chunk_size(population)
    if fitting < members:
        raise ValueError(
            f"All members of a population are trained at once, but only {fitting} of {members} members fit "
            "into memory. Use fewer members, fewer environments, or more devices."
        )
    run = Run(env, cfg, [*population], iterations, on_progress, members_at_once=members, exchange=rules)
    if folder is not None:
        run.folder = SweepFolder(folder, run.description(program.spec), resume=resume)
    shown = SweepConsole(f"Population of {members}", failed="it waits to be replaced") if console else None
    try:
        result = run.train([(program, population)], shown)
    except SweepStopped as stopped:
        stopped.result = PopulationResult(**vars(stopped.result), exchange=rules, lineage=run.lineage)
        raise
    return PopulationResult(**vars(result), exchange=rules, lineage=run.lineage)


def _check_sizes(*, members: int, interval: int, iterations: int, seed: int) -> None:
    for name, value, least in (("members", members, FEWEST_MEMBERS), ("interval", interval, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number; got {value!r}.")
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}.")
    if seed > LARGEST_INT:
        raise ValueError(f"seed must be at most {LARGEST_INT}; got {seed}.")
    if interval >= iterations:
        raise ValueError(
            f"interval is {interval}, but training ends after {iterations} iterations, so no member would ever be "
            "replaced. Choose a shorter interval or more iterations."
        )


def _refuse_what_shapes_the_program(paths: Sequence[str], traced: Sequence[str]) -> None:
    fixed = [path for path in paths if path not in traced]
    if fixed:
        raise ValueError(
            f"{', '.join(fixed)} cannot change during training, because the compiled program depends on it. Compare "
            "its values with rsl_jax.sweep."
        )


def _check_evaluation(rules: Exchange, eval_interval: int | None) -> None:
    if eval_interval is not None and rules.score.startswith(SECTION) and rules.interval % eval_interval:
        raise ValueError(
            f"Members are ranked by '{rules.score}' after every {rules.interval} iterations, but evaluated after every "
            f"{eval_interval}. Choose an interval that is a multiple of eval_interval."
        )


def _check_program(rules: Exchange, tags: Sequence[str], idle: Sequence[str]) -> None:
    if rules.score not in tags:
        raise ValueError(
            f"There is no tag '{rules.score}' to score by. There are: {', '.join(tags)}.{nearest(rules.score, tags)}"
        )
    if idle:
        raise ValueError(
            f"{', '.join(idle)} only affects the start of a run, so changing it during training has no effect. Compare "
            "its values with rsl_jax.sweep."
        )
