"""Checkpoints: their contents, and how one replaces another."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from rsl_jax.checkpoint import latest_checkpoint, lock_log_dir, read_checkpoint, read_metadata, save_checkpoint
from rsl_jax.trees import restore


def save(path, number):
    return save_checkpoint(path, {"weight": jnp.full(2, number, jnp.float32)}, None, {"iteration": number})


def test_arrays_without_elements_are_no_obstacle(tmp_path):
    # MuJoCo's state has them wherever nothing can touch; Orbax refuses to write them.
    loop = {"position": jnp.arange(3.0), "contacts": jnp.zeros((4, 0)), "ids": jnp.zeros((0,), jnp.int32)}
    save_checkpoint(tmp_path / "model_0", {"weight": jnp.ones(2)}, loop, {})
    fresh = {"position": jnp.zeros(3), "contacts": jnp.zeros((4, 0)), "ids": jnp.zeros((0,), jnp.int32)}
    restored = restore(fresh, read_checkpoint(tmp_path / "model_0").loop)
    np.testing.assert_array_equal(restored["position"], [0.0, 1.0, 2.0])
    assert restored["contacts"].shape == (4, 0)
    assert restored["ids"].dtype == jnp.int32


def test_an_array_that_was_empty_when_saved_is_missed_when_it_no_longer_is(tmp_path):
    save_checkpoint(
        tmp_path / "model_0", {"weight": jnp.ones(2)}, {"contacts": jnp.zeros((4, 0)), "x": jnp.ones(1)}, {}
    )
    with pytest.raises(ValueError, match="contacts: missing in the checkpoint"):
        restore({"contacts": jnp.zeros((4, 2)), "x": jnp.ones(1)}, read_checkpoint(tmp_path / "model_0").loop)


def test_numbers_do_not_become_booleans_or_whole_numbers():
    template = {"count": jnp.zeros(2, jnp.int32), "done": jnp.zeros(2, bool), "x": jnp.zeros(2)}
    with pytest.raises(ValueError, match="count: float32 in the checkpoint, int32 here; done: float32"):
        restore(template, {"count": np.ones(2, np.float32), "done": np.ones(2, np.float32), "x": np.ones(2)})
    restored = restore(template, {"count": np.ones(2, np.int64), "done": np.ones(2, bool), "x": np.ones(2, np.int32)})
    assert {name: leaf.dtype for name, leaf in restored.items()} == {name: x.dtype for name, x in template.items()}


NAMES = [
    "run[1]",
    "[!a]",
    "st*r?",
    "a b",
    "per%20cent%",
    "ünï 日本",
    "q'\"q",
    "new\nline",
    "back\\slash",
    "#",
    "{b}",
    "$HOME",
]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"\xff")])
@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of them")
def test_all_characters_of_a_path_work(tmp_path, name):
    for number in (0, 1, 1):
        path = save(tmp_path / name / f"model_{number}", number)
    assert latest_checkpoint(tmp_path / name) == path
    np.testing.assert_array_equal(read_checkpoint(path).state["weight"], [1.0, 1.0])
    assert sorted(child.name for child in (tmp_path / name).iterdir()) == ["model_0", "model_1"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("replaces", [False, True])
def test_a_kill_at_any_step_leaves_the_old_one_or_the_new_one(tmp_path, monkeypatch, replaces):
    # Every change to the file system outside of the folder being written is a renaming; whatever a `finally` does
    # beyond that is left out, as a kill leaves it out.
    rename, reached = os.rename, set()
    for step in itertools.count():
        folder = tmp_path / str(step)
        path = save(folder / "model_3", 1) if replaces else folder / "model_3"
        renamings = itertools.count()

        def dying(old, new, *, renamings=renamings, step=step, folder=folder):
            below = Path(new).relative_to(folder).parts
            if len(below) <= 2 and next(renamings) == step:
                raise Killed
            rename(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", dying)
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            try:
                save(path, 2)
            except Killed:
                pass
            else:
                break
        latest = latest_checkpoint(folder)
        reached.add(None if latest is None else read_metadata(path)["iteration"])
        if latest is not None:
            assert read_checkpoint(path).state["weight"][0] == read_metadata(path)["iteration"]
        save(path, 3)  # goes through, and leaves no rest of the one that was killed
        assert read_metadata(path)["iteration"] == 3
        assert [child.name for child in folder.iterdir()] == ["model_3"]
    assert reached == {1 if replaces else None, 2}


def test_what_runs_still_write_is_left_alone_and_what_dead_ones_left_is_not(tmp_path):
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = os.uname().nodename
    theirs = [f".saving-{host}-{os.getppid()}-0", ".saving-elsewhere-1-0"]
    dead = f".saving-{host}-{int(process.stdout)}-0"
    for name in (*theirs, dead):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
    save(tmp_path / "model_0", 0)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "model_0"}


def test_links_and_folders_without_content_are_no_checkpoints_and_in_nobodys_way(tmp_path):
    elsewhere = save(tmp_path / "elsewhere" / "model_0", 7)
    log_dir = tmp_path / "run"
    log_dir.mkdir()
    for name in ("model_0", "model_8", "model_best"):
        (log_dir / name).symlink_to(elsewhere)
    (log_dir / "model_9").symlink_to("nowhere")
    (log_dir / "model_99999999999999999999" / "metadata").mkdir(parents=True)
    (log_dir / "model_10" / "metadata").mkdir(parents=True)
    shutil.copytree(elsewhere, log_dir / "model_2147483648")
    shutil.copytree(elsewhere, log_dir / "model_٣")
    assert latest_checkpoint(log_dir) is None
    for name in ("model_0", "model_best", "model_9", "model_10"):
        save(log_dir / name, 1)
        assert not (log_dir / name).is_symlink()
        assert read_metadata(log_dir / name)["iteration"] == 1
    assert latest_checkpoint(log_dir) == log_dir / "model_10"
    assert read_metadata(elsewhere)["iteration"] == 7


def test_nothing_but_a_checkpoint_is_replaced(tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    for name in ("notes", "folder", "."):
        with pytest.raises(FileExistsError, match="not replace"):
            save(tmp_path / name, 1)
    assert (tmp_path / "folder" / "thesis.tex").read_text() == (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("RESOURCE_EXHAUSTED: ... [os_error_code='28']")]
)
def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = save(tmp_path / "model_0", 1)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(ocp.Checkpointer, "save", fail)
    with pytest.raises(OSError, match="model_0' could not be written: No space left on device") as caught:
        save(path, 2)
    assert caught.value.errno == 28
    assert [child.name for child in tmp_path.iterdir()] == ["model_0"]
    assert read_metadata(path)["iteration"] == 1


def test_a_folder_that_vanished_is_made_again(tmp_path):
    path = save(tmp_path / "run" / "model_0", 1)
    shutil.rmtree(path.parent)
    save(path, 2)
    assert read_metadata(path)["iteration"] == 2
    shutil.rmtree(path.parent)
    path.parent.write_text("a file")
    with pytest.raises(OSError, match="could not be written"):
        save(path, 3)


HOLD = """
import sys
from rsl_jax.checkpoint.lock import lock_log_dir
with lock_log_dir(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RuntimeError, match=f"run': process {holder.pid} on .*another log folder"),
            lock_log_dir(tmp_path / "run"),
        ):
            pass
        with lock_log_dir(tmp_path / "other"), lock_log_dir(tmp_path / "other"):
            pass
        holder.kill()
    with lock_log_dir(tmp_path / "run"):  # nothing has to be tidied up
        shutil.rmtree(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Nothing can be written to the log folder"), lock_log_dir(tmp_path / "file"):
        pass
