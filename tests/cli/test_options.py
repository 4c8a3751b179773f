"""From arguments to a run: flags, config files, presets, and invalid arguments."""

from pathlib import Path

import pytest
import yaml

from rsl_jax.cli.play import Play, build_env
from rsl_jax.cli.settings import RunSettings
from rsl_jax.cli.train import KIND
from rsl_jax.cli.training import read_command
from rsl_jax.config import BetaDistributionConfig, CustomConfig, GaussianDistributionConfig, RunnerConfig
from rsl_jax.env import Sensors
from tests.cli.own import said

ENV = "tests.environments:PointMass"


def command(*args, env=ENV):
    return read_command(KIND, [env, *args])[0]


def config_file(folder, content):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_any_key_of_the_config_is_a_flag():
    read = command(
        *("--algorithm.learning-rate", "3e-4", "--algorithm.schedule", "fixed", "--actor.hidden-dims", "128", "64"),
        *("--num-steps-per-env", "32", "--seed", "7", "--critic.obs-normalization", "--no-check-for-nan"),
        *("--actor.distribution-cfg.std-range", "0.1", "2", "--obs-groups", "actor=a,b", "critic=c"),
    )
    cfg = read.runner
    assert (cfg.algorithm.learning_rate, cfg.algorithm.schedule) == (3e-4, "fixed")
    assert (cfg.actor.hidden_dims, cfg.num_steps_per_env, cfg.seed) == ((128, 64), 32, 7)
    assert cfg.critic.obs_normalization
    assert not cfg.check_for_nan
    assert cfg.actor.distribution_cfg.std_range == (0.1, 2.0)
    assert cfg.obs_groups == {"actor": ("a", "b"), "critic": ("c",)}


def test_flags_may_be_written_with_underscores():
    assert command("--algorithm.learning_rate", "0.5").runner.algorithm.learning_rate == 0.5


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    preset = command(env="playground/CartpoleBalance")
    runner = {"num_steps_per_env": 5, "algorithm": {"class_name": "PPO", "gamma": 0.5, "lam": 0.25}}
    path = config_file(tmp_path, {"num_envs": 3, "runner": runner})
    read = command("--config", path, "--algorithm.gamma", "0.75", env="playground/CartpoleBalance")
    assert (read.runner.algorithm.gamma, read.runner.algorithm.lam) == (0.75, 0.25)
    assert (read.num_envs, read.runner.num_steps_per_env) == (3, 5)
    assert read.iterations == preset.iterations  # which the file leaves open
    assert read.runner.actor.hidden_dims == (256, 256, 256)  # RSL-RL's default: the file's config is taken whole


def test_options_of_the_environment_are_yaml():
    read = command("--env-kwargs", "backend=mjx", "max_episode_length=20", "config_overrides={a.b: 1.5}")
    assert read.env_kwargs == {"backend": "mjx", "max_episode_length": 20, "config_overrides": {"a.b": 1.5}}


def test_randomized_physics_are_options_of_the_environment(tmp_path):
    assert "randomize" not in command().env_kwargs
    assert command("--randomize").env_kwargs["randomize"] is True
    own = command("--randomize", "robot:bodies", "--randomize-every", "10", "--env-kwargs", "backend=mjx")
    assert own.env_kwargs == {"backend": "mjx", "randomize": "robot:bodies", "randomize_every": 10}
    (tmp_path / "run.yaml").write_text("env_kwargs: {randomize: true, randomize_every: 3}\nrunner: {}\n")
    resumed = ["--config", str(tmp_path / "run.yaml")]
    assert command(*resumed, "--randomize-every", "5").env_kwargs == {"randomize": True, "randomize_every": 5}
    assert command(*resumed, "--randomize", "false").env_kwargs == {"randomize": False}


def test_play_is_without_noise_and_randomized_physics_unless_asked(monkeypatch):
    made = []
    sensors = {"noise": {"state": 0.1}, "history": {"state": 2}}
    kwargs = {"randomize": "robot:bodies", "randomize_every": 2, "backend": "mjx", "sensors": sensors}
    settings = RunSettings(RunnerConfig(), env=ENV, env_kwargs=kwargs)
    monkeypatch.setattr("rsl_jax.cli.play.settings_of", lambda checkpoint, **_: settings)
    monkeypatch.setattr("rsl_jax.env.make_vec_env", lambda name, **options: made.append(options))
    for given in ({}, {"randomize": True}, {"env_kwargs": {"sensors": sensors}}):
        build_env(Play(Path("model_1"), **given), Path("model_1"))
    common = {"num_envs": 16, "seed": 0, "backend": "mjx"}
    calm = Sensors(history={"state": 2})
    assert made == [
        {**common, "sensors": calm},
        {**common, "sensors": calm, "randomize": True},
        {**common, "sensors": sensors},
    ]


def test_another_class_brings_its_own_flags(tmp_path):
    actor = {"class_name": "tests.cli.own:Model", "width": 8, "scale": [1.0, 2.0]}
    path = config_file(tmp_path, {"actor": {**actor, "distribution_cfg": {"class_name": "GaussianDistribution"}}})
    read = command("--config", path, "--actor.width", "16", "--actor.distribution-cfg.init-std", "0.5")
    assert isinstance(read.runner.actor, CustomConfig)
    assert read.runner.actor.class_name == "tests.cli.own:Model"
    assert (read.runner.actor.kwargs["width"], read.runner.actor.kwargs["scale"]) == (16, [1.0, 2.0])
    assert read.runner.actor.kwargs["distribution_cfg"].init_std == 0.5


def test_a_class_may_be_chosen_by_a_flag():
    cfg = command("--critic.class-name", "tests.cli.own:Model", "--actor.hidden-dims", "8").runner
    assert isinstance(cfg.critic, CustomConfig)
    assert cfg.critic.class_name == "tests.cli.own:Model"
    assert "hidden_dims" not in cfg.critic.kwargs  # which this class does not take
    assert cfg.actor.hidden_dims == (8,)


def test_a_flag_of_a_section_that_is_not_there_brings_it():
    assert command().runner.actor.distribution_cfg is None
    cfg = command("--actor.distribution-cfg.init-std=0.5", "--actor.hidden-dims", "8").runner
    assert cfg.actor.distribution_cfg == GaussianDistributionConfig(init_std=0.5)
    flags = ("--actor.distribution_cfg.class_name", "BetaDistribution")
    cfg = command("--actor.distribution-cfg.action-range", "-2", "2", *flags).runner
    assert cfg.actor.distribution_cfg == BetaDistributionConfig(action_range=(-2.0, 2.0))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--algorithm.learning-rat", "1"], "--algorithm.learning-rate"),
        (["--algorithm.schedule", "adaptve"], "adaptive"),
        (["--num-envs", "many"], "--num-envs"),
        (["--obs-groups", "policy"], "KEY=VALUE"),
        (["--resume", "a", "b"], "at most one checkpoint can be given, got 2"),
        (["--randomize", "bodies"], "'bodies' is neither module:function nor true nor false"),
        (["--randomize", "a:b", "c:d"], "at most one randomizer can be given, got 2"),
    ],
)
def test_mistakes_end_with_a_message(args, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "metadata").mkdir(parents=True)
    monkeypatch.setattr("rsl_jax.cli.training.settings_of", lambda checkpoint: read_preset())
    with pytest.raises(SystemExit) as stop:
        command(*args)
    assert stop.value.code == 2
    assert says in said(capsys)


def read_preset():
    from rsl_jax.cli.settings import preset_for

    return preset_for(ENV)
