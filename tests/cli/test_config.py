"""``rsl-jax config``: old configs become new files, and unreadable ones are reported."""

import re
import warnings

import pytest
import yaml

from rsl_jax.cli import main
from rsl_jax.cli.settings import read_settings
from rsl_jax.config import BaseRunnerConfig
from tests.cli.own import said
from tests.core.old_configs import OF_CLIENTS, OLD, TODAY

NAMES = [
    "legged_gym base",
    "genesis go2",
    "beyondmimic g1",
    "isaac lab distillation 2 recurrent",
    "rsl_rl 2 dummy_config",
]


def quietly(function, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def written(folder, content, name="old.yaml"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_new_file_means_the_same_and_needs_no_reading(tmp_path, capsys, name):
    new = tmp_path / "folder" / "new.yaml"
    assert main(["config", written(tmp_path, OLD[name]), "--out", str(new)]) == 0
    assert "is read as" in capsys.readouterr().out
    assert BaseRunnerConfig.from_yaml(new) == quietly(BaseRunnerConfig.from_dict, OLD[name])
    assert "policy" not in yaml.safe_load(new.read_text())


def test_without_a_file_it_is_printed_as_yaml(tmp_path, capsys):
    assert main(["config", written(tmp_path, OLD["beyondmimic g1"])]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# policy 'ActorCritic' is read as actor and critic\n")
    expected = quietly(BaseRunnerConfig.from_dict, OLD["beyondmimic g1"])
    assert BaseRunnerConfig.from_dict(yaml.safe_load(text)) == expected


def test_of_todays_config_nothing_is_changed(tmp_path, capsys):
    assert main(["config", written(tmp_path, TODAY["genesis go2"])]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# nothing had to be converted\n")
    assert yaml.safe_load(text) == TODAY["genesis go2"]


def test_tuples_become_lists(tmp_path, capsys):
    assert main(["config", written(tmp_path, yaml.dump(OF_CLIENTS["mjlab go1"]))]) == 0
    new = yaml.safe_load(capsys.readouterr().out)
    assert new["actor"]["hidden_dims"] == [512, 256, 128]
    assert "cnn_cfg" not in new["actor"]


def test_what_stands_beside_a_section_runner_stays(tmp_path):
    content = {"env": "brax/ant", "num_envs": 64, "runner": OLD["beyondmimic g1"]}
    new = tmp_path / "new.yaml"
    assert main(["config", written(tmp_path, content), "--out", str(new)]) == 0
    settings = read_settings(new)
    assert (settings.env, settings.num_envs, settings.iterations) == ("brax/ant", 64, 1500)
    assert settings.runner.actor.obs_normalization


def test_files_of_old_configs_train_as_they_are(tmp_path):
    path = written(tmp_path, OLD["unitree_rl_gym g1 recurrent"])
    with pytest.warns(UserWarning, match="policy 'ActorCriticRecurrent' is read as"):
        settings = read_settings(path)
    assert settings.iterations == 10000
    assert settings.runner.actor.rnn_hidden_dim == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"policy": {"class_name": "HIMActorCritic"}}, "In the config file '.*': policy.class_name 'HIMActorCritic'"),
        ({"algorithm": {"class_name": "PPO", "gama": 0.9}}, "Unknown key 'gama' in algorithm.*Did you mean 'gamma'"),
        ({"algorithm": {"class_name": "PPO", "gamma": "big"}}, "algorithm.gamma must be of type float"),
        ({"runner": [1]}, "runner must be a section of keys and values"),
        ("- 1\n", "must consist of keys and values"),
        ("{", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML: Line 1 has a tag that is not allowed"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, capsys, content, message):
    assert main(["config", written(tmp_path, content)]) == 2
    text = said(capsys)
    assert re.search(message, text), text


def test_other_files_are_refused(tmp_path, capsys):
    assert main(["config", str(tmp_path / "nothing.yaml")]) == 2
    assert "cannot be read: No such file" in said(capsys)
    assert main(["config", "a1_config.py"]) == 2
    assert "class_to_dict(MyRobotCfgPPO())" in said(capsys)
    old = written(tmp_path, TODAY["genesis go2"])
    assert main(["config", old, "--out", old]) == 2
    assert "is the old config itself" in said(capsys)
    assert yaml.safe_load((tmp_path / "old.yaml").read_text()) == TODAY["genesis go2"]
