"""Common parts of the commands that train many runs: options, settings, and the best run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from rich.console import Console
from rich.table import Table

from rsl_jax.cli.arguments import option, parse_config, parse_options, take_lists
from rsl_jax.cli.cache import choose_cache
from rsl_jax.cli.options import (
    NUM_ENVS,
    PresetFlag,
    TrainingOptions,
    complete,
    env_is_missing,
    read_options,
    settings_of_command,
    show_help,
    without_help,
)
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.processes import use_enough_threads
from rsl_jax.cli.runs import new_log_dir
from rsl_jax.cli.settings import RunSettings, read_settings, write_settings
from rsl_jax.cli.train import KIND, base
from rsl_jax.cli.training import with_obs_groups
from rsl_jax.cli.trusting import trust_flags

if TYPE_CHECKING:
    from rsl_jax.sweeps import SweepResult, SweepStopped


@dataclass(frozen=True)
class ManyRuns(TrainingOptions):
    """Options of the commands that train many runs.

    Attributes:
        preset: settings to start from.
        resume: continue the runs in --log-dir.
        devices: number of devices to spread the runs over.
    """

    preset: PresetFlag = None
    resume: bool = False
    devices: Annotated[int | None, option("N", default="all, or all cores of a CPU")] = None


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
        raise env_is_missing(prog)
    asks_for_help, args = without_help(args)
    command, flags = read_options(kind, args, prog=prog)
    named = None if command.config is None else read_settings(command.config)
    settings = base(command, named, resuming=False)
    if asks_for_help:
        show_help(kind, ["--help"], settings.runner, vars(complete(command, settings)), prog=prog)
    flags, varied = take_lists(settings.runner, flags)
    runner = parse_config(settings.runner, flags, prog=f"{prog} {command.env}", options=kind)
    if command.resume and command.log_dir is None:
        raise CommandError("--resume needs the folder of the runs. Give it: --log-dir DIR --resume.")
    command = complete(command, settings)
    return command, settings_of_command(command, runner), varied


def prepare(
    command: ManyRuns, settings: RunSettings, what: str, *, trains_here: bool = True
) -> tuple[Any, RunSettings, Path]:
    """Start JAX, make the environment and complete the settings; returns both, and the folder.

    Args:
        command: options of the command.
        settings: settings of a run.
        what: name of the command, for the folder.
        trains_here: whether this process trains, on all devices; otherwise it leaves accelerators to those that do.
    """
    if trains_here:
        _use_all_cores(command.devices)
    else:
        _use_cpu()
    import jax

    from rsl_jax.env import make_env
    from rsl_jax.sweeps.sweeping import pure_environment
    from rsl_jax.training.iteration import can_start_at_random

    choose_cache(command.compilation_cache)
    env = pure_environment(make_env(command.env, num_envs=settings.num_envs or NUM_ENVS, **settings.env_kwargs), None)
    at_random = settings.init_at_random_ep_len
    if at_random is None:
        at_random = can_start_at_random(env, jax.eval_shape(env.reset, jax.random.key(0))[0])
    cfg = with_obs_groups(KIND, settings.runner, env)
    settings = dataclasses.replace(settings, runner=cfg, init_at_random_ep_len=at_random)
    return env, settings, command.log_dir or new_log_dir(command.env, what)


def report_stop(stopped: SweepStopped, folder: Path) -> int:
    """Save the runs that a signal stopped, and print how to resume them; returns the exit status."""
    print_facts("Stopped; all runs are saved", {"resume": f"the same command with --log-dir {folder} --resume"})
    stopped.result.save(folder / "result.npz")
    return 128 + stopped.signal


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
    all_names = {"runner": best.cfg.to_dict(), "env_kwargs": settings.env_kwargs}
    print_facts(
        "Done",
        {
            **facts,
            "best run": f"{best.member.label}, seed {best.member.seed}",
            "checkpoint": checkpoint,
            "play": f"rsl-jax play {kept}{trust_flags(all_names, settings.env)}",
            "export": f"rsl-jax export {kept}{trust_flags(best.cfg.to_dict())}",
        },
    )


def _use_cpu() -> None:
    """Leave accelerators alone, before JAX starts."""
    import jax

    jax.config.update("jax_platforms", "cpu")


def _use_all_cores(devices: int | None) -> None:
    """Make each CPU core a JAX device, before JAX starts; has no effect with an accelerator."""
    import jax

    number = devices or os.cpu_count() or 1
    use_enough_threads(number)
    jax.config.update("jax_num_cpu_devices", number)
