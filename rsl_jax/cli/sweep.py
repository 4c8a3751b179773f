"""``rsl-jax sweep``: many seeds of many settings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from rsl_jax.cli.arguments import KeyValues, parse_config, parse_options, take_lists
from rsl_jax.cli.cache import CacheFlag, choose_cache
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.processes import use_enough_threads
from rsl_jax.cli.runs import new_log_dir
from rsl_jax.cli.settings import RunSettings, overlay, read_settings, write_settings
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word, trust_flags
from rsl_jax.cli.tuned import settings_for

if TYPE_CHECKING:
    from rsl_jax.sweeps import SweepResult

PROG = "rsl-jax sweep"


@dataclass(frozen=True)
class Sweep:
    """Train many seeds of many settings at once, and keep the best.

    Every key of the config that is followed by several values is varied, --algorithm.entropy-coef 0 0.005 0.01; all
    combinations are trained. Ctrl-C saves all of them and stops; --resume goes on.

    Attributes:
        env: what to train on: a name from ``rsl-jax envs``, or your own as module.path:factory. It comes first.
        config: config file, RSL-RL's YAML; takes the place of the preset.
        preset: playground, rsl_rl or brax for Playground's tuned parameters, or the name of a preset.
        seeds: how many seeds of each setting.
        num_envs: environments of one run.
        iterations: iterations of one run.
        log_dir: folder of the sweep; logs/ENV/DATE_TIME_sweep if not given.
        resume: go on with the sweep in --log-dir.
        devices: how many devices share the runs; all there are, or all cores of a CPU, if not given.
        members_at_once: most runs that are trained at once; as many as fit into memory if not given.
        env_kwargs: options of the environment, values as in YAML.
        init_at_random_ep_len: start every environment somewhere within its first episode.
        trust: a module (with all that is in it) or a folder that files of runs may name parts of.
        compilation_cache: folder that keeps compiled programs for the next start, or none; the user's cache folder if
            not given.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    seeds: int = 16
    num_envs: int | None = None
    iterations: int | None = None
    log_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    resume: bool = False
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    members_at_once: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    env_kwargs: KeyValues | None = None
    init_at_random_ep_len: bool = False
    trust: TrustFlag = ()
    compilation_cache: CacheFlag = None


def run(args: Sequence[str]) -> int:
    """Run the command."""
    if not args or args[0].startswith("-"):
        parse_options(Sweep, args, prog=PROG)
        raise CommandError(f"The environment comes first: {PROG} ENV [options]. `rsl-jax envs` lists what there is.")
    command, flags = parse_options(Sweep, args, prog=PROG)
    take_at_their_word(command.trust, env=command.env, flags=flags)
    settings = settings_for(command.env, command.preset)
    if command.config is not None:
        settings = overlay(read_settings(command.config), settings)
    flags, varied = take_lists(settings.runner, flags)
    settings = dataclasses.replace(
        settings,
        env=command.env,
        runner=parse_config(settings.runner, flags, prog=f"{PROG} {command.env}", options=Sweep),
        num_envs=command.num_envs or settings.num_envs,
        iterations=command.iterations or settings.iterations,
        env_kwargs=command.env_kwargs or (settings.env_kwargs if settings.env in (None, command.env) else {}),
    )
    if settings.iterations is None:
        raise CommandError("How long is each run? Give --iterations N.")
    if command.resume and command.log_dir is None:
        raise CommandError("Which sweep is to go on? Give its folder: --log-dir DIR --resume.")
    return _sweep(command, settings, varied)


def _sweep(command: Sweep, settings: RunSettings, varied: dict[str, list[Any]]) -> int:
    _use_all_cores(command.devices)
    from rsl_jax.cli.train import KIND
    from rsl_jax.cli.training import NUM_ENVS, with_obs_groups
    from rsl_jax.env import make_env
    from rsl_jax.sweeps import SweepStopped, sweep

    choose_cache(command.compilation_cache)
    num_envs = settings.num_envs or NUM_ENVS
    env: Any = make_env(command.env, num_envs=num_envs, **settings.env_kwargs)
    cfg = with_obs_groups(KIND, settings.runner, env)
    settings = dataclasses.replace(settings, num_envs=num_envs, runner=cfg)
    folder = command.log_dir or new_log_dir(command.env, "sweep")
    print_facts(f"Sweep on {command.env}", {"folder": folder, **varied})
    try:
        result = sweep(
            env,
            settings.runner,
            iterations=settings.iterations or 0,
            seeds=command.seeds,
            vary=varied,
            folder=folder,
            resume=command.resume,
            devices=command.devices,
            members_at_once=command.members_at_once,
            init_at_random_ep_len=command.init_at_random_ep_len,
        )
    except SweepStopped as stopped:
        print_facts("Stopped; all runs are saved", {"go on by": f"the same command with --log-dir {folder} --resume"})
        stopped.result.save(folder / "result.npz")
        return 130
    _report(result, settings, env, folder)
    return 0


def _report(result: SweepResult, settings: RunSettings, env: Any, folder: Path) -> None:
    from rsl_jax.logging.status import number

    result.save(folder / "result.npz")
    result.plot(folder / "curves.png", title=str(settings.env))
    table = Table(title="Interquartile means of the mean reward in the last 10 iterations", title_justify="left")
    for path in result.settings[0]:
        table.add_column(path.rsplit(".", 1)[-1])
    for heading in ("IQM", "95 % interval", "worst", "best", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.summary():
        values = [str(row[path]) for path in result.settings[0]]
        iqm, low, high, worst, highest = (
            number(row[name], decimals=2) for name in ("iqm", "low", "high", "worst", "best")
        )
        table.add_row(*values, iqm, f"{low} to {high}", worst, highest, str(row["failed"] or ""))
    Console().print(table)
    for line in result.describe_failures():
        print(f"NaN or infinity: {line}")
    facts: dict[str, object] = {"curves": folder / "curves.png", "all curves": folder / "result.npz"}
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

    number = devices or os.cpu_count() or 1
    use_enough_threads(number)
    jax.config.update("jax_num_cpu_devices", number)
