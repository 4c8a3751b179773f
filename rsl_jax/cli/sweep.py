"""``rsl-jax sweep``: train many seeds of many settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from rsl_jax.cli.arguments import option
from rsl_jax.cli.many_runs import ManyRuns, prepare, read_request, report, report_stop
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.settings import RunSettings

if TYPE_CHECKING:
    from rsl_jax.sweeps import SweepResult

PROG = "rsl-jax sweep"


@dataclass(frozen=True)
class Sweep(ManyRuns):
    """Train many seeds of many settings at once and keep the best.

    Every config key with several values is varied, as in --algorithm.entropy-coef 0 0.005 0.01; all combinations are
    trained. Settings that are not given come from the config file, else from the preset of the environment. Ctrl-C
    saves all runs and stops; --resume continues.

    Attributes:
        seeds: number of seeds of each setting, from --seed on.
        members_at_once: maximum number of runs that are trained at once, with Ray by each worker.
        backend: where to train: local in this process, ray by the workers of a Ray cluster.
        ray_address: address of the Ray cluster.
        ray_num_cpus: CPU cores of each Ray worker.
        ray_num_gpus: GPUs of each Ray worker; a fraction lets several workers share one.
        ray_time_limit: seconds to wait for the Ray cluster, and for a first worker.
    """

    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    members_at_once: Annotated[int | None, option("N", default="as many as fit into memory; Ray: equal shares")] = None
    backend: Literal["local", "ray"] = "local"
    ray_address: Annotated[
        str | None, option("HOST:PORT", default="RAY_ADDRESS, else that of this machine, else a new one here")
    ] = None
    ray_num_cpus: Annotated[float | None, option("N", default="1")] = None
    ray_num_gpus: Annotated[float | None, option("N", default="0")] = None
    ray_time_limit: Annotated[float | None, option("S", default="120")] = None


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command, settings, varied = read_request(Sweep, args, prog=PROG)
    if command.backend == "local" and _ray_options(command):
        raise CommandError(f"--ray-{next(iter(_ray_options(command))).replace('_', '-')} needs --backend ray.")
    if command.backend == "ray" and command.devices is not None:
        raise CommandError("--devices is not for --backend ray: its workers have one device, or --ray-num-gpus N.")
    return _sweep(command, settings, varied)


def _sweep(command: Sweep, settings: RunSettings, varied: dict[str, list[Any]]) -> int:
    from rsl_jax.sweeps import RayCluster, SweepStopped, sweep

    on_ray, first = command.backend == "ray", settings.runner.seed or 0
    env, settings, folder = prepare(command, settings, "sweep", trains_here=not on_ray)
    print_facts(f"Sweep on {command.env}", {"folder": folder, **varied})
    try:
        result = sweep(
            env,
            settings.runner,
            iterations=settings.iterations or 0,
            seeds=range(first, first + command.seeds),
            vary=varied,
            folder=folder,
            resume=command.resume,
            devices=command.devices,
            members_at_once=command.members_at_once,
            backend=RayCluster(**_ray_options(command)) if on_ray else "local",
            init_at_random_ep_len=bool(settings.init_at_random_ep_len),
        )
    except SweepStopped as stopped:
        return report_stop(stopped, folder)
    _report(result, settings, env, folder)
    return 0


def _ray_options(command: Sweep) -> dict[str, Any]:
    """Return the options of the Ray cluster that are given, by their names without ``ray_``."""
    given = {name.removeprefix("ray_"): value for name, value in vars(command).items() if name.startswith("ray_")}
    return {name: value for name, value in given.items() if value is not None}


def _report(result: SweepResult, settings: RunSettings, env: Any, folder: Path) -> None:
    from rsl_jax.logging.curves import label_of_tag
    from rsl_jax.logging.status import number

    what = label_of_tag(result.score)
    table = Table(title=f"Interquartile means of the {what} in the last 10 iterations", title_justify="left")
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
    report(result, table, settings, env, folder)
