"""``rsl-jax play``: run a trained policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from rsl_jax.cli.arguments import KeyValues, RandomizeFlag, option, parse, with_randomization
from rsl_jax.cli.cache import CacheFlag, choose_cache
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import find_checkpoint, settings_of
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.trusted import names_in, reading_run

STEPS_WITHOUT_LIMIT = 1000
"""Number of steps to play if neither the environment nor the user sets a limit."""


@dataclass(frozen=True)
class Play:
    """Run a trained policy without its exploration noise, print its returns, and record a video.

    Attributes:
        checkpoint: checkpoint, or log folder of a run for its newest checkpoint.
        env: environment to play in.
        env_kwargs: options of the environment, with values as in YAML; they override those of the training, from which
            the sensors' noise and pushes and domain randomization are removed (settings of Playground such as
            noise_config stay).
        randomize: randomize the physics of each environment, by the environment's own randomizer or by
            module:function.
        num_envs: number of parallel environments.
        episodes: number of episodes to play.
        steps: maximum number of steps.
        video: record the first environment to this file, .mp4 or .gif.
        seed: random seed of the environments.
        trust: module (with everything in it) or folder from which the files of the run may import components and
            environments.
        compilation_cache: folder of compiled programs, which later runs reuse; ``none`` disables it.
    """

    checkpoint: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT|LOGDIR")]]
    env: Annotated[str | None, option("ENV", default="that of the training")] = None
    env_kwargs: Annotated[KeyValues, option(default="those of the training")] = field(default_factory=dict)
    randomize: Annotated[RandomizeFlag, option(default="off")] = None
    num_envs: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    episodes: Annotated[int | None, option("N", default="one in each environment")] = None
    steps: Annotated[int | None, option("N", default="enough for all episodes, 1000 without a time limit")] = None
    video: Annotated[Path | None, option("FILE", default="no video")] = None
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
    """Play episodes, record a video if requested, and print the returns."""
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
        raise CommandError(f"No episode has ended within {steps:,} steps. Allow more with --steps.", status=1)
    film_path = {} if command.video is None else {"video": command.video}
    print_facts(f"Played {name}", {"checkpoint": checkpoint, **film_path})
    Console().print(summary(episodes))


def build_env(command: Play, checkpoint: Path) -> tuple[str, Any]:
    """Create the environment of the run, or the requested one; returns its name, too."""
    from rsl_jax.env import evaluation_options, make_vec_env
    from rsl_jax.env.registry import permit_env

    settings = settings_of(checkpoint, with_runner=False)
    name = command.env or settings.env
    if name is None:
        raise CommandError(
            f"There is no run.yaml beside '{checkpoint}' that names its environment. Give it: --env ENV."
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
