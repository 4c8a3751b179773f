"""Files that are not checkpoints, or do not fit, are refused with the reason; nothing in them is executed."""

from __future__ import annotations

import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsl_jax.interop import is_rsl_rl_file, read_rsl_rl_checkpoint, write_rsl_rl_checkpoint
from tests.parity.cases import train_cfg
from tests.parity.oracle import require_oracle

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)

from .test_old_layouts import GROUPS, algorithm_for, blank  # noqa: E402

CFG = train_cfg(actor={"obs_normalization": True}, obs_groups=GROUPS)
"""Actor and critic have the layers 16 and 8."""


@pytest.fixture(scope="module")
def run():
    """Config and state of a run that has not begun."""
    algorithm, cfg = algorithm_for(CFG)
    return cfg, blank(algorithm)


@pytest.fixture(scope="module")
def good(run, tmp_path_factory):
    cfg, state = run
    return write_rsl_rl_checkpoint(tmp_path_factory.mktemp("good") / "model_0.pt", state, cfg, iteration=0)


def changed(good: Path, folder: Path, **changes: Any) -> Path:
    """The good file with other entries."""
    torch.save({**torch.load(good, weights_only=True), **changes}, folder / "changed.pt")
    return folder / "changed.pt"


def refused(path: Path, run: Any, match: str, **kwargs: Any) -> None:
    with pytest.raises(ValueError, match=match):
        read_rsl_rl_checkpoint(path, run[1], **kwargs)


def test_the_good_one_is_read(good, run):
    loaded = read_rsl_rl_checkpoint(good, run[1], cfg=run[0])
    assert (loaded.iteration, loaded.infos) == (0, None)
    assert loaded.parts == {"actor", "critic", "optimizer", "iteration"}


def test_nothing_there(good, run):
    with pytest.raises(FileNotFoundError, match=r"model_9\.pt.*beside it: model_0\.pt"):
        read_rsl_rl_checkpoint(good.with_name("model_9.pt"), run[1])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
def test_half_a_file(share, good, run, tmp_path):
    content = good.read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "half.pt", run, r"half\.pt.*(is incomplete|damaged)")


@pytest.mark.parametrize("content", [b"not a checkpoint", b"\x80\x04]\x94.", b"PK\x03\x04" + bytes(200)])
def test_no_file_of_pytorchs(content, run, tmp_path):
    (tmp_path / "other.pt").write_bytes(content)
    refused(tmp_path / "other.pt", run, r"other\.pt (is not a PyTorch file|was refused|contains a list)")


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("place", ["infos", "iter", "actor_state_dict"])
def test_code_is_not_run(place, good, run, tmp_path):
    marker = tmp_path / "marker"
    path = changed(good, tmp_path, **{place: Payload(marker)})
    refused(path, run, r"refused, and nothing in it was run: it asks for \S*mkdir.*'infos'")
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the payload is a real one
    assert marker.exists()


def test_tar_files_do_not_reach_pytorch(run, tmp_path, monkeypatch):
    (tmp_path / "pickle").write_bytes(b"cos\nsystem\n.")
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.add(tmp_path / "pickle", "pickle")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("PyTorch was asked to read it"))
    refused(tmp_path / "old.pt", run, "tar file")


def test_what_could_not_be_read_again_is_not_written(run, tmp_path):
    cfg, state = run
    with pytest.raises(TypeError, match="infos"):
        write_rsl_rl_checkpoint(tmp_path / "x.pt", state, cfg, iteration=0, infos={"path": Path()})
    assert not list(tmp_path.iterdir())


def test_an_exported_policy(run, tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "policy.pt")
    refused(tmp_path / "policy.pt", run, r"exported policy \(TorchScript\), not a checkpoint")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"policy": {}, "optimizer": {}}, r"no 'actor_state_dict', only 'policy', 'optimizer'.*another library"),
        ({"mlp.0.weight": torch.zeros(2)}, r"no 'actor_state_dict', only 'mlp\.0\.weight'"),
        ({"model_state_dict": {"net.0.weight": torch.zeros(2)}}, r"'net\.0\.weight' of model_state_dict belongs to no"),
        ({"actor_state_dict": [1]}, r"'actor_state_dict' of this checkpoint is a list"),
    ],
)
def test_of_another_library(content, match, run, tmp_path):
    torch.save(content, tmp_path / "foreign.pt")
    refused(tmp_path / "foreign.pt", run, match)


def test_of_another_architecture_names_layer_and_both_shapes(good, tmp_path):
    algorithm, _ = algorithm_for(
        train_cfg(actor={"obs_normalization": True, "hidden_dims": [32, 8]}, obs_groups=GROUPS)
    )
    with pytest.raises(
        ValueError,
        match=r"actor_state_dict: .*'mlp\.0\.weight' of the state dict has shape \(5, 16\), "
        r"'params/mlp/layer_0/kernel' of the model \(5, 32\)",
    ):
        read_rsl_rl_checkpoint(good, blank(algorithm))
    deeper, _ = algorithm_for(
        train_cfg(actor={"obs_normalization": True, "hidden_dims": [16, 8, 8]}, obs_groups=GROUPS)
    )
    with pytest.raises(ValueError, match=r"does not have .*'params/mlp/layer_3/kernel' \(mlp\.6\.weight\)"):
        read_rsl_rl_checkpoint(good, blank(deeper))


def test_old_names_are_told_as_they_stand_in_the_file(run, tmp_path):
    torch.save({"model_state_dict": {"actor.0.weight": torch.zeros(4, 5)}, "iter": 0}, tmp_path / "old.pt")
    refused(tmp_path / "old.pt", run, r"model_state_dict: .*'actor\.0\.weight' of the state dict has shape \(5, 4\)")


def test_what_does_not_fit_is_left_alone_if_it_may(good, run, tmp_path):
    actor = torch.load(good, weights_only=True)["actor_state_dict"]
    path = changed(
        good, tmp_path, actor_state_dict={**actor, "mlp.0.weight": torch.ones(3, 5), "mlp.0.bias": torch.ones(16)}
    )
    with pytest.warns(UserWarning, match=r"left as they were.*'mlp\.0\.weight'"):
        state = read_rsl_rl_checkpoint(path, run[1], strict=False).state
    layer = state.params["actor"]["mlp"]["layer_0"]
    np.testing.assert_array_equal(layer["kernel"], np.zeros((5, 16)))
    np.testing.assert_array_equal(layer["bias"], np.ones(16))


def test_another_optimiser(good, run, tmp_path):
    saved = torch.load(good, weights_only=True)["optimizer_state_dict"]
    momentum = {0: {"momentum_buffer": torch.zeros(3)}}
    path = changed(good, tmp_path, optimizer_state_dict={**saved, "state": momentum})
    refused(path, run, r"optimizer_state_dict: It remembers 'momentum_buffer'")
    squares = {0: {"step": torch.tensor(1.0), "square_avg": torch.zeros(3)}}
    path = changed(good, tmp_path, optimizer_state_dict={**saved, "state": squares})
    refused(path, run, r"kind 'rmsprop' and this config's of the kind 'adam'")
    with pytest.warns(UserWarning, match="The optimiser is left as it was"):
        read_rsl_rl_checkpoint(path, run[1], strict=False)
    read_rsl_rl_checkpoint(path, run[1], load_cfg={"actor": True, "critic": True})
    fewer = [{**saved["param_groups"][0], "params": [0, 1]}]
    path = changed(good, tmp_path, optimizer_state_dict={**saved, "param_groups": fewer})
    refused(path, run, r"It has 2 parameters, the models of the checkpoint have 13")
    refused(changed(good, tmp_path, optimizer_state_dict={"state": {}}), run, r"optimizer_state_dict: .*param_groups")
    decayed = [{**saved["param_groups"][0], "weight_decay": 0.5}]
    path = changed(good, tmp_path, optimizer_state_dict={**saved, "param_groups": decayed})
    with pytest.warns(UserWarning, match=r"weight_decay 0\.5, here 0"):
        read_rsl_rl_checkpoint(path, run[1], cfg=run[0])


def test_what_is_missing_starts_anew_with_a_warning(good, run, tmp_path):
    content = torch.load(good, weights_only=True)
    del content["optimizer_state_dict"]
    torch.save(content, tmp_path / "less.pt")
    with pytest.warns(UserWarning, match=r"no optimiser.*starts from scratch"):
        read_rsl_rl_checkpoint(tmp_path / "less.pt", run[1])


def test_an_iteration_is_a_whole_number(good, run, tmp_path):
    refused(changed(good, tmp_path, iter="many"), run, r"'iter' of the checkpoint is 'many'")


def test_parts_are_asked_for_by_their_names(good, run):
    refused(good, run, r"load_cfg names 'optimiser'.*Did you mean 'optimizer'", load_cfg={"optimiser": True})
    # What RSL-RL's algorithms have and this one has not is ignored, as by RSL-RL.
    assert read_rsl_rl_checkpoint(good, run[1], load_cfg={"actor": True, "rnd": True}).parts == {"actor"}


def test_without_pytorch_the_error_says_what_to_install(good, run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"Reading 'model_0\.pt' needs PyTorch.*pip install torch.*rsl-jax\[torch\]"):
        read_rsl_rl_checkpoint(good, run[1])
    with pytest.raises(ImportError, match=r"Writing 'x\.pt' needs PyTorch"):
        write_rsl_rl_checkpoint(tmp_path / "x.pt", run[1], run[0], iteration=0)


def test_files_are_told_from_our_folders(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    assert is_rsl_rl_file(tmp_path / "model_3.pt")
    assert not is_rsl_rl_file(tmp_path / "model_3")
    assert not is_rsl_rl_file(tmp_path / "folder.pt")
