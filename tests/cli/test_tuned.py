"""Playground's tuned parameters as settings; no environment is created here."""

import inspect
import io
import warnings
from pathlib import Path

import pytest

from rsl_jax.cli import training, tuned
from rsl_jax.cli.envs import listing
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.train import KIND
from rsl_jax.cli.tuned import from_brax, settings_for
from rsl_jax.env import menagerie

registry = pytest.importorskip("mujoco_playground").registry

GO1 = "playground/Go1JoystickFlatTerrain"
GROUPS = {"actor": ("state",), "critic": ("privileged_state",)}


def test_brax_defaults_are_those_of_brax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brax.training.agents.ppo import networks, train
    for function, ours in ((train.train, tuned.BRAX_DEFAULTS), (networks.make_ppo_networks, tuned.BRAX_NETWORKS)):
        theirs = inspect.signature(function).parameters
        assert {name: theirs[name].default for name in ours} == dict(ours)
    assert set(inspect.signature(train.train).parameters) >= tuned.TRANSLATED | tuned.EVALUATION
    assert inspect.signature(networks.make_ppo_networks).parameters["distribution_type"].default == "tanh_normal"


def test_parameters_for_rsl_rl_are_read_as_they_are():
    settings = settings_for(GO1)
    assert (settings.num_envs, settings.runner.num_steps_per_env, settings.iterations) == (4096, 24, 1000)
    assert settings.runner.obs_groups == GROUPS
    ppo, actor = settings.runner.algorithm, settings.runner.actor
    assert (ppo.learning_rate, ppo.schedule, ppo.entropy_coef, ppo.gamma) == (3e-4, "fixed", 0.001, 0.99)
    assert (actor.hidden_dims, actor.activation, actor.obs_normalization) == ((512, 256, 128), "elu", True)
    assert settings.runner.critic.obs_normalization
    assert actor.distribution_cfg.init_std == 1.0
    assert settings.runner.extra == {}
    # Nobody has tuned how long: as many steps as by Brax's PPO.
    assert settings_for("playground/G1JoystickFlatTerrain").iterations == -(-200_000_000 // (4096 * 24))


def test_parameters_for_brax_are_translated():
    settings = settings_for(GO1, "brax")
    assert (settings.num_envs, settings.runner.num_steps_per_env) == (8192, 20)  # 256 * 32 / 8192 unrolls of 20
    assert settings.iterations == -(-200_000_000 // (8192 * 20))
    ppo, actor, critic = settings.runner.algorithm, settings.runner.actor, settings.runner.critic
    assert (ppo.num_learning_epochs, ppo.num_mini_batches, ppo.schedule) == (4, 32, "fixed")
    assert (ppo.learning_rate, ppo.gamma, ppo.lam, ppo.entropy_coef) == (3e-4, 0.97, 0.95, 1e-2)
    assert (ppo.clip_param, ppo.use_clipped_value_loss, ppo.value_loss_coef, ppo.max_grad_norm) == (0.3, False, 0.25, 1)
    assert ppo.normalize_advantage_per_mini_batch
    assert actor.hidden_dims == critic.hidden_dims == (512, 256, 128)
    assert actor.activation == "swish"
    assert actor.obs_normalization
    assert settings.runner.obs_groups == GROUPS
    assert "num_evals" not in settings.source  # evaluations change nothing
    assert "reward_scaling" not in settings.source


def test_control_suite_has_parameters_for_brax_alone():
    settings = settings_for("playground/WalkerRun")
    assert (settings.num_envs, settings.runner.num_steps_per_env) == (2048, 480)  # 16 unrolls of 30
    assert settings.iterations == 102
    assert settings.runner.obs_groups == {}  # a single group, which is not called state
    assert settings.runner.actor.hidden_dims == (32, 32, 32, 32)
    assert settings.runner.algorithm.max_grad_norm == tuned.NO_LIMIT
    assert "reward_scaling 10" in settings.source
    with pytest.raises(CommandError, match="no parameters for 'playground/WalkerRun' with RSL-RL"):
        settings_for("playground/WalkerRun", "rsl_rl")


def test_what_differs_from_the_environment_becomes_an_option():
    given = {
        **dict.fromkeys(("num_envs", "batch_size", "num_minibatches", "unroll_length", "num_updates_per_batch"), 4),
        **dict.fromkeys(("discounting", "learning_rate", "entropy_cost"), 0.5),
        "num_timesteps": 129,
        "action_repeat": 2,
        "episode_length": 101,
        "learning_rate_schedule": "ADAPTIVE_KL",
        "desired_kl": 0.02,
        "clipping_epsilon_value": 0.1,
        "normalize_advantage": False,
        "brand_new": 7,
    }
    settings = from_brax(given, action_repeat=1, length=1000)
    assert settings.env_kwargs == {"config_overrides": {"action_repeat": 2}, "max_episode_length": 51}
    assert settings.iterations == 2  # of 4 * 16 actions, two steps each
    ppo = settings.runner.algorithm
    assert (ppo.schedule, ppo.desired_kl, ppo.use_clipped_value_loss) == ("adaptive", 0.02, True)
    assert not settings.runner.actor.obs_normalization
    assert "normalize_advantage False, brand_new 7" in settings.source


@pytest.mark.parametrize("preset", ["playground", "brax"])
def test_every_environment_of_playground_has_settings(preset):
    for name in registry.ALL_ENVS:
        settings = settings_for(f"playground/{name}", preset)
        batch = settings.num_envs * settings.runner.num_steps_per_env
        assert batch % settings.runner.algorithm.num_mini_batches == 0, name
        assert 0 < settings.iterations < tuned.PLACEHOLDER, name
        assert "Playground" in settings.source, name


def test_own_presets_come_first_unless_another_is_named():
    cartpole = "playground/CartpoleBalance"
    assert settings_for(cartpole).source == "preset playground-CartpoleBalance"
    assert "Brax" in settings_for(cartpole, "playground").source
    assert settings_for(GO1, "default").source == settings_for("my_robot:make").source == "preset default"
    assert settings_for("brax/ant", cartpole).env == cartpole


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["brax/ant", "--preset", "brax"], "which exist only for playground/NAME; got 'brax/ant'"),
        (["brax/ant", "--preset", "unheard"], "There is no preset 'unheard'. Presets: playground, rsl_rl, brax"),
        ([GO1, "--preset", "rsl_rl", "--config", "x.yaml"], "Remove --config or --preset"),
    ],
)
def test_presets_that_make_no_sense_are_refused(args, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("num_steps_per_env: 3\n", encoding="utf-8")
    with pytest.raises(CommandError, match=says):
        training.read_command(KIND, args)


def test_an_unknown_environment_of_playground_is_told():
    with pytest.raises(ValueError, match=r"Did you mean 'Go1JoystickFlatTerrain'"):
        settings_for("playground/Go1JoystickFlat")


def test_flags_win_over_tuned_parameters():
    command, _ = training.read_command(KIND, [GO1, "--preset", "brax", "--num-envs", "8", "--algorithm.gamma", "0.9"])
    assert (command.num_envs, command.iterations, command.runner.algorithm.gamma) == (8, 1221, 0.9)
    assert command.source.startswith("MuJoCo Playground's parameters for Brax's PPO; without counterpart: ")
    command, _ = training.read_command(KIND, ["brax/ant", "--preset", "playground/PendulumSwingup"])
    assert (command.num_envs, command.env_kwargs) == (256, {})  # its options were meant for another environment


def test_meshes_that_are_missing_are_named(tmp_path, monkeypatch):
    robots = (*registry.locomotion.ALL_ENVS, *registry.manipulation.ALL_ENVS)
    monkeypatch.setattr(menagerie, "menagerie_path", lambda: tmp_path)
    assert all(menagerie.missing_folders(name) for name in robots)
    assert not any(menagerie.missing_folders(name) for name in registry.dm_control_suite.ALL_ENVS)
    sources = Path(inspect.getfile(registry)).parent.rglob("*.py")
    text = "".join(file.read_text(encoding="utf-8") for file in sources)
    assert all(f'"{folder}"' in text for folders in menagerie.FOLDERS.values() for folder in folders)
    (tmp_path / "unitree_go1").mkdir()
    assert menagerie.missing_folders("Go1Getup") == []
    assert menagerie.missing_folders("PandaRobotiqPushCube") == ["franka_emika_panda", "robotiq_2f85_v4"]
    with (
        pytest.raises(
            FileNotFoundError,
            match=r"needs the folder unitree_g1 of .*git clone .*copy unitree_g1 there.*docs/robots\.md",
        ),
        menagerie.needing_meshes("G1JoystickFlatTerrain"),
    ):
        raise ValueError("XML Error")
    with pytest.raises(ValueError, match="another"), menagerie.needing_meshes("Go1Getup"):
        raise ValueError("another reason")


def test_names_that_need_a_download_are_marked():
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    table = listing({"playground": ["playground/A", "playground/B"]}, {}, presets=(), downloads=["playground/B"])
    console.print(table)
    text = console.export_text()
    assert "playground/B (download)" in text
    assert "playground/A (download)" not in text
    assert "MuJoCo Menagerie, which git downloads" in text
