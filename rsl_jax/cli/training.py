"""Common parts of the commands that train: from arguments to a checkpoint and an ONNX policy."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from rsl_jax import distributed
from rsl_jax.cli.arguments import CheckpointFlag, option, parse_config
from rsl_jax.cli.cache import choose_cache
from rsl_jax.cli.export import write_robot_metadata
from rsl_jax.cli.options import (
    TrainingOptions,
    complete,
    env_is_missing,
    read_options,
    settings_of_command,
    show_help,
    without_help,
)
from rsl_jax.cli.output import CommandError, number, print_facts
from rsl_jax.cli.processes import folder_of_first, is_first, join, use_enough_threads
from rsl_jax.cli.resuming import refuse_to_overwrite, resumed_checkpoint
from rsl_jax.cli.runs import find_checkpoint, new_log_dir, settings_of
from rsl_jax.cli.settings import RunSettings, overlay, read_settings, write_settings
from rsl_jax.cli.trusting import trust_flags
from rsl_jax.config import BaseRunnerConfig, RunnerConfig
from rsl_jax.distributed import TIME_LIMIT

if TYPE_CHECKING:
    from rsl_jax.runners import OnPolicyRunner


@dataclass(frozen=True)
class Run(TrainingOptions):
    """Options of the commands that train one run.

    Attributes:
        resume: resume from a checkpoint, or from the newest one of a log folder; without a path, from the newest
            checkpoint in --log-dir, or else of the newest run of this environment.
        resume_from_last_good: resume as with --resume; if that checkpoint is damaged, from the newest undamaged one of
            the same run.
        resume_or_start: resume as with --resume, or start a run if there is no checkpoint; exit with status 0 if the
            run is complete. For scripts that start and restart a run by the same command.
        device: device to train on, such as cpu or cuda:0.
        devices: number of devices (of each process) to spread the environments over; overrides --device.
        distributed: join the other processes of this run, started with the same command by torchrun or SLURM. Process 0
            logs and saves.
        coordinator: address at which process 0 listens, instead of a launcher's variables.
        num_processes: number of processes, with --coordinator.
        process_id: number of this process, from 0, with --coordinator.
        join_timeout: seconds within which all processes must have joined.
        export: write the policy as ONNX at the end.
        runner: RSL-RL's config.
        source: where the settings that no flag sets come from.
    """

    resume: Annotated[CheckpointFlag, option(default="a new run")] = None
    resume_from_last_good: bool = False
    resume_or_start: bool = False
    device: Annotated[str | None, option("NAME", default="JAX's choice")] = None
    devices: Annotated[int | None, option("N", default="one")] = None
    distributed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    coordinator: Annotated[str | None, option("HOST:PORT", default="from the launcher's variables")] = None
    num_processes: Annotated[int | None, option("N", default="from the launcher's variables")] = None
    process_id: Annotated[int | None, option("I", default="from the launcher's variables")] = None
    join_timeout: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = TIME_LIMIT
    export: bool = True
    runner: tyro.conf.Suppress[tyro.conf.Fixed[Any]] = None
    source: tyro.conf.Suppress[tyro.conf.Fixed[str | None]] = None


class Kind(NamedTuple):
    """A command that trains.

    Attributes:
        name: name of the command.
        options: dataclass of its options, a :class:`Run`.
        config: type of its config.
        runner: name of its runner in :mod:`rsl_jax.runners`.
        base: ``(command, named, resuming) -> settings``, which the flags override. ``named`` are the settings of the
            config file and the resumed run; None if there is neither.
        obs_groups: ``(obs_groups, available groups) -> obs_groups``, which chooses groups if there are none.
        label: suffix of a run's folder if the run has no name.
    """

    name: str
    options: type[Run]
    config: type[BaseRunnerConfig]
    runner: str
    base: Callable[[Any, RunSettings | None, bool], RunSettings]
    obs_groups: Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, Any]]
    label: str | None = None

    @property
    def prog(self) -> str:
        """Full name of the command."""
        return f"rsl-jax {self.name}"


def read_command(kind: Kind, args: Sequence[str]) -> tuple[Any, Path | None]:
    """Parse arguments, and complete them by the files that they name.

    Returns:
        the command, and the checkpoint to resume from or None.
    """
    if not args or args[0].startswith("-"):
        # The environment is not known, so this shows the general help, or ends in an error of tyro.
        show_help(kind.options, args, kind.config(), {"env": tyro.MISSING}, prog=kind.prog)
        raise env_is_missing(kind.prog)
    asks_for_help, args = without_help(args)
    command, flags = read_options(kind.options, args, prog=kind.prog)
    checkpoint = resumed_checkpoint(
        command.env,
        command.log_dir,
        resume=command.resume,
        from_last_good=command.resume_from_last_good,
        or_start=command.resume_or_start,
    )
    named = named_settings(command.env, command.config, checkpoint)
    restarts = checkpoint is not None and command.resume_or_start and hasattr(command, "teacher")
    known: dict[str, Any] = {"teacher": None} if restarts else {}  # the checkpoint contains the teacher
    asked = dataclasses.replace(command, **known)
    settings = kind.base(asked, named, checkpoint is not None)
    teacher = {} if settings.teacher is None else {"teacher": Path(settings.teacher)}
    command = complete(command, settings, source=settings.source, **teacher)
    cfg = of_kind(kind, settings.runner)
    if asks_for_help:
        show_help(kind.options, ["--help"], cfg, vars(command), prog=kind.prog)
    runner = parse_config(cfg, flags, prog=f"{kind.prog} {command.env}", options=kind.options)
    log_dir = checkpoint.parent if checkpoint is not None and command.log_dir is None else command.log_dir
    return dataclasses.replace(command, log_dir=log_dir, runner=runner), checkpoint


def of_kind(kind: Kind, cfg: BaseRunnerConfig) -> BaseRunnerConfig:
    """Return the config if it is one of this command.

    Raises:
        CommandError: if it is one of another command.
    """
    if isinstance(cfg, kind.config):
        return cfg
    other = "train ENV" if isinstance(cfg, RunnerConfig) else "distill ENV --teacher CHECKPOINT"
    raise CommandError(
        f"This is a config of {cfg.algorithm.class_name}, for another command: rsl-jax {other}. Give a config of "
        f"{kind.prog} with --config, or none."
    )


def named_settings(env: str, config: Path | None, checkpoint: Path | None) -> RunSettings | None:
    """Return the settings of the config file, completed by the resumed run's; None if there is neither."""
    settings = None
    if checkpoint is not None:
        settings = settings_of(checkpoint, with_runner=config is None)  # configs are not merged
        if settings.env not in (None, env):  # another task: only policy and config are kept
            settings = RunSettings(runner=settings.runner, source=settings.source)
    if config is not None:
        settings = read_settings(config) if settings is None else overlay(read_settings(config), settings)
    return settings


def train(kind: Kind, command: Any, checkpoint: Path | None) -> int:
    """Train, export, and report the results."""
    from rsl_jax import runners
    from rsl_jax.checkpoint import lock_log_dir
    from rsl_jax.interrupts import stop_on_signals

    use_enough_threads(command.devices)
    choose_cache(command.compilation_cache)
    join(command)
    if checkpoint is not None or not command.resume_or_start:
        refuse_to_overwrite(command.log_dir, checkpoint)
    env = build_env(command)
    runner_cfg = with_obs_groups(kind, command.runner, env)
    log_dir = command.log_dir
    if log_dir is None:
        log_dir = folder_of_first(new_log_dir(command.env, runner_cfg.run_name or kind.label) if is_first() else None)
    title = " · ".join(filter(None, (command.env, runner_cfg.run_name or kind.label, f"seed {runner_cfg.seed or 0}")))
    make_runner = getattr(runners, kind.runner)
    eval_env = build_eval_env(command, runner_cfg, env)
    options = {"devices": command.devices, "title": title, "eval_env": eval_env}
    runner = make_runner(env, runner_cfg, log_dir, command.device, **options)
    start = checkpoint or getattr(command, "teacher", None)
    if start is not None:
        runner.load(find_checkpoint(start))
    remaining = command.iterations - int(runner.state.iteration)
    if remaining <= 0 and command.resume_or_start:
        if is_first():
            _report(command, runner, log_dir)
        distributed.finish()
        return 0
    if remaining <= 0:
        raise CommandError(
            f"'{checkpoint}' has already finished {int(runner.state.iteration)} iterations, and --iterations is "
            f"{command.iterations}. Give a larger number to continue."
        )
    at_random = checkpoint is None and _starts_at_random(command.init_at_random_ep_len, runner)
    with lock_log_dir(log_dir) if is_first() else contextlib.nullcontext():
        if is_first():
            write_settings(settings_of_command(command, runner_cfg), log_dir)
            write_robot_metadata(runner.deployment(), log_dir)
            _introduce(kind, command, runner, log_dir, checkpoint)
        with stop_on_signals(runner.request_stop) as stopped:
            runner.learn(remaining, init_at_random_ep_len=at_random)
    is_stopped = int(runner.state.iteration) < command.iterations
    if is_first() and is_stopped:
        with contextlib.suppress(OSError):  # a hang-up closes the terminal
            _report_stop(kind, command, runner, log_dir)
    elif is_first():
        _report(command, runner, log_dir)
    distributed.finish()
    return 128 + (stopped.signal or signal.SIGTERM) if is_stopped else 0


def build_env(command: Any) -> Any:
    """Create the environments of a command."""
    from rsl_jax.env import make_env

    options = dict(command.env_kwargs or {})
    if command.env.startswith("gymnasium/"):
        import jax

        options.setdefault("seed", (command.runner.seed or 0) + jax.process_index() * command.num_envs)
    return make_env(command.env, num_envs=command.num_envs, **options)


def build_eval_env(command: Any, cfg: BaseRunnerConfig, env: Any) -> Any:
    """Make the environments to evaluate in, if evaluation is on and the runner cannot make them of the training's."""
    from rsl_jax.env import Env, evaluation_options, make_env

    if cfg.eval_interval is None or isinstance(env, Env):
        return None
    return make_env(command.env, num_envs=cfg.eval_episodes, **evaluation_options(command.env_kwargs or {}))


def with_obs_groups(kind: Kind, cfg: BaseRunnerConfig, env: Any) -> BaseRunnerConfig:
    """Return the config, with default observation groups if it has none."""
    from rsl_jax.training.loops import spec_of_any

    available = list(spec_of_any(env).observations)
    return dataclasses.replace(cfg, obs_groups=kind.obs_groups(cfg.obs_groups, available))


def _starts_at_random(wanted: bool | None, runner: OnPolicyRunner) -> bool:
    return runner.can_start_at_random() if wanted is None else wanted


def _introduce(kind: Kind, command: Any, runner: OnPolicyRunner, log_dir: Path, checkpoint: Path | None) -> None:
    steps, num_envs = runner.cfg.num_steps_per_env, runner.spec.num_envs
    facts = {
        "environments": f"{num_envs:,} x {steps} steps = {num_envs * steps:,} an iteration",
        "iterations": f"{command.iterations:,}",
        "seed": runner.seed,
        "device": ", ".join(map(str, runner.devices)),
        "log folder": log_dir,
    }
    if runner.is_distributed:
        facts["processes"] = runner.gpu_world_size
    if command.source:
        facts["settings"] = command.source
    if getattr(command, "teacher", None):
        facts["teacher"] = command.teacher
    if checkpoint is not None:
        facts["resumed from"] = f"{checkpoint}, after {int(runner.state.iteration):,} iterations"
    print_facts(f"{kind.name.capitalize()} on {command.env}", facts)


def _report_stop(kind: Kind, command: Run, runner: OnPolicyRunner, log_dir: Path) -> None:
    from rsl_jax.checkpoint import latest_checkpoint

    done = int(runner.state.iteration)
    all_names = {"runner": runner.cfg.to_dict(), "env_kwargs": command.env_kwargs}
    facts = {
        "checkpoint": latest_checkpoint(log_dir),
        "resume": f"{kind.prog} {command.env} --resume {log_dir}{trust_flags(all_names)}",
        "export": f"rsl-jax export {log_dir}{trust_flags(runner.cfg.to_dict())}",
    }
    print_facts(f"Stopped after {done:,} of {command.iterations:,} iterations", facts)


def _report(command: Run, runner: OnPolicyRunner, log_dir: Path) -> None:
    from rsl_jax.checkpoint import latest_checkpoint

    facts: dict[str, object] = {
        "mean reward": _mean_reward(runner),
        **_evaluated(runner),
        "checkpoint": latest_checkpoint(log_dir),
    }
    all_names = {"runner": runner.cfg.to_dict(), "env_kwargs": command.env_kwargs}
    if command.export:
        facts["ONNX policy"] = runner.export_policy_to_onnx(log_dir / "exported")
    facts["play"] = f"rsl-jax play {log_dir}{trust_flags(all_names, command.env)}"
    print_facts("Done", facts)


def _evaluated(runner: OnPolicyRunner) -> dict[str, str]:
    """What the last iteration's evaluation found, if there was one."""
    reward = runner.metrics.get("Eval/mean_reward")
    if reward is None:
        return {}
    return {"evaluated": f"{number(reward, decimals=2)} (mean of {runner.cfg.eval_episodes} episodes without noise)"}


def _mean_reward(runner: OnPolicyRunner) -> str:
    reward = runner.metrics.get("Train/mean_reward", math.nan)
    if math.isnan(reward):
        return "unknown: no episode has ended"
    length = runner.metrics.get("Train/mean_episode_length", math.nan)
    return f"{number(reward, decimals=2)} (of the last 100 episodes, {number(length, decimals=0)} steps long)"
