"""Short forms of the scripts in this folder."""

import errno
import shutil

import jax

from rsl_jax.checkpoint import saving
from tests.chaos.disks import survive
from tests.chaos.kills import Nursery, check, same
from tests.chaos.life import make_runner


def test_a_run_that_is_killed_while_it_saves_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    with Nursery() as nursery:
        assert nursery.watch("ppo", tmp_path / "alone", 2).ended
        killed = nursery.watch("ppo", tmp_path / "killed", 2, kill=("saving", 2, 0.01))
        assert not killed.ended
        check(tmp_path / "killed", killed.saved)
        assert nursery.watch("ppo", tmp_path / "killed", 2).ended
    for name in ("model_0", "model_1", "model_best"):
        assert same(tmp_path / "killed" / name, tmp_path / "alone" / name)


def test_a_run_survives_a_disk_that_is_full_for_a_while_and_a_folder_that_vanishes(tmp_path, monkeypatch):
    write_checksums, full = saving.write_checksums, []

    def write_unless_full(folder):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_checksums(folder)

    monkeypatch.setattr(saving, "write_checksums", write_unless_full)
    runner = make_runner("ppo", tmp_path / "run")
    survive(runner, lambda: full.append(True), full.clear)
    survive(runner, lambda: shutil.rmtree(tmp_path / "run"), lambda: None, vanishes=True)
