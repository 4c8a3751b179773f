"""Common parts of all benchmark reports: the machine, the versions, a table on the screen and a file."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

PACKAGES = (
    "rsl-jax",
    "rsl-rl-lib",
    "jax",
    "jaxlib",
    "torch",
    "brax",
    "playground",
    "mujoco-mjx",
    "numpy",
    "onnxruntime",
)


def machine() -> dict[str, Any]:
    """Return cores, memory and processor, without anything that identifies the computer."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "processor": _processor(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the compared and the computing packages."""
    return {name: version for name in PACKAGES if (version := _version(name)) is not None}


def rotating(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield the names in turns, each round beginning with the next one, so that none always follows the same."""
    for number in range(rounds):
        first = number % len(names)
        yield from [*names[first:], *names[:first]]


def summary(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Summarise turns by name: medians and quartiles.

    Where quartiles lie far apart the turns are marked as disturbed: something else ran meanwhile.
    """
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in seconds.items()}
    return {
        "median_seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "quartiles_seconds": quartiles,
        "disturbed": any(high > 1.25 * low for low, _, high in quartiles.values()),
    }


def comparison(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Summarise the turns of ``rsl_rl``, ``rsl_jax`` and possibly others, with the speed-up."""
    result = summary(seconds)
    medians = result["median_seconds"]
    return {**result, "speedup": medians["rsl_rl"] / medians["rsl_jax"]}


def speedup_text(result: Mapping[str, Any], aim: float | None = None) -> str:
    """Format the speed-up of a :func:`comparison`, with its target if there is one."""
    beside = "" if aim is None else f" (aim {aim})"
    return f"{result['speedup']:.2f}{beside}" + (", DISTURBED" if result["disturbed"] else "")


def write_json(name: str, result: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/<name>.json``, with the machine and the versions."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {**result, "machine": machine(), "versions": versions()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are figures."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format the same table in Markdown."""
    rule = [":---", *["---:"] * (len(columns) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, rule, *rows))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if os.path.exists("/proc/cpuinfo") else ()
    ):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
