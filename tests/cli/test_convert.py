"""``rsl-jax convert``: converting there and back changes nothing."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import yaml

from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.cli import main
from rsl_jax.cli.policies import load_policy
from rsl_jax.interop import write_rsl_rl_checkpoint
from tests.cli.own import said
from tests.interop.test_old_layouts import GROUPS, algorithm_for, blank
from tests.parity.cases import cnn, curious, symmetric, train_cfg
from tests.parity.oracle import require_oracle

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)

CFG = train_cfg(
    {"rnd_cfg": curious(reward_normalization=True), "symmetry_cfg": symmetric(True, False)},
    actor={"obs_normalization": True},
    distribution={"class_name": "BetaDistribution"},
    obs_groups={**GROUPS, "rnd_state": ["privileged"]},
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of RSL-RL's with numbers in it, and the state that it was made of."""
    folder = tmp_path_factory.mktemp("rsl_rl")
    without = {**CFG, "algorithm": {**CFG["algorithm"], "symmetry_cfg": None}}
    algorithm, cfg = algorithm_for_curiosity(without)
    generator = np.random.default_rng(0)
    state = jax.tree.map(lambda x: (generator.normal(size=x.shape) ** 2 * 9).astype(x.dtype), blank(algorithm))
    write_rsl_rl_checkpoint(folder / "model_7.pt", state, cfg, iteration=7, infos={"note": "hip"})
    (folder / "agent.yaml").write_text(yaml.safe_dump(plain({**CFG, "max_iterations": 10})), encoding="utf-8")
    return folder


def algorithm_for_curiosity(cfg):
    from rsl_jax.config import BaseRunnerConfig
    from rsl_jax.training.train import build_algorithm
    from rsl_jax.types import Spec

    config = BaseRunnerConfig.from_dict(cfg)
    spec = Spec({"policy": (5,), "privileged": (4,)}, num_envs=8, num_actions=3, step_dt=0.02)
    return build_algorithm(config, spec), config


def plain(value):
    """Lists instead of tuples, as YAML has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def assert_same(ours, theirs, what=""):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), what
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{what}/{key}")
    elif isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    else:
        assert ours == theirs, what


def test_there_and_back(written, tmp_path, capsys):
    source, folder, back = written / "model_7.pt", tmp_path / "model_7", tmp_path / "back.pt"
    config = ["--config", str(written / "agent.yaml")]
    assert main(["convert", str(source), str(folder), *config]) == 2  # names a function, and lies beside checkpoints
    assert "--trust tests" in said(capsys)
    assert main(["convert", str(source), str(folder), *config, "--trust", "tests"]) == 0
    told = capsys.readouterr().out
    assert "{'policy': (5,), 'privileged': (4,)}" in told
    assert "actions" in told
    metadata = read_checkpoint(folder).metadata
    assert (metadata["iteration"], metadata["infos"]) == (7, {"note": "hip"})
    assert metadata["config"]["algorithm"]["symmetry_cfg"]["use_data_augmentation"]
    assert main(["convert", str(folder), str(back), "--trust", "tests"]) == 0
    assert_same(*(torch.load(path, weights_only=True) for path in (back, source)))
    _, state = load_policy(folder)  # what play and export do
    saved = torch.load(source, weights_only=True)["actor_state_dict"]["mlp.0.weight"].numpy()
    np.testing.assert_array_equal(np.asarray(state.params["actor"]["mlp"]["layer_0"]["kernel"]).T, saved)


def test_sizes_that_the_file_does_not_tell_are_asked_for(written, tmp_path, capsys):
    cfg = train_cfg(
        actor={**cnn([3], 3), "hidden_dims": [8]}, obs_groups={"actor": ["policy", "camera"], "critic": ["policy"]}
    )
    algorithm, config = algorithm_for(cfg)
    write_rsl_rl_checkpoint(tmp_path / "model_0.pt", blank(algorithm), config, iteration=0)
    (tmp_path / "cnn.yaml").write_text(yaml.safe_dump(plain(cfg)), encoding="utf-8")
    args = ["convert", str(tmp_path / "model_0.pt"), str(tmp_path / "model_0"), "--config", str(tmp_path / "cnn.yaml")]
    assert main(args) == 1
    assert "sizes of these observation groups do not follow from the file: 'camera'" in said(capsys)
    assert main([*args, "--observations", "camera=2,6"]) == 1
    assert "'camera' of the set 'actor' has shape (2, 6)" in said(capsys)
    assert main([*args, "--observations", "camera=2,6,x"]) == 2
    assert "is not a shape" in said(capsys)
    assert main([*args, "--observations", "camera=2,6,5"]) == 0
    assert read_checkpoint(tmp_path / "model_0").metadata["environment"]["observations"] == {
        "camera": [2, 6, 5],
        "policy": [5],
    }


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("model_7.pt", "other.pt", "One of SRC and DST must be a checkpoint of RSL-RL"),
        ("run", "model_7", "One of SRC and DST must be a checkpoint of RSL-RL"),
        ("model_7.pt", "model_7", "does not contain the config"),
        ("model_7.pt", "", "exists. Give another name"),
        ("run", "x.pt", "does not exist"),
    ],
)
def test_requests_that_make_no_sense(source, destination, message, written, capsys):
    assert main(["convert", str(written / source), str(written / destination)]) == 2
    assert message in said(capsys)


def test_commands_that_want_our_checkpoints_say_how_to_get_one(written, capsys):
    assert main(["export", str(written / "model_7.pt")]) == 2
    assert "rsl-jax convert" in said(capsys)
