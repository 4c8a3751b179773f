"""A damaged checkpoint is never loaded, and one type of error says what is wrong with it."""

import json
import random
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.checkpoint import (
    DamagedCheckpointError,
    check_checkpoint,
    last_good_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    read_metadata,
    save_checkpoint,
)

WEIGHTS = np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32)  # too large to be kept inline


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A log folder with the checkpoints of the iterations 0 and 1."""
    folder = tmp_path_factory.mktemp("run")
    for it in range(2):
        save_checkpoint(
            folder / f"model_{it}", {"params": {"w": jnp.asarray(WEIGHTS)}}, {"x": jnp.arange(3.0)}, {"iteration": it}
        )
    return folder


@pytest.fixture
def damaged(run, tmp_path):
    """A copy of the run, the newer checkpoint of which is for a test to damage."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run" / "model_1"


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_any_bit_that_is_flipped_is_found_and_its_file_is_named(damaged):
    chance = random.Random(0)
    for path in files_of(damaged):
        size = 8 * path.stat().st_size
        for bit in {0, size - 1, *(chance.randrange(size) for _ in range(6))}:
            flip(path, bit)
            with pytest.raises(DamagedCheckpointError, match=r"is damaged: .*beside it: model_0") as caught:
                check_checkpoint(damaged)
            assert f"'{path.relative_to(damaged).as_posix()}'" in caught.value.damage
            flip(path, bit)
    check_checkpoint(damaged)


@pytest.mark.parametrize("change", ["cut", "emptied", "removed", "longer", "a folder"])
def test_files_that_are_cut_emptied_or_gone_are_named(damaged, change):
    for path in files_of(damaged):
        content, name = path.read_bytes(), path.relative_to(damaged).as_posix()
        path.unlink()
        if change == "a folder":
            path.mkdir()
        elif change != "removed":
            path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "longer": content + b"\n"}[change])
        with pytest.raises(DamagedCheckpointError) as caught:
            read_checkpoint(damaged)
        assert f"'{name}'" in caught.value.damage
        assert caught.value.intact == damaged.with_name("model_0")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)
    np.testing.assert_array_equal(read_checkpoint(damaged).state["params"]["w"], WEIGHTS)


def test_the_environments_of_another_checkpoint_are_refused(run, damaged, tmp_path):
    other = save_checkpoint(tmp_path / "model_5", {"params": {"w": jnp.ones(3)}}, {"x": jnp.zeros(3)}, {"iteration": 5})
    shutil.rmtree(damaged / "loop")
    shutil.copytree(other / "loop", damaged / "loop")
    with pytest.raises(DamagedCheckpointError, match="'loop/"):
        read_checkpoint(damaged)
    without = save_checkpoint(tmp_path / "model_6", {"params": {"w": jnp.ones(3)}}, None, {"iteration": 6})
    shutil.copytree(other / "loop", without / "loop")
    assert read_checkpoint(without).loop is None


@pytest.fixture
def old(damaged):
    """A checkpoint from before there were checksums."""
    metadata = json.loads((damaged / "metadata/metadata").read_text())
    (damaged / "metadata/metadata").write_text(json.dumps({**metadata, "format": 1}))
    (damaged / "SHA256SUMS").unlink()
    return damaged


def test_checkpoints_without_checksums_are_read_as_far_as_they_are_whole(old):
    checkpoint = read_checkpoint(old)
    np.testing.assert_array_equal(checkpoint.state["params"]["w"], WEIGHTS)
    assert checkpoint.metadata["iteration"] == 1
    replacements = [b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000, b'{"a": {"b": 1}}']
    for path in [
        path for path in files_of(old) if path.name in ("metadata", "_METADATA", "_sharding", "manifest.ocdbt")
    ]:
        content = path.read_bytes()
        for replacement in [*replacements, None]:
            path.unlink() if replacement is None else path.write_bytes(replacement)
            try:
                read = read_checkpoint(old)
            except DamagedCheckpointError as error:
                assert error.intact == old.with_name("model_0")  # noqa: PT017 (what is not refused must be right)
            else:
                np.testing.assert_array_equal(read.state["params"]["w"], WEIGHTS)
            path.write_bytes(content)


def test_the_last_good_one_is_found_behind_those_that_are_not(damaged):
    assert latest_checkpoint(damaged.parent) == last_good_checkpoint(damaged.parent) == damaged
    flip(damaged / "state" / "manifest.ocdbt", 7)
    assert latest_checkpoint(damaged.parent) == damaged
    assert last_good_checkpoint(damaged.parent) == damaged.with_name("model_0")
    assert read_metadata(damaged)["iteration"] == 1  # what is not read need not be whole
    flip(damaged.with_name("model_0") / "metadata" / "metadata", 7)
    assert last_good_checkpoint(damaged.parent) is None
    with pytest.raises(DamagedCheckpointError, match="no complete one beside it"):
        read_metadata(damaged.with_name("model_0"))
    save_checkpoint(damaged.with_name("model_best"), {"w": jnp.ones(1)}, None, {})
    with pytest.raises(DamagedCheckpointError, match="Complete beside it: model_best"):
        read_checkpoint(damaged)
