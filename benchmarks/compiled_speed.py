"""Speed of whole compiled runs on two cores: ours, rejax's and PureJaxRL's; many seeds, sharding, and starts.

    python3 -m venv rejax && rejax/bin/pip install rejax==0.1.3 gymnax==0.0.9 jax==0.10.2
    python benchmarks/compiled_speed.py --rejax-python rejax/bin/python

rejax needs a Python of its own, because it is written for gymnax 0.0.9 and rsl_jax for 1.x; the two versions have the
same Pendulum and CartPole. Run it on an otherwise idle machine. Each contestant is a process, they take turns, and
ratios of medians count. ``--sections training seeds`` measures some of it, ``--smoke`` only shows that it runs.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import tyro
from compiled_size import Size
from reporting import RESULTS, rotating, show_table, summary, write_json

HERE = Path(__file__).parent
ENVS = ("Pendulum-v1", "CartPole-v1")
STARTS = ("gymnax/Pendulum-v1", "playground/CartpoleBalance")
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "NPROC": "4"}
UNCACHED = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
CACHE: dict[str, str] = {}
"""Variables that let contestants keep compiled programs."""

Section = Literal["training", "seeds", "devices", "sharding", "start"]


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A process that trains.

    Attributes:
        name: one of ``compiled_contestants.CONTESTANTS``.
        size: what it does in a turn.
        cores: those it may use.
        python: its interpreter.
        environment: variables that it starts with.
    """

    name: str
    size: Size
    cores: tuple[int, ...]
    python: str = sys.executable
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def process(self) -> subprocess.Popen[str]:
        """Start it; it waits for its first turn."""
        argument = json.dumps(dataclasses.asdict(self.size))
        return _process(self.python, [self.name, argument], self.cores, {**UNCACHED, **CACHE, **self.environment})


def race(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Any]:
    """Let contestants train in turns; the first two turns of each do not count."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(contestant.process()) for name, contestant in contestants.items()}

        def turn(name: str) -> float:
            process = processes[name]
            assert process.stdin is not None
            assert process.stdout is not None
            print(file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{name} ended; see its error above.")
            return float(answer)

        first = {name: turn(name) for name in processes}
        for name in processes:
            turn(name)
        seconds: dict[str, list[float]] = {name: [] for name in processes}
        for name in rotating(list(processes), rounds):
            seconds[name].append(turn(name))
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
    return {"rounds": rounds, **summary(seconds), "first_turn_seconds": first}


def training(size: Size, *, rejax: str | None, other: str | None, rounds: int) -> dict[str, Any]:
    """Race compiled runs on one core; ratios are those to rsl_jax's speed."""
    contestants = {
        "rsl_jax": Contestant("rsl_jax", size, (0,)),
        "PureJaxRL's loop": Contestant("purejaxrl", size, (0,)),
    }
    if rejax is not None:
        contestants["rejax"] = Contestant("rejax", size, (0,), python=rejax)
    if other is not None:
        contestants["rsl_jax, the other"] = Contestant("rsl_jax", size, (0,), environment={"PYTHONPATH": other})
    result = race(contestants, rounds)
    medians = result["median_seconds"]
    steps = size.num_envs * size.num_steps * size.iterations * size.seeds
    return {
        **result,
        "steps_per_second": {name: round(steps / median) for name, median in medians.items()},
        "rsl_jax_is_faster_than": {name: round(median / medians["rsl_jax"], 3) for name, median in medians.items()},
    }


def devices(size: Size, rounds: int) -> dict[str, Any]:
    """Race ways to train many seeds on two cores; ratios are those to one ``vmap`` on one device."""
    contestants = {
        "one vmap": Contestant("rsl_jax", size, (0, 1)),
        "shard_map over two devices": Contestant("shard_map", size, (0, 1), environment=TWO_DEVICES),
        "rsl_jax.sweep on two devices": Contestant("sweep", size, (0, 1), environment=TWO_DEVICES),
        "threads, a device each": Contestant("threads", size, (0, 1), environment=TWO_DEVICES),
    }
    result = race(contestants, rounds)
    medians = result["median_seconds"]
    return {**result, "faster_than_one_vmap": {n: round(medians["one vmap"] / m, 3) for n, m in medians.items()}}


def sharding(size: Size, cores: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Race one run whole and spread over two devices; on one core, both do the same work one after the other."""
    contestants = {
        "one device": Contestant("rsl_jax", size, cores),
        # jaxlib mixes up exchanges of programs that it read from a cache.
        "two devices": Contestant("sharded", size, cores, environment={**TWO_DEVICES, **UNCACHED}),
    }
    result = race(contestants, rounds)
    medians = result["median_seconds"]
    return {**result, "time_of_two_devices_to_one": round(medians["two devices"] / medians["one device"], 3)}


def start(env: str, rounds: int) -> dict[str, Any]:
    """Time a script from its launch to the end of its first iteration, with an empty compilation cache and a full one.

    It has a runner on one device; imports are included.
    """
    seconds: dict[str, list[float]] = {"first": [], "second": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for times in seconds.values():
                before = time.perf_counter()
                with _process(sys.executable, ["start", json.dumps([env, cache])], (0, 1), {}) as process:
                    assert process.stdout is not None
                    if "done" not in process.stdout.read():
                        raise RuntimeError("The start failed; see its error above.")
                times.append(time.perf_counter() - before)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = round(medians["second"] / medians["first"], 3)
    return {"rounds": rounds, "median_seconds": medians, "second_to_first": ratio}


def main(
    rejax_python: str | None = None,
    other: str | None = None,
    rounds: int = 9,
    sections: Sequence[Section] = ("training", "seeds", "devices", "sharding", "start"),
    only: str = "",
    cache: str | None = None,
    smoke: bool = False,
) -> None:
    """Measure.

    Args:
        rejax_python: interpreter with rejax 0.1.3 and gymnax 0.0.9; without it rejax is left out.
        other: another checkout of rsl_jax, which takes part in the first two sections.
        rounds: turns of each contestant that count.
        sections: what to measure; the others keep their figures in the file.
        only: measure only the parts of the sections with this in their name (an environment, a size).
        cache: folder of compiled programs (of those that exchange no data), so that only the first run has to compile.
        smoke: a tiny size that only shows that it runs; nothing is written.
    """
    if smoke:
        rounds = 2
    if cache is not None:
        CACHE.update({"JAX_ENABLE_COMPILATION_CACHE": "true", "JAX_COMPILATION_CACHE_DIR": str(Path(cache).absolute())})
    one, many = Size(iterations=2 if smoke else 200), Size(iterations=2 if smoke else 12, seeds=4 if smoke else 16)
    large = dataclasses.replace(one, num_envs=512, num_steps=24, hidden=(128, 128, 128), iterations=1 if smoke else 3)
    # A sweep begins with short blocks, which count less the longer it is.
    long, longest = (dataclasses.replace(many, iterations=times * many.iterations) for times in (4, 16))
    race_all = functools.partial(training, rejax=rejax_python, other=other, rounds=rounds)
    runs: dict[Section, dict[str, Callable[[], dict[str, Any]]]] = {
        "training": {env: functools.partial(race_all, dataclasses.replace(one, env=env)) for env in ENVS},
        "seeds": {env: functools.partial(race_all, dataclasses.replace(many, env=env)) for env in ENVS},
        "devices": {
            "Pendulum-v1": functools.partial(devices, long, rounds),
            "Pendulum-v1, 4 times as long": functools.partial(devices, longest, rounds),
        },
        "sharding": {
            "32 x 32, two cores": functools.partial(sharding, one, (0, 1), rounds),
            "512 x 24, one core": functools.partial(sharding, large, (0,), rounds),
            "512 x 24, two cores": functools.partial(sharding, large, (0, 1), rounds),
        },
        "start": {env: functools.partial(start, env, rounds) for env in STARTS},
    }
    sizes = {
        name: dataclasses.asdict(size)
        for name, size in (("one", one), ("many", many), ("long", long), ("longest", longest), ("large", large))
    }
    path = RESULTS / "compiled_speed.json"
    figures: dict[str, Any] = json.loads(path.read_text())["sections"] if path.exists() else {}
    for section in sections:
        for name, measure in runs[section].items():
            if only in name:
                result = figures.setdefault(section, {})[name] = measure()
                _show(f"{section}: {name}", result)
        if not smoke:
            write_json("compiled_speed", {"sizes": sizes, "sections": figures})


def _process(
    python: str, arguments: Sequence[str], cores: Sequence[int], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    command = [python, str(HERE / "compiled_contestants.py"), *arguments, ",".join(map(str, cores))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)


def _show(title: str, result: Mapping[str, Any]) -> None:
    ratios = {
        tag: values
        for tag, values in result.items()
        if tag.startswith(("rsl_jax_is", "faster", "time_of", "second_to"))
    }
    tag, ratio = next(iter(ratios.items()))
    rows = [
        (name, f"{median:.3f}", f"{ratio[name]:.2f}" if isinstance(ratio, Mapping) else "")
        for name, median in result["median_seconds"].items()
    ]
    note = ", DISTURBED" if result.get("disturbed") else ""
    show_table(title + note, ("", "median s", tag.replace("_", " ")), rows)
    if not isinstance(ratio, Mapping):
        print(f"{tag.replace('_', ' ')}: {ratio}")


if __name__ == "__main__":
    tyro.cli(main)
