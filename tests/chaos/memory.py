"""Whether memory grows and anything is compiled again: many iterations in one call, and many calls of ``learn(1)``.

``python -m tests.chaos.memory`` trains 2,000 iterations in one go and 300 calls of ``learn(1)`` on a pure and on a host
environment, with logs and checkpoints, and fails where the process grows by more than 5 MB a thousand iterations
(a hundred calls, for the calls), or where something is compiled after the first iteration.
"""

from __future__ import annotations

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

LIMIT = 5.0
"""MB that a thousand iterations may add."""


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


def _resident() -> float:
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS; this runs on Linux only.")


def main(iterations: int = 2000, num_calls: int = 300) -> int:
    """Measure, and say whether all is within the limit."""
    logging.getLogger("jax._src.dispatch").propagate = False
    logging.getLogger("jax._src.interpreters.pxla").propagate = False
    is_good = True
    for is_pure in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            built = runner(Path(folder), is_pure=is_pure)
            kind = "pure" if is_pure else "host"
            for what, times, repeat in (
                ("iterations", iterations, built.learn),
                ("calls of learn(1)", num_calls, calls(built)),
            ):
                grown = growth(repeat, times)
                limit = LIMIT * max(times / 1000, 1)
                fine = grown.megabytes < limit and grown.objects <= 0 and not grown.compiled
                is_good &= fine
                verdict = "good" if fine else "TOO MUCH"
                print(
                    f"{kind}: {times:,} {what}: {grown.megabytes:+.1f} MB (limit {limit:.0f}), {grown.objects:+} "
                    f"arrays, {len(grown.compiled)} compilations: {verdict}",
                    flush=True,
                )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
