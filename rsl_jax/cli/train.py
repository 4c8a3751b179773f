"""``rsl-jax train``: train a policy by reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsl_jax.cli import training
from rsl_jax.cli.options import PresetFlag
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings, overlay
from rsl_jax.cli.tuned import settings_for
from rsl_jax.config import RunnerConfig

if TYPE_CHECKING:
    from rsl_jax.cli.many_runs import ManyRuns


@dataclass(frozen=True)
class Train(training.Run):
    """Train a policy by PPO and export it.

    Settings that are not given come from the config file, else from the resumed run, else from the preset of the
    environment. Ctrl-C saves a checkpoint and stops; a second Ctrl-C stops at once.

    Attributes:
        preset: settings to start from.
    """

    preset: PresetFlag = None


def base(command: Train | ManyRuns, named: RunSettings | None, resuming: bool) -> RunSettings:
    """Return the settings of a config file or resumed run, completed by those of the preset.

    Raises:
        CommandError: if there is no such preset, or a config file is given as well.
    """
    if command.preset is not None and command.config is not None:
        raise CommandError("A config file replaces the preset. Remove --config or --preset.")
    if resuming and named is not None and None not in (named.num_envs, named.iterations):
        return named  # a run has all settings already
    settings = settings_for(command.env, command.preset)
    return settings if named is None else overlay(named, settings)


def obs_groups(given: Mapping[str, Any], available: Sequence[str]) -> Mapping[str, Any]:
    """Choose the observation groups of actor and critic if there are none."""
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
