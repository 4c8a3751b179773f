"""Check that neither memory nor compilations grow over many iterations, many calls of ``learn(1)``, many saves.

``python -m tests.chaos.memory`` trains 2,000 iterations in one go, with logs and checkpoints, and 300 calls of
``learn(1)``, on a pure and on a host environment, and fails where the process grows by more than 5 MB a thousand of
them, or where something is compiled after the first iteration. Saves are apart: Orbax and tensorstore keep some 20 kB
of native memory for each, which no Python object holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import OnPolicyRunner
from tests.environments import PointMass
from tests.helpers import small_config

LIMIT, LIMIT_OF_SAVES = 5.0, 100.0
"""MB that a thousand iterations or calls may add, and a thousand saves."""


class Growth(NamedTuple):
    """What a number of repetitions left behind.

    Attributes:
        megabytes: by which the process grew in the second half of them, as if it were all.
        objects: by which the number of arrays grew that JAX holds.
        compiled: what was compiled in them.
    """

    megabytes: float
    objects: int
    compiled: list[str]


def growth(repeat: Callable[[int], None], times: int) -> Growth:
    """Repeat, look, repeat as often again, and look again: caches have filled up in the first half.

    Args:
        repeat: does something so many times.
        times: how often in all.
    """
    names: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("Finished XLA compilation of"):
                names.append(record.getMessage().split()[4])

    logger, handler = logging.getLogger("jax._src.dispatch"), Collector()
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            repeat(times // 2)
            before, arrays = _resident(), len(jax.live_arrays())
            repeat(times - times // 2)
            return Growth(2 * (_resident() - before), len(jax.live_arrays()) - arrays, names)
    finally:
        logger.removeHandler(handler)


def runner(log_dir: Path | None, *, is_pure: bool) -> OnPolicyRunner:
    """One that has compiled everything."""
    env = vectorize(PointMass(), 16, max_episode_length=20)
    cfg = {**small_config().to_dict(), "save_interval": 500}
    built = OnPolicyRunner(env if is_pure else JaxVecEnv(env), cfg, log_dir, console=False)
    built.logger.git_status_repos = []  # takes longer than an iteration
    built.learn(2)
    return built


def calls(built: OnPolicyRunner) -> Callable[[int], None]:
    """``learn(1)`` again and again."""

    def repeat(times: int) -> None:
        for _ in range(times):
            built.learn(1)

    return repeat


def saves(built: OnPolicyRunner, folder: Path) -> Callable[[int], None]:
    """The same checkpoint again and again."""

    def repeat(times: int) -> None:
        for _ in range(times):
            built.save(folder / "again")

    return repeat


def _resident() -> float:
    """MB of the process, without what malloc only keeps for the next to come."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another libc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS; this runs on Linux only.")


def main(iterations: int = 2000, num_calls: int = 300, num_saves: int = 100) -> int:
    """Measure, and say whether all is within the limits."""
    logging.getLogger("jax._src.dispatch").propagate = False
    logging.getLogger("jax._src.interpreters.pxla").propagate = False
    is_good = True
    with tempfile.TemporaryDirectory() as name:
        for is_pure in (True, False):
            built = runner(Path(name) / str(is_pure), is_pure=is_pure)
            alone = runner(None, is_pure=is_pure)
            for what, times, limit, repeat in (
                ("iterations", iterations, LIMIT, built.learn),
                ("calls of learn(1)", num_calls, LIMIT, calls(alone)),
                ("saves", num_saves, LIMIT_OF_SAVES, saves(built, Path(name))),
            ):
                grown = growth(repeat, times)
                a_thousand = grown.megabytes * 1000 / times
                fine = a_thousand < limit and grown.objects <= 0 and not grown.compiled
                is_good &= fine
                kind = "pure" if is_pure else "host"
                print(
                    f"{kind}: {times:,} {what}: {grown.megabytes:+.2f} MB, {a_thousand:+.1f} a "
                    f"thousand (limit {limit:.0f}), {grown.objects:+} arrays, {len(grown.compiled)} compilations: "
                    f"{'good' if fine else 'TOO MUCH'}",
                    flush=True,
                )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
