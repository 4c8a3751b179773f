"""Presets, config files, and the file that a run writes."""

from importlib import resources

import pytest
import yaml

from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings, overlay, preset_for, preset_names, read_settings, write_settings
from rsl_jax.config import PPOConfig, RunnerConfig

PRESETS = sorted((resources.files("rsl_jax") / "presets").iterdir(), key=lambda file: file.name)


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.name)
def test_presets_are_whole(file):
    settings = read_settings(str(file))
    assert settings.num_envs
    assert settings.iterations
    batch = settings.num_envs * settings.runner.num_steps_per_env
    assert batch % settings.runner.algorithm.num_mini_batches == 0, "a part of each rollout would be thrown away"
    if settings.env is not None:
        assert file.name == settings.env.replace("/", "-") + ".yaml", "the preset would never be found"


def test_presets_hold_only_keys_of_rsl_rl():
    ours = {"time_out_bootstrap"}
    for file in PRESETS:
        runner = yaml.safe_load(file.read_text(encoding="utf-8"))["runner"]
        assert not ours & {*runner["algorithm"]}, file.name
        assert "seed" not in runner, file.name
        assert RunnerConfig.from_dict(runner).extra == {}, file.name


def test_the_nearest_preset_is_taken():
    assert preset_for("playground/CartpoleBalance").env == "playground/CartpoleBalance"
    assert preset_for("gymnasium/Walker2d-v5").source == "preset gymnasium"
    assert preset_for("my_robot:make").source == "preset default"
    assert "playground/CartpoleBalance" in preset_names()


def test_a_bare_config_of_rsl_rl_is_read(tmp_path):
    path = tmp_path / "rsl_rl.yaml"
    path.write_text("max_iterations: 7\nexperiment_name: go\nnum_steps_per_env: 3\n", encoding="utf-8")
    settings = read_settings(path)
    assert (settings.iterations, settings.num_envs, settings.runner.num_steps_per_env) == (7, None, 3)


def test_what_a_run_writes_is_read_back(tmp_path):
    runner = RunnerConfig(algorithm=PPOConfig(gamma=0.5), obs_groups={"actor": ("a",), "critic": ("a", "b")}, seed=3)
    settings = RunSettings(
        runner, env="m:f", env_kwargs={"x": [1, {"y": 2}]}, num_envs=4, iterations=5, init_at_random_ep_len=False
    )
    written = read_settings(write_settings(settings, tmp_path))
    assert written == RunSettings(**{**vars(settings), "source": str(tmp_path / "run.yaml")})


def test_what_a_file_leaves_open_comes_from_below():
    below = RunSettings(RunnerConfig(seed=1), env="a", env_kwargs={"x": 1}, num_envs=2, init_at_random_ep_len=True)
    above = RunSettings(RunnerConfig(seed=2), num_envs=3, init_at_random_ep_len=False)
    assert overlay(above, below) == RunSettings(
        RunnerConfig(seed=2), env="a", env_kwargs={"x": 1}, num_envs=3, init_at_random_ep_len=False
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("runner: {}\nnum_env: 3\n", "Did you mean 'num_envs'"),
        ("runner: {}\nnum_envs: true\n", "num_envs must be a whole number; got True"),
        ("runner: {algorithm: {class_name: PPO, gama: 1}}\n", "Did you mean 'gamma'"),
        ("runner: [\n", "is not YAML"),
        ("just text\n", "must consist of keys and values"),
    ],
)
def test_files_that_make_no_sense_are_refused_by_name(content, says, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError) as error:
        read_settings(path)
    assert "broken.yaml" in str(error.value)
    assert says in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"nowhere.yaml' cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.yaml")
