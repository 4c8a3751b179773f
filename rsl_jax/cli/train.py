"""``rsl-jax train``: a policy by reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsl_jax.cli import training
from rsl_jax.cli.settings import RunSettings, overlay, preset_for
from rsl_jax.config import RunnerConfig


@dataclass(frozen=True)
class Train(training.Run):
    """Train a policy by PPO and export it.

    What is not given here comes from the config file, else from the run that is resumed, else from the preset of the
    environment. Ctrl-C saves a checkpoint and stops; a second one stops at once.
    """


def base(env: str, named: RunSettings | None, teacher: Path | None, resuming: bool) -> RunSettings:
    """What a file says, and what it leaves open from the preset of the environment."""
    del teacher, resuming
    return preset_for(env) if named is None else overlay(named, preset_for(env))


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
