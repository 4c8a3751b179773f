"""Options that all commands that train share, and how config files and presets complete them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from rsl_jax.cli.arguments import KeyValues, RandomizeFlag, option, parse, parse_options, with_randomization
from rsl_jax.cli.cache import CacheFlag
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.trusted import names_in

NUM_ENVS, ITERATIONS = 256, 500
"""Defaults if neither arguments nor files give them."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options of all commands that train.

    Attributes:
        env: environment to train on: a name from ``rsl-jax envs``, or your own as module.path:factory. Must be the
            first argument.
        config: config file, RSL-RL's YAML.
        num_envs: number of parallel environments of a run.
        iterations: number of iterations of a whole run, including those before a resume.
        log_dir: folder for logs, checkpoints and results.
        env_kwargs: options of the environment, with values as in YAML.
        randomize: randomize the physics of each environment, by the environment's own randomizer or by
            module:function.
        randomize_every: redraw the physics every K iterations.
        init_at_random_ep_len: start environments at a random step of their first episode, so that not all end together.
        trust: module (with everything in it) or folder from which the files of earlier runs may import components.
        compilation_cache: folder of compiled programs, which later runs reuse; ``none`` disables it.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    config: Annotated[Path | None, option("FILE.yaml", default="none")] = None
    num_envs: Annotated[int | None, option("N", default="from the sources above")] = None
    iterations: Annotated[int | None, option("N", default="from the sources above")] = None
    log_dir: Annotated[Path | None, option("DIR", default="a new one in logs/ENV, named by date and time")] = None
    env_kwargs: Annotated[KeyValues | None, option(default="from the sources above")] = None
    randomize: Annotated[RandomizeFlag, option(default="off")] = None
    randomize_every: Annotated[int | None, option("K", default="drawn once")] = None
    init_at_random_ep_len: Annotated[bool | None, option(default="on if the environment supports it")] = None
    trust: TrustFlag = ()
    compilation_cache: CacheFlag = None


PresetFlag = Annotated[
    str | None,
    option(
        "NAME",
        default="chosen by the environment",
        text="settings to start from: playground (MuJoCo Playground's tuned parameters), rsl_rl or brax (those for "
        "this learner), default, or the name of a suite or another environment.",
    ),
]
"""``--preset playground``, of the commands that start from presets."""

Options = TypeVar("Options", bound=TrainingOptions)


def read_options(kind: type[Options], args: Sequence[str], *, prog: str) -> tuple[Options, list[str]]:
    """Parse the options of a command, and trust the import paths in its arguments.

    Returns:
        the options, and the other arguments in their order.
    """
    command, flags = parse_options(kind, args, prog=prog)
    take_at_their_word(
        command.trust, env=command.env, flags=[*flags, *names_in([command.randomize, command.env_kwargs])]
    )
    return command, flags


def without_help(args: Sequence[str]) -> tuple[bool, list[str]]:
    """Return whether arguments ask for help, and the others; the config is shown once it is known."""
    others = [arg for arg in args if arg not in ("-h", "--help")]
    return len(others) < len(args), others


def show_help(
    options: type, args: Sequence[str], cfg: BaseRunnerConfig, values: Mapping[str, Any], *, prog: str
) -> None:
    """Show the options of a command and all keys of a config with their current values, and end the process."""
    hint: Any = Annotated.__class_getitem__((type(cfg), tyro.conf.arg(name="")))  # type: ignore[attr-defined]
    fields = [("runner", hint, field(default=cfg))]
    joined: Any = dataclasses.make_dataclass(options.__name__, fields, bases=(options,), frozen=True)
    joined.__doc__ = options.__doc__
    parse(joined, args, prog=prog, default=joined(**{**values, "runner": cfg}))


def env_is_missing(prog: str) -> CommandError:
    """Return the error for arguments that do not begin with the environment."""
    return CommandError(
        f"The environment must be the first argument: {prog} ENV [options]. `rsl-jax envs` lists environments."
    )


def complete(command: Options, settings: RunSettings, **others: Any) -> Options:
    """Return the command with the settings of files and presets where flags set none.

    Args:
        command: options of the command.
        settings: settings of files and presets.
        **others: values of further options.

    Raises:
        CommandError: for ``--randomize-every`` without randomization.
    """
    is_same = settings.env in (None, command.env)  # another environment has other options
    below = {
        "num_envs": settings.num_envs or NUM_ENVS,
        "iterations": settings.iterations or ITERATIONS,
        "env_kwargs": dict(settings.env_kwargs) if is_same else {},
        "init_at_random_ep_len": settings.init_at_random_ep_len,
        **others,
    }
    missing: dict[str, Any] = {name: value for name, value in below.items() if getattr(command, name, "") is None}
    command = dataclasses.replace(command, **missing)
    env_kwargs = with_randomization(command.env_kwargs or {}, command.randomize, command.randomize_every)
    return dataclasses.replace(command, env_kwargs=env_kwargs)


def settings_of_command(command: TrainingOptions, runner_cfg: BaseRunnerConfig) -> RunSettings:
    """Return a completed command as settings, for the file that repeats its run."""
    teacher = getattr(command, "teacher", None)
    return RunSettings(
        env=command.env,
        env_kwargs=command.env_kwargs or {},
        num_envs=command.num_envs,
        iterations=command.iterations,
        init_at_random_ep_len=command.init_at_random_ep_len,
        teacher=None if teacher is None else str(teacher),
        runner=runner_cfg,
    )
