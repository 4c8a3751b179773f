"""Kill runs with -9, at any moment and in the middle of saving, and check what is lost.

``python -m tests.chaos.kills --kills 50`` kills 50 runs of each kind, resumes each, and holds every checkpoint of those
that reach their end against the same iteration of a run that was left alone: all must be the same, bit for bit.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rsl_jax.checkpoint import check_checkpoint, latest_checkpoint, read_checkpoint
from rsl_jax.trees import leaves_by_path
from tests.chaos.life import KINDS

ITERATIONS = 8


@dataclass
class Watched:
    """A life that was watched to its end.

    Attributes:
        seconds: it took.
        ready_after: seconds until training began; None if it did not.
        saving: seconds that each save took.
        saved: the checkpoints that it finished.
        was_saving: the checkpoint that it was about to write when it ended.
        ended: whether it ended by itself.
    """

    seconds: float = 0.0
    ready_after: float | None = None
    saving: list[float] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)
    was_saving: str | None = None
    ended: bool = False


class Nursery:
    """Where lives begin: see :mod:`tests.chaos.life`."""

    def __enter__(self):
        """Start."""
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.life"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **one_thread},
        )
        return self

    def __exit__(self, *_):
        """End."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def watch(self, kind, log_dir, iterations, *, kill=None):
        """Let a run live, and kill it.

        Args:
            kind: of the run.
            log_dir: its folder.
            iterations: at its end.
            kill: the word after which it does not live long, how often it hears that before, and how many seconds it
                lives on then.
        """
        life, start, began = Watched(), time.monotonic(), 0.0
        pid, code, timer, heard = 0, None, None, collections.Counter()
        print(kind, iterations, log_dir, file=self._process.stdin, flush=True)
        while code is None:
            word, _, name = self._process.stdout.readline().strip().partition(" ")
            now = time.monotonic()
            if word == "born":
                pid, start = int(name), now
            elif word == "ready":
                life.ready_after = now - start
            elif word == "saving":
                life.was_saving, began = name, now
            elif word == "saved":
                life.was_saving = None
                life.saved.append(name)
                life.saving.append(now - began)
            elif word == "died":
                code = int(name)
            elif not word:
                code = self._process.wait() or 1
            if kill is not None and (word, heard[word]) == kill[:2]:
                timer = threading.Timer(kill[2], _kill, [pid])
                timer.start()
            heard[word] += 1
        if timer is not None:
            timer.cancel()
            timer.join()
        life.seconds, life.ended = time.monotonic() - start, code == 0
        if code not in (0, -9):
            self._errors.seek(0)
            raise RuntimeError(f"{kind} ended with {code}:\n{self._errors.read()}")
        return life


def _kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def same(path, reference):
    """Whether two checkpoints hold the same, bit for bit."""
    here, there = read_checkpoint(path), read_checkpoint(reference)
    ours, theirs = (leaves_by_path({"state": c.state, "loop": c.loop or {}}) for c in (here, there))
    return (
        ours.keys() == theirs.keys()
        and all(np.asarray(ours[name]).tobytes() == np.asarray(theirs[name]).tobytes() for name in ours)
        and {**here.metadata, "versions": None} == {**there.metadata, "versions": None}
    )


def check(log_dir, saved):
    """Make sure that nothing that was once saved is missing or damaged."""
    newest = latest_checkpoint(log_dir)
    highest = max((int(name.split("_")[1]) for name in saved if name != "model_best"), default=-1)
    found = -1 if newest is None else int(newest.name.split("_")[1])
    assert found >= highest, f"model_{highest} was saved, and {newest} is the newest"
    for path in [newest] if newest else []:
        check_checkpoint(path)
    if "model_best" in saved:
        check_checkpoint(log_dir / "model_best")


def torment(nursery, kind, folder, kills, chance, *, iterations=ITERATIONS, tell=print):
    """Kill runs of a kind until there were as many kills, and let the last one end.

    Returns:
        how many were killed while they trained or started, and how many in the middle of a save.
    """
    reference = folder / f"{kind}_alone"
    nursery.watch(kind, reference, iterations)  # compiles
    warm = nursery.watch(kind, folder / f"{kind}_warm", iterations)
    assert warm.ended
    ready, save = warm.ready_after, max(warm.saving)  # seconds, of the fastest life so far: load comes and goes
    pace = (warm.seconds - ready) / len(warm.saved)
    counts, number = [0, 0], 0
    while sum(counts) < kills:
        log_dir, saved = folder / f"{kind}_{number}", set()
        number += 1
        while True:
            kill = None
            if sum(counts) < kills:
                kill = chance.choice(
                    [
                        ("born", 0, chance.uniform(0.0, ready)),
                        ("saved", chance.randrange(3), chance.uniform(0.0, pace)),
                        ("saving", chance.randrange(4), chance.uniform(0.0, 1.2 * save)),
                    ]
                )
            life = nursery.watch(kind, log_dir, iterations, kill=kill)
            saved |= set(life.saved)
            ready, save = min(ready, life.ready_after or ready), min(save, max(life.saving, default=save))
            if life.ended and life.saved:
                pace = min(pace, (life.seconds - life.ready_after) / len(life.saved))
            check(log_dir, saved)
            if life.ended:
                break
            counts[life.was_saving is not None] += 1
        for it in range(iterations):
            assert same(log_dir / f"model_{it}", reference / f"model_{it}"), f"{kind}: model_{it} differs"
        assert same(log_dir / "model_best", reference / "model_best"), f"{kind}: model_best differs"
        left = [path.name for path in log_dir.glob(".saving-*")]
        assert not (left and life.saved), f"{kind}: {left} left over by a save before the last one"
        tell(f"{kind}: run {number} reached its end, the same bit for bit; killed so far: {counts[0]} + {counts[1]}")
    return tuple(counts)


def tell(text):
    """Show progress."""
    print(text, flush=True)


def main():
    """Kill runs of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(folder) / "compilations"))
        with Nursery() as nursery:
            for kind in args.kinds:
                training, saving = torment(nursery, kind, Path(folder), args.kills, random.Random(args.seed), tell=tell)
                tell(f"== {kind}: {training} killed while training, {saving} while saving, 0 lost")


if __name__ == "__main__":
    main()
