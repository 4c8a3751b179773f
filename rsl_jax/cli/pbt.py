"""``rsl-jax pbt``: population-based training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.table import Table

from rsl_jax.cli.arguments import option
from rsl_jax.cli.many_runs import ManyRuns, prepare, read_request, report, report_stop
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.settings import RunSettings

if TYPE_CHECKING:
    from rsl_jax.sweeps import PopulationResult

PROG = "rsl-jax pbt"


@dataclass(frozen=True)
class Pbt(ManyRuns):
    """Train a population in which the worst members continue as copies of the best, with other numbers.

    Every config key with two values is explored between them, as in --algorithm.gamma 0.9 0.999. Settings that are not
    given come from the config file, else from the preset of the environment. Ctrl-C saves all members and stops;
    --resume continues.

    Attributes:
        members: size of the population.
        interval: iterations between two exchanges.
        fraction: fraction of the members that is replaced in each exchange.
        factors: factors by which a number may change.
        resample: probability that a number is drawn again instead.
        score: log tag by which members are ranked.
    """

    members: Annotated[int, tyro.conf.arg(metavar="N")] = 16
    interval: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    fraction: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.25)
    resample: float = 0.25
    score: Annotated[str | None, option("TAG", default="Eval/mean_reward if evaluated, else Train/mean_reward")] = None


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command, settings, ranges = read_request(Pbt, args, prog=PROG)
    for path, bounds in ranges.items():
        if len(bounds) != 2:
            raise CommandError(f"--{path} must have two values, the lowest and the highest; got {len(bounds)}.")
    if not ranges:
        raise CommandError("No key to explore. Give at least one with two values, such as --algorithm.gamma 0.9 0.999.")
    return _train(command, settings, ranges)


def _train(command: Pbt, settings: RunSettings, ranges: dict[str, list[Any]]) -> int:
    from rsl_jax.sweeps import SweepStopped, population_based_training

    env, settings, folder = prepare(command, settings, "pbt")
    explored = {path: f"{low} to {high}" for path, (low, high) in ranges.items()}
    print_facts(f"Population-based training on {command.env}", {"folder": folder, **explored})
    try:
        result = population_based_training(
            env,
            settings.runner,
            iterations=settings.iterations or 0,
            members=command.members,
            interval=command.interval,
            ranges=ranges,
            fraction=command.fraction,
            factors=command.factors,
            resample=command.resample,
            score=command.score,
            seed=settings.runner.seed or 0,
            folder=folder,
            resume=command.resume,
            devices=command.devices,
            init_at_random_ep_len=bool(settings.init_at_random_ep_len),
        )
    except SweepStopped as stopped:
        return report_stop(stopped, folder)
    _report(result, settings, env, folder)
    return 0


def _report(result: PopulationResult, settings: RunSettings, env: Any, folder: Path) -> None:
    from rsl_jax.logging.status import number

    result.plot_lineage(folder / "lineage.png", title=str(settings.env))
    result.save_lineage(folder / "lineage.csv")
    table = Table(title=f"{result.exchange.score} of the last 10 iterations", title_justify="left")
    for heading in ("member", *(path.rsplit(".", 1)[-1] for path in result.exchange.ranges), "score", "replaced"):
        table.add_column(heading, justify="right")
    for row in result.summary():
        numbers = [number(row[path], decimals=4) for path in result.exchange.ranges]
        table.add_row(str(row["member"]), *numbers, number(row["score"], decimals=2), str(row["replaced"] or ""))
    report(result, table, settings, env, folder, lineage=folder / "lineage.png")
