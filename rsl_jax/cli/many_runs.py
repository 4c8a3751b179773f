"""Common parts of the commands that train many runs: options, settings, and the best run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from rsl_jax.cli.arguments import KeyValues, option, parse_config, parse_options, take_lists
from rsl_jax.cli.cache import CacheFlag, choose_cache
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.processes import use_enough_threads
from rsl_jax.cli.runs import new_log_dir
from rsl_jax.cli.settings import RunSettings, overlay, read_settings, write_settings
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word, trust_flags
from rsl_jax.cli.tuned import settings_for

if TYPE_CHECKING:
    from rsl_jax.sweeps import SweepResult, SweepStopped


@dataclass(frozen=True)
class ManyRuns:
    """Options of the commands that train many runs.

    Attributes:
        env: environment to train on: a name from ``rsl-jax envs``, or your own as module.path:factory. Must be the
            first argument.
        config: config file, RSL-RL's YAML.
        preset: settings to start from: playground, rsl_rl or brax (MuJoCo Playground's tuned parameters), or the name
            of a preset.
        num_envs: number of parallel environments of each run.
        iterations: number of iterations of each run.
        log_dir: folder of the results.
        resume: continue the runs in --log-dir.
        devices: number of devices to spread the runs over.
        env_kwargs: options of the environment, with values as in YAML.
        init_at_random_ep_len: start environments at a random step of their first episode.
        trust: module (with everything in it) or folder from which files of runs may import components.
        compilation_cache: folder of compiled programs, which later runs reuse; ``none`` disables it.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    config: Annotated[Path | None, option("FILE.yaml", default="the preset")] = None
    preset: Annotated[str | None, option("NAME", default="chosen by the environment")] = None
    num_envs: Annotated[int | None, option("N", default="from file or preset")] = None
    iterations: Annotated[int | None, option("N", default="from file or preset")] = None
    log_dir: Annotated[Path | None, option("DIR", default="logs/ENV/DATE_TIME_COMMAND")] = None
    resume: bool = False
    devices: Annotated[int | None, option("N", default="all, or all cores of a CPU")] = None
    env_kwargs: Annotated[KeyValues | None, option(default="from file or preset")] = None
    init_at_random_ep_len: bool = False
    trust: TrustFlag = ()
    compilation_cache: CacheFlag = None


Request = TypeVar("Request", bound="ManyRuns")


def read_request(
    kind: type[Request], args: Sequence[str], *, prog: str
) -> tuple[Request, RunSettings, dict[str, list[Any]]]:
    """Parse a command that trains many runs into its options, the settings of a run, and keys with several values.

    Raises:
        CommandError: for an invalid request.
    """
    if not args or args[0].startswith("-"):
        parse_options(kind, args, prog=prog)
        raise CommandError(
            f"The environment must be the first argument: {prog} ENV [options]. `rsl-jax envs` lists environments."
        )
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
        raise CommandError("The number of iterations of each run is not set. Give --iterations N.")
    if command.resume and command.log_dir is None:
        raise CommandError("--resume needs the folder of the runs. Give it: --log-dir DIR --resume.")
    return command, settings, varied


def prepare(command: ManyRuns, settings: RunSettings, what: str) -> tuple[Any, RunSettings, Path]:
    """Start JAX, make the environment and complete the config; returns both, and the folder."""
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
    """Save the runs that a signal stopped, and print how to resume them; returns the exit status."""
    print_facts("Stopped; all runs are saved", {"resume": f"the same command with --log-dir {folder} --resume"})
    stopped.result.save(folder / "result.npz")
    return 130


def report(result: SweepResult, table: Table, settings: RunSettings, env: Any, folder: Path, **pictures: Path) -> None:
    """Save and print the results, and the best run as a separate run.

    Args:
        result: all runs.
        table: summary to print.
        settings: settings of the command.
        env: environments of one run.
        folder: folder of the results.
        **pictures: paths of further results, by name.
    """
    result.save(folder / "result.npz")
    result.plot(folder / "curves.png", title=str(settings.env))
    Console().print(table)
    for line in result.describe_failures():
        print(f"NaN or infinity: {line}")
    facts = {"curves": folder / "curves.png", **pictures, "all curves": folder / "result.npz"}
    _keep_best(result, settings, env, folder, facts)


def _keep_best(result: SweepResult, settings: RunSettings, env: Any, folder: Path, facts: dict[str, Path]) -> None:
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
            "play": f"rsl-jax play {kept}{trust_flags(best.cfg.to_dict(), settings.env)}",
            "export": f"rsl-jax export {kept}{trust_flags(best.cfg.to_dict())}",
        },
    )


def _use_all_cores(devices: int | None) -> None:
    """Make each CPU core a JAX device, before JAX starts; has no effect with an accelerator."""
    import jax

    number = devices or os.cpu_count() or 1
    use_enough_threads(number)
    jax.config.update("jax_num_cpu_devices", number)
