"""Fill up disks, and make log folders read-only or remove them, while a run trains; check the results.

``python -m tests.chaos.disks`` goes through all of them. A small disk that is full is mounted, for which the script
must be root; without that, it is left out.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest

from rsl_jax.checkpoint import check_checkpoint, latest_checkpoint, read_metadata
from tests.chaos.life import make_runner


def learn_through(runner, iterations, begin, end, *, first, last):
    """Train, while something is wrong from before one iteration is saved until after another one is."""
    log = runner.logger.log

    def log_and_break(it, *args, **kwargs):
        log(it, *args, **kwargs)
        if it == first:
            begin()
        if it == last + 1:
            end()

    runner.logger.log = log_and_break
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            runner.learn(iterations)
    finally:
        runner.logger.log = log
    return [str(warning.message) for warning in warned if "checkpoint" in str(warning.message)]


def survive(runner, begin, end, *, vanishes=False):
    """Train through trouble that ends, and through trouble that does not.

    Args:
        runner: a run that saves after each iteration.
        begin: makes the trouble.
        end: ends it.
        vanishes: whether the trouble is that the folder is gone, with what is in it; saving makes it again.
    """
    log_dir, start = runner.logger.log_dir, int(runner.state.iteration)
    told = learn_through(runner, 5, begin, end, first=start + 1, last=start + 2)
    names = {path.name for path in log_dir.iterdir()}
    lost, kept = {start} if vanishes else {start + 1, start + 2}, {start + 3, start + 4}
    assert not names & {f"model_{it}" for it in lost}, names
    assert names >= {f"model_{it}" for it in ({start + 1, start + 2} if vanishes else {start}) | kept}, names
    assert vanishes or len(told) == 2, told
    for path in log_dir.glob("model_*"):
        check_checkpoint(path)
    if vanishes:
        return
    with pytest.raises(OSError, match=f"model_{start + 7}"):
        learn_through(runner, 3, begin, end, first=start + 6, last=start + 99)
    end()
    assert int(runner.state.iteration) == start + 8
    newest = latest_checkpoint(log_dir)
    assert newest.name == f"model_{start + 5}", newest
    check_checkpoint(newest)
    elsewhere = log_dir.parent / "elsewhere"
    runner.save(elsewhere)
    assert read_metadata(elsewhere)["iteration"] == start + 7


@contextlib.contextmanager
def small_disk(megabytes):
    """A file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def limit_files(size):
    """Let no file become larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill(disk):
    """Leave nothing free."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def write_protect(folder):
    """Let nothing be made or renamed in a folder, by root neither."""
    subprocess.run(["chattr", "+i", folder] if os.geteuid() == 0 else ["chmod", "a-w", folder], check=True)


def write_enable(folder):
    """Take it back."""
    subprocess.run(["chattr", "-i", folder] if os.geteuid() == 0 else ["chmod", "u+w", folder], check=True)


def main():
    """Go through all."""
    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner("ppo", Path(folder) / "run")
        for size in (0, 300, 3000):
            survive(runner, lambda size=size: limit_files(size), lambda: limit_files(resource.RLIM_INFINITY))
            print(
                f"files of at most {size} bytes: training goes on, earlier checkpoints are whole, the end is an error"
            )
        survive(runner, lambda: shutil.rmtree(runner.logger.log_dir), lambda: None, vanishes=True)
        print("log folder vanished: made again, training goes on")
        survive(runner, lambda: write_protect(runner.logger.log_dir), lambda: write_enable(runner.logger.log_dir))
        print("write-protected log folder: training goes on, earlier checkpoints are whole, the end is an error")
    if os.geteuid() != 0:
        print("not root: no full disk")
        return
    with small_disk(16) as disk:
        runner = make_runner("ppo", disk / "run")
        survive(runner, lambda: fill(disk), lambda: (disk / "ballast").unlink(missing_ok=True))
        print("full disk: training goes on, earlier checkpoints are whole, the end is an error")


if __name__ == "__main__":
    main()
