"""``rsl-jax train``: a policy by reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rsl_jax.cli import training
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings, overlay
from rsl_jax.cli.tuned import settings_for
from rsl_jax.config import RunnerConfig


@dataclass(frozen=True)
class Train(training.Run):
    """Train a policy by PPO and export it.

    What is not given here comes from the config file, else from the run that is resumed, else from the preset of the
    environment. Ctrl-C saves a checkpoint and stops; a second one stops at once.

    Attributes:
        preset: what to start from in place of the environment's own preset: playground (what MuJoCo Playground has
            tuned), rsl_rl or brax (what it has tuned for that learner), default, or the name of another environment.
    """

    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None


def base(command: Train, named: RunSettings | None, resuming: bool) -> RunSettings:
    """What a file says, and what it leaves open from the preset.

    Raises:
        CommandError: if there is no such preset, or a config file is given as well.
    """
    if command.preset is not None and command.config is not None:
        raise CommandError("A config file takes the place of the preset; leave --config or --preset out.")
    if resuming and named is not None and None not in (named.num_envs, named.iterations):
        return named  # a run knows all that a preset could say
    settings = settings_for(command.env, command.preset)
    return settings if named is None else overlay(named, settings)


def obs_groups(given: Mapping[str, Any], available: Sequence[str]) -> Mapping[str, Any]:
    """Groups for actor and critic where there are none."""
    from rsl_jax.models import default_groups

    actor = default_groups("actor", available, {})
    if given or actor is None:
        return given
    return {"actor": actor, "critic": default_groups("critic", available, {"actor": actor})}


KIND = training.Kind(
    name="train",
    options=Train,
    config=RunnerConfig,
    runner="OnPolicyRunner",
    base=base,
    obs_groups=obs_groups,
)


def run(args: Sequence[str]) -> int:
    """Run the command."""
    return training.train(KIND, *training.read_command(KIND, args))
