"""What the commands that train many runs have in common: their options, settings, and the best run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from rsl_jax.cli.arguments import KeyValues, parse_config, parse_options, take_lists
from rsl_jax.cli.cache import CacheFlag, choose_cache
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import new_log_dir
from rsl_jax.cli.settings import RunSettings, overlay, read_settings, write_settings
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word, trust_flags
from rsl_jax.cli.tuned import settings_for

if TYPE_CHECKING:
    from rsl_jax.sweeps import SweepResult, SweepStopped


@dataclass(frozen=True)
class ManyRuns:
    """What commands that train many runs have in common.

    Attributes:
        env: what to train on: a name from ``rsl-jax envs``, or your own as module.path:factory. It comes first.
        config: config file, RSL-RL's YAML; takes the place of the preset.
        preset: playground, rsl_rl or brax for Playground's tuned parameters, or the name of a preset.
        num_envs: environments of one run.
        iterations: iterations of one run.
        log_dir: folder of the results; logs/ENV/DATE_TIME_COMMAND if not given.
        resume: go on with what is in --log-dir.
        devices: how many devices share the runs; all there are, or all cores of a CPU, if not given.
        env_kwargs: options of the environment, values as in YAML.
        init_at_random_ep_len: start every environment somewhere within its first episode.
        trust: a module (with all that is in it) or a folder that files of runs may name parts of.
        compilation_cache: folder that keeps compiled programs for the next start, or none; the user's cache folder if
            not given.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    num_envs: int | None = None
    iterations: int | None = None
    log_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    resume: bool = False
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    env_kwargs: KeyValues | None = None
    init_at_random_ep_len: bool = False
    trust: TrustFlag = ()
    compilation_cache: CacheFlag = None


Request = TypeVar("Request", bound="ManyRuns")


def read_request(
    kind: type[Request], args: Sequence[str], *, prog: str
) -> tuple[Request, RunSettings, dict[str, list[Any]]]:
    """Read a command that trains many runs: its options, the settings of a run, and keys with several values.

    Raises:
        CommandError: for what does not fit together.
    """
    if not args or args[0].startswith("-"):
        parse_options(kind, args, prog=prog)
        raise CommandError(f"The environment comes first: {prog} ENV [options]. `rsl-jax envs` lists what there is.")
    command, flags = parse_options(kind, args, prog=prog)
    take_at_their_word(command.trust, env=command.env, flags=flags)
    settings = settings_for(command.env, command.preset)
    if command.config is not None:
        settings = overlay(read_settings(command.config), settings)
    flags, varied = take_lists(settings.runner, flags)
    settings = dataclasses.replace(
        settings,
        env=command.env,
        runner=parse_config(settings.runner, flags, prog=f"{prog} {command.env}", options=kind),
        num_envs=command.num_envs or settings.num_envs,
        iterations=command.iterations or settings.iterations,
        env_kwargs=command.env_kwargs or (settings.env_kwargs if settings.env in (None, command.env) else {}),
    )
    if settings.iterations is None:
        raise CommandError("How long is each run? Give --iterations N.")
    if command.resume and command.log_dir is None:
        raise CommandError("What is to go on? Give its folder: --log-dir DIR --resume.")
    return command, settings, varied


def prepare(command: ManyRuns, settings: RunSettings, what: str) -> tuple[Any, RunSettings, Path]:
    """Start JAX, make the environment, complete the config; gives both, and the folder."""
    _use_all_cores(command.devices)
    from rsl_jax.cli.train import KIND
    from rsl_jax.cli.training import NUM_ENVS, with_obs_groups
    from rsl_jax.env import make_env

    choose_cache(command.compilation_cache)
    num_envs = settings.num_envs or NUM_ENVS
    env: Any = make_env(command.env, num_envs=num_envs, **settings.env_kwargs)
    cfg = with_obs_groups(KIND, settings.runner, env)
    settings = dataclasses.replace(settings, num_envs=num_envs, runner=cfg)
    return env, settings, command.log_dir or new_log_dir(command.env, what)


def report_stop(stopped: SweepStopped, folder: Path) -> int:
    """Save what a signal stopped, and say how to go on; gives the exit status."""
    print_facts("Stopped; all runs are saved", {"go on by": f"the same command with --log-dir {folder} --resume"})
    stopped.result.save(folder / "result.npz")
    return 130


def keep_best(result: SweepResult, settings: RunSettings, env: Any, folder: Path, facts: dict[str, object]) -> None:
    """Save the best run as one of its own, and say where everything is."""
    try:
        best = result.best()
    except ValueError as error:
        print_facts("Done", {**facts, "best": error})
        return
    runner = best.runner(env, console=False)
    kept = folder / "best"
    kept.mkdir(exist_ok=True)
    checkpoint = kept / f"model_{runner.current_learning_iteration}"
    runner.save(checkpoint)
    write_settings(dataclasses.replace(settings, runner=dataclasses.replace(best.cfg, seed=best.member.seed)), kept)
    print_facts(
        "Done",
        {
            **facts,
            "best run": f"{best.member.label}, seed {best.member.seed}",
            "checkpoint": checkpoint,
            "watch it by": f"rsl-jax play {kept}{trust_flags(best.cfg.to_dict(), settings.env)}",
            "export it by": f"rsl-jax export {kept}{trust_flags(best.cfg.to_dict())}",
        },
    )


def _use_all_cores(devices: int | None) -> None:
    """Make a device out of each core of a CPU, before JAX starts; without effect where there is an accelerator."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count() or 1)
