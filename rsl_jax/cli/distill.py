"""``rsl-jax distill``: train a student to imitate a teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rsl_jax.cli import training
from rsl_jax.cli.arguments import option
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.runs import find_checkpoint, settings_of
from rsl_jax.cli.settings import RunSettings, overlay
from rsl_jax.config import (
    DistillationConfig,
    DistillationRunnerConfig,
    GaussianDistributionConfig,
    MLPModelConfig,
    RunnerConfig,
    arguments_of,
)

INIT_STD = 0.1
"""Default initial standard deviation of a student: enough to visit states near the teacher's trajectories."""


@dataclass(frozen=True)
class Distill(training.Run):
    """Train a student to imitate a teacher from the student's observations, and export the student.

    The teacher is a policy of ``rsl-jax train``; its network and observation groups come from its checkpoint. Settings
    that are not given come from the config file, else from the resumed run, else from the teacher's run. Ctrl-C saves a
    checkpoint and stops; a second Ctrl-C stops at once.

    Attributes:
        teacher: checkpoint of the teacher, or its log folder for the newest one; not needed to resume.
    """

    teacher: Annotated[Path | None, option("CHECKPOINT|LOGDIR", default="the resumed run's")] = None


def base(command: Distill, named: RunSettings | None, resuming: bool) -> RunSettings:
    """Return the settings of a config file, completed by those of the teacher's run.

    Raises:
        CommandError: if the teacher is not a policy of ``rsl-jax train``.
    """
    path = command.teacher or (named.teacher if named else None)
    if resuming or path is None:
        if command.teacher is not None:
            raise CommandError("A resumed run already has its teacher. Remove --teacher or --resume.")
        return named or RunSettings(runner=DistillationRunnerConfig())
    theirs = settings_of(find_checkpoint(path))
    if not isinstance(theirs.runner, RunnerConfig):
        raise CommandError(
            f"'{path}' is itself a distillation run; a teacher must be a policy of rsl-jax train. To continue the run, "
            "use --resume."
        )
    settings = RunSettings(
        runner=first_student(theirs.runner),
        env_kwargs=theirs.env_kwargs if theirs.env == command.env else {},
        num_envs=theirs.num_envs,
        teacher=str(path),
    )
    if named is not None:
        settings = overlay(dataclasses.replace(named, teacher=str(path)), settings)
    if isinstance(settings.runner, DistillationRunnerConfig):
        settings = dataclasses.replace(settings, runner=with_teacher(settings.runner, theirs.runner))
    return settings


def with_teacher(cfg: DistillationRunnerConfig, theirs: RunnerConfig) -> DistillationRunnerConfig:
    """Return the config with the teacher's network and, unless it has them, the teacher's observation groups."""
    groups = {"teacher": theirs.obs_groups["actor"]} if "actor" in theirs.obs_groups else {}
    return dataclasses.replace(cfg, teacher=theirs.actor, obs_groups={**groups, **cfg.obs_groups})


def first_student(theirs: RunnerConfig) -> DistillationRunnerConfig:
    """Return the default config of a student: an MLP as large as the teacher's."""
    actor, steps = theirs.actor, theirs.num_steps_per_env
    layers = {key: value for key, value in arguments_of(actor).items() if key in ("hidden_dims", "activation")}
    student = MLPModelConfig(
        **layers,
        obs_normalization=True,
        distribution_cfg=GaussianDistributionConfig(init_std=INIT_STD),
    )
    length = max(n for n in range(1, DistillationConfig.gradient_length + 1) if steps % n == 0)
    return DistillationRunnerConfig(
        num_steps_per_env=steps,
        save_interval=theirs.save_interval,
        algorithm=DistillationConfig(gradient_length=length),
        student=student,
    )


def obs_groups(given: Mapping[str, Any], available: Sequence[str]) -> Mapping[str, Any]:
    """Choose the observation groups of the student if there are none."""
    from rsl_jax.models import default_groups

    student = default_groups("student", available, {})
    return given if student is None else {"student": student, **given}


KIND = training.Kind(
    name="distill",
    options=Distill,
    config=DistillationRunnerConfig,
    runner="DistillationRunner",
    base=base,
    obs_groups=obs_groups,
    label="distillation",
)


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command, checkpoint = training.read_command(KIND, args)
    if command.teacher is None and checkpoint is None:
        raise CommandError(
            "There is no teacher. Give the log folder of a run of rsl-jax train, or one of its checkpoints: --teacher "
            "LOGDIR."
        )
    return training.train(KIND, command, checkpoint)
