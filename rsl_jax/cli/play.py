"""``rsl-jax play``: what a trained policy does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from rsl_jax.cli.arguments import KeyValues, RandomizeFlag, parse, with_randomization
from rsl_jax.cli.cache import CacheFlag, choose_cache
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import find_checkpoint, settings_of
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.trusted import names_in, reading_run

STEPS_WITHOUT_LIMIT = 1000
"""How long to play where neither the environment nor the user sets a limit."""


@dataclass(frozen=True)
class Play:
    """Run a trained policy without its exploration noise, print what it earns, and film it.

    Attributes:
        checkpoint: a checkpoint, or the log folder of a run for its newest one.
        env: environment to play in; that of the training if not given.
        env_kwargs: options of the environment, values as in YAML, on top of those of the training, of which noise,
            pushes and randomized physics are left out.
        randomize: give each robot physics of its own: by the environment's own randomizer, or by module:function.
        num_envs: how many environments are played at once.
        episodes: how many episodes to play; one in each environment if not given.
        steps: most steps to play; enough for all episodes if not given, 1000 where nothing limits them.
        video: film the first environment to this file, .mp4 or .gif.
        seed: of the environments.
        trust: a module (with all that is in it) or a folder that the files of the run may name parts and environments
            of; may be given several times.
        compilation_cache: folder that keeps compiled programs for the next start, or none; the user's cache folder if
            not given.
    """

    checkpoint: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT|LOGDIR")]]
    env: Annotated[str | None, tyro.conf.arg(metavar="ENV")] = None
    env_kwargs: KeyValues = field(default_factory=dict)
    randomize: RandomizeFlag = None
    num_envs: int = 16
    episodes: int | None = None
    steps: int | None = None
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    seed: int = 0
    trust: TrustFlag = ()
    compilation_cache: CacheFlag = None


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Play, args, prog="rsl-jax play")
    for name in ("num_envs", "episodes", "steps"):
        value = getattr(command, name)
        if value is not None and value < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be at least 1; got {value}.")
    take_at_their_word(command.trust, env=command.env, flags=names_in([command.randomize, command.env_kwargs]))
    choose_cache(command.compilation_cache)
    play(command)
    return 0


def play(command: Play) -> None:
    """Play, film and report."""
    from rich.console import Console

    from rsl_jax.cli.episodes import summary
    from rsl_jax.cli.policies import load_policy
    from rsl_jax.cli.video import filming
    from rsl_jax.runners import InferencePolicy
    from rsl_jax.runners.episodes import play_episodes
    from rsl_jax.training.loops import spec_of_any

    checkpoint = find_checkpoint(command.checkpoint)
    name, env = build_env(command, checkpoint)
    policy = InferencePolicy(*load_policy(checkpoint, spec_of_any(env)), env)
    per_env = -(-(command.episodes or command.num_envs) // command.num_envs)
    steps = command.steps or per_env * (_limit(env) or STEPS_WITHOUT_LIMIT)
    with filming(env, command.video) as film:
        episodes = play_episodes(env, policy, per_env=per_env, max_steps=steps, seed=command.seed, on_step=film)
    if not episodes.returns:
        raise CommandError(f"No episode has ended within {steps:,} steps. Give it more by --steps.", status=1)
    film_path = {} if command.video is None else {"film": command.video}
    print_facts(f"Played {name}", {"checkpoint": checkpoint, **film_path})
    Console().print(summary(episodes))


def build_env(command: Play, checkpoint: Path) -> tuple[str, Any]:
    """Make the environment of the run, or the one asked for; gives its name too."""
    from rsl_jax.env import evaluation_options, make_vec_env
    from rsl_jax.env.registry import permit_env

    settings = settings_of(checkpoint, with_runner=False)
    name = command.env or settings.env
    if name is None:
        raise CommandError(
            f"There is no run.yaml beside '{checkpoint}' that says what it was trained on. Say it: --env ENV."
        )
    if command.env is None:
        with reading_run(settings.source):
            permit_env(name)
    kept = evaluation_options(settings.env_kwargs) if name == settings.env else {}
    options = with_randomization({**kept, **command.env_kwargs}, command.randomize, None)
    return name, make_vec_env(name, num_envs=command.num_envs, seed=command.seed, **options)


def _limit(env: Any) -> int | None:
    import numpy as np

    from rsl_jax.env.limits import step_limit

    limit = step_limit(getattr(env, "max_episode_length", None))
    return None if limit is None else int(np.max(limit))
