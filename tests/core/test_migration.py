"""Configs of older versions of RSL-RL, and of its clients, give the runs that they describe."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from rsl_jax.cli.settings import RunSettings
from rsl_jax.config import (
    BaseRunnerConfig,
    CNNModelConfig,
    DistillationConfig,
    DistillationRunnerConfig,
    GaussianDistributionConfig,
    HeteroscedasticGaussianDistributionConfig,
    MLPModelConfig,
    PPOConfig,
    RndConfig,
    RNNModelConfig,
    RunnerConfig,
    WeightScheduleConfig,
)
from rsl_jax.config.migration import POLICIES, migrate
from rsl_jax.config.yaml_files import RUN_KEYS
from rsl_jax.training.loops import spec_of_any
from rsl_jax.training.train import build_algorithm
from rsl_jax.types import Spec
from tests.core.old_configs import (
    MISSING,
    OBSERVATIONS,
    OF_CLIENTS,
    OLD,
    TODAY,
    actor_critic,
    gaussian,
    legged_gym,
    model,
    nameless,
    of_mjlab,
    ppo,
    run,
    student_teacher,
)

ALL = {
    **{f"{name} (old)": cfg for name, cfg in OLD.items()},
    **{f"{name} (today)": cfg for name, cfg in {**TODAY, **OF_CLIENTS}.items()},
}
SPEC = Spec(OBSERVATIONS, num_actions=3, num_envs=8, step_dt=0.02)


def read(given):
    """The config, whatever there is to say of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BaseRunnerConfig.from_dict(given)


def copied(value):
    """A copy of dicts and lists alone: a copy of a sentinel would be another one."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def notes_of(given):
    return "; ".join(migrate(given)[1])


@pytest.mark.parametrize("name", ALL)
def test_builds(name):
    before = copied(ALL[name])
    cfg = read(ALL[name])
    assert before == ALL[name], "the dict that is given stays as it is"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of groups that the config leaves open
        algorithm = build_algorithm(cfg, SPEC)
    assert callable(algorithm.update)


@pytest.mark.parametrize("name", ALL)
def test_what_was_read_is_read_again_without_a_word(name):
    migrated, _ = migrate(ALL[name])
    assert migrate(migrated) == (migrated, [])
    cfg = BaseRunnerConfig.from_dict(migrated)
    assert BaseRunnerConfig.from_dict(cfg.to_dict()).to_dict() == cfg.to_dict()


@pytest.mark.parametrize("name", OLD)
def test_one_line_says_what_was_read(name):
    with pytest.warns(UserWarning, match="This config is not in RSL-RL") as said:
        BaseRunnerConfig.from_dict(OLD[name])
    (line,) = (str(warning.message) for warning in said)
    assert "\n" not in line
    assert "read as" in line


@pytest.mark.parametrize("cfg", [*OF_CLIENTS.values(), TODAY["genesis go2"]], ids=[*OF_CLIENTS, "genesis go2"])
def test_nothing_is_said_of_what_is_switched_off(cfg):
    assert migrate(cfg)[1] == []


def test_a_policy_is_two_models():
    cfg = read(OLD["unitree_rl_gym g1 recurrent"])
    memory = {"hidden_dims": (32,), "rnn_type": "lstm", "rnn_hidden_dim": 64, "rnn_num_layers": 1}
    assert cfg.actor == RNNModelConfig(**memory, distribution_cfg=GaussianDistributionConfig(init_std=0.8))
    assert cfg.critic == RNNModelConfig(**memory)
    assert (cfg.num_steps_per_env, cfg.save_interval, cfg.seed) == (24, 50, 1)
    assert cfg.algorithm == PPOConfig()
    assert cfg.extra["max_iterations"] == 10000


def test_playgrounds_configs_are_read():
    from mujoco_playground import locomotion, manipulation
    from mujoco_playground.config import locomotion_params, manipulation_params

    configs = [locomotion_params.rsl_rl_config(name) for name in locomotion.ALL_ENVS]
    configs += [manipulation_params.rsl_rl_config(name) for name in manipulation.ALL_ENVS]
    assert len(configs) > 20
    for given in configs:
        cfg = read(given.to_dict())
        sizes = {"hidden_dims": (512, 256, 128), "obs_normalization": True}
        assert cfg.actor == MLPModelConfig(**sizes, distribution_cfg=GaussianDistributionConfig())
        assert cfg.critic == MLPModelConfig(**sizes)
        assert cfg.num_steps_per_env == given.num_steps_per_env
        for key, value in given.algorithm.items():
            assert getattr(cfg.algorithm, key) == value
        # As Playground's own script does, with its groups and an environment that has no others.
        groups = {"policy": ["state"], "critic": ["privileged_state"]}
        cfg = read({**given.to_dict(), "obs_groups": groups})
        spec = Spec({"state": (5,), "privileged_state": (8,)}, num_actions=3, num_envs=8)
        assert cfg.obs_groups == {"actor": ("state",), "critic": ("privileged_state",)}
        assert callable(build_algorithm(cfg, spec).act)


def test_defaults_are_those_of_the_version():
    old = read({"policy": actor_critic(), "algorithm": {"class_name": "PPO"}, "num_steps_per_env": 24})
    assert old.algorithm == PPOConfig(
        num_learning_epochs=1, num_mini_batches=1, gamma=0.998, entropy_coef=0.0, schedule="fixed"
    )
    for newer in (
        {"policy": actor_critic(), "obs_groups": {}},
        {"policy": actor_critic(actor_obs_normalization=False)},
        {"runner": {"obs_groups": MISSING, "policy": actor_critic()}},
    ):
        assert read(newer).algorithm == PPOConfig()
    assert read({"policy": student_teacher(init_noise_std=None)}).student.distribution_cfg.init_std == 0.1
    assert read({"policy": {"class_name": "ActorCritic"}}).actor == MLPModelConfig(
        distribution_cfg=GaussianDistributionConfig()
    )


def test_what_is_written_counts_for_more_than_old_defaults():
    cfg = read(legged_gym(actor_critic(), nameless(gamma=0.9, schedule="adaptive")))
    assert (cfg.algorithm.gamma, cfg.algorithm.schedule, cfg.algorithm.num_learning_epochs) == (0.9, "adaptive", 5)


@pytest.mark.parametrize(
    ("given", "actor", "critic"),
    [
        ({"empirical_normalization": True}, True, True),
        ({"empirical_normalization": False}, False, False),
        ({"empirical_normalization": {}}, False, False),
        ({"empirical_normalization": MISSING}, False, False),
        ({"empirical_normalization": copy.deepcopy(MISSING)}, False, False),
        ({}, False, False),
        ({"empirical_normalization": True, "policy": {"critic_obs_normalization": False}}, True, False),
        ({"empirical_normalization": True, "policy": {"actor_obs_normalization": None}}, True, True),
        ({"policy": {"actor_obs_normalization": True}}, True, False),
    ],
)
def test_empirical_normalization_is_of_those_that_say_nothing(given, actor, critic):
    cfg = read({**given, "policy": {**actor_critic(), **given.get("policy", {})}})
    assert (cfg.actor.obs_normalization, cfg.critic.obs_normalization) == (actor, critic)
    assert "empirical_normalization" not in cfg.extra


def test_empirical_normalization_of_distillation_is_of_versions_that_had_it():
    given = {"policy": student_teacher(), "empirical_normalization": True}
    cfg = read(given)
    assert (cfg.student.obs_normalization, cfg.teacher.obs_normalization) == (True, True)
    cfg = read({**given, "obs_groups": {"policy": ["policy"]}})
    assert (cfg.student.obs_normalization, cfg.teacher.obs_normalization) == (False, False)
    assert "empirical_normalization is ignored" in notes_of({**given, "obs_groups": {}})


def test_student_and_teacher():
    cfg = read(OLD["blank_rl_lab go2 distillation"])
    assert isinstance(cfg, DistillationRunnerConfig)
    assert cfg.student == RNNModelConfig(
        hidden_dims=(512, 256, 128),
        rnn_type="gru",
        rnn_hidden_dim=32,
        distribution_cfg=GaussianDistributionConfig(init_std=1.0),
    )
    assert type(cfg.teacher) is MLPModelConfig
    assert cfg.obs_groups == {"student": ("policy",), "teacher": ("critic",)}
    assert type(read(OLD["isaac lab distillation 2 recurrent"]).teacher) is RNNModelConfig
    assert read({"policy": student_teacher()}).algorithm == DistillationConfig()


def test_images_of_one_model_alone():
    cfg = read(OLD["images for the critic alone"])
    assert type(cfg.actor) is MLPModelConfig
    assert isinstance(cfg.critic, CNNModelConfig)
    assert cfg.critic.cnn_cfg["camera"].output_channels == (4,)


@pytest.mark.parametrize(
    ("policy", "size"),
    [
        ({}, 256),
        ({"rnn_hidden_size": 64}, 64),
        ({"rnn_hidden_dim": 32}, 32),
        ({"rnn_hidden_dim": 32, "rnn_hidden_size": 64}, 32),
        ({"rnn_hidden_dim": 256, "rnn_hidden_size": 64}, 64),
    ],
)
def test_either_name_of_the_size_of_a_memory(policy, size):
    cfg = read({"policy": actor_critic(class_name="ActorCriticRecurrent", **policy)})
    assert (cfg.actor.rnn_hidden_dim, cfg.critic.rnn_hidden_dim) == (size, size)


def test_the_standard_deviation_may_depend_on_the_state():
    expected = HeteroscedasticGaussianDistributionConfig(init_std=0.6, std_type="log")
    assert read(OLD["a standard deviation of the state"]).actor.distribution_cfg == expected
    cfg = read(OLD["isaac lab's dataclasses, sentinels and all"])
    assert cfg.actor.distribution_cfg == dataclasses.replace(expected, init_std=0.7)
    assert cfg.critic == MLPModelConfig(hidden_dims=(64,))


def test_models_that_are_there_win_over_a_policy():
    given = {"actor": model([8], distribution_cfg=gaussian(0.3)), "critic": model([9]), "policy": actor_critic([7])}
    cfg = read(given)
    assert (cfg.actor.hidden_dims, cfg.critic.hidden_dims) == ((8,), (9,))
    assert "policy is ignored" in notes_of(given)
    del given["critic"]
    cfg = read(given)
    assert (cfg.actor.hidden_dims, cfg.critic.hidden_dims) == ((8,), (7,))


def test_keys_of_the_run_win_over_those_of_runner():
    given = {"policy": actor_critic(), "runner": {"num_steps_per_env": 5, "run_name": "a"}, "num_steps_per_env": 7}
    assert read(given).num_steps_per_env == 7
    assert read(given).run_name == "a"
    assert "num_steps_per_env of runner ignored" in notes_of(given)


def test_rnd_of_the_first_version():
    cfg = read(OLD["rsl_rl 2 dummy_config"])
    schedule = WeightScheduleConfig(mode="step", final_step=100, final_value=0.1)
    assert cfg.algorithm.rnd_cfg == RndConfig(weight=0.5, state_normalization=True, weight_schedule=schedule)
    assert cfg.algorithm.symmetry_cfg is None


def test_what_rsl_rl_ignored_is_named():
    given = run(policy=actor_critic(fixed_std=True, rnn_type="lstm"), runner_class_name="MyRunner")
    assert "policy.fixed_std, policy.rnn_type ignored" in notes_of(given)
    assert "runner_class_name 'MyRunner' is ignored" in notes_of(given)
    assert type(read(given).actor) is MLPModelConfig


def test_a_function_of_symmetry_is_called_as_today():
    symmetry = {"use_data_augmentation": True, "data_augmentation_func": "my_robot:mirror", "_env": None}
    given = {"policy": actor_critic(), "algorithm": ppo(symmetry_cfg=symmetry)}
    assert "function(env, obs, actions)" in notes_of(given)
    assert read(given).algorithm.symmetry_cfg.data_augmentation_func == "my_robot:mirror"
    assert "function(env" not in notes_of({**given, "obs_groups": {}})


def test_observation_sets_are_renamed_and_what_stays_open_is_said():
    given = {"policy": actor_critic(), "obs_groups": {"policy": ["state", "motion"], "rnd_state": ["state"]}}
    assert read(given).obs_groups == {"actor": ("state", "motion"), "rnd_state": ("state",)}
    assert "no critic" in notes_of(given)
    assert read({**TODAY["genesis go2"], "obs_groups": {"actor": ["a"], "policy": ["b"]}}).obs_groups["actor"] == ("a",)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (of_mjlab((4,)), MLPModelConfig(hidden_dims=(4,), obs_normalization=True)),
        ({**model((4,)), "rnn_hidden_dim": 16, "rnn_num_layers": 2}, MLPModelConfig(hidden_dims=(4,))),
        (
            {**model((4,)), "class_name": "CNNModel", "cnn_cfg": None, "rnn_type": None, "rnn_hidden_dim": 1},
            CNNModelConfig(hidden_dims=(4,)),
        ),
        (
            {**model((4,)), "class_name": "RNNModel", "cnn_cfg": None, "rnn_type": None, "rnn_hidden_dim": 16},
            RNNModelConfig(hidden_dims=(4,), rnn_hidden_dim=16),
        ),
        (model((4,), distribution_cfg=gaussian(0.5)), MLPModelConfig(hidden_dims=(4,))),
        (
            model((4,), distribution_cfg={"class_name": "HeteroscedasticGaussianDistribution"}),
            MLPModelConfig(hidden_dims=(4,)),
        ),
    ],
)
def test_a_critic_without_what_means_nothing(section, expected):
    assert read({"critic": section}).critic == expected


def test_a_part_of_ones_own_loses_only_what_is_none():
    given = of_mjlab(class_name="tests.cli.own:Model", width=3)
    for key in ("hidden_dims", "activation", "obs_normalization", "distribution_cfg"):
        del given[key]
    assert read({"critic": given}).critic.kwargs == {"width": 3}
    given = {"class_name": "tests.cli.own:Model", "width": 3, "scale": {}}
    assert read({"critic": given}).critic.kwargs["width"] == 3


@pytest.mark.parametrize(
    ("distribution", "init_std"),
    [
        (gaussian(0.0), 1e-6),
        (gaussian(0), 1e-6),
        (gaussian(0.0, std_range=[0.01, 1.0]), 0.01),
        (gaussian(0.0, std_type="log", std_range=[0.0, 1.0]), 1e-6),
        (gaussian(0.2), 0.2),
    ],
)
def test_no_standard_deviation_is_the_smallest_one(distribution, init_std):
    given = {"algorithm": {"class_name": "Distillation"}, "teacher": model([4], distribution_cfg=distribution)}
    assert read(given).teacher.distribution_cfg.init_std == init_std


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            legged_gym(actor_critic(), nameless(), policy_class_name="HIMActorCritic"),
            "HIMActorCritic.*PyTorch.*'actor'",
        ),
        (
            {"policy": actor_critic(class_name="my_project.nets:ActorCritic")},
            "my_project.nets:ActorCritic.*custom_parts",
        ),
        ({"policy": actor_critic(class_name="ActorCritc")}, "Did you mean 'ActorCritic'"),
        ({"policy": [1]}, "policy must be a section of keys and values.*got \\[1\\]"),
        (legged_gym(actor_critic(), nameless(), algorithm_class_name="HIMPPO"), "Unknown algorithm 'HIMPPO'"),
        (legged_gym(actor_critic(), nameless(value_smoothness_coef=0.1)), "Unknown key 'value_smoothness_coef'"),
        ({"policy": student_teacher(), "algorithm": ppo()}, "'StudentTeacher' goes with the algorithm Distillation"),
        (
            {"policy": actor_critic(), "algorithm": {"class_name": "Distillation"}},
            "'ActorCritic' goes with the algorithm PPO",
        ),
        (
            {"critic": model(distribution_cfg={"class_name": "BetaDistribution"})},
            "critic.distribution_cfg.*set it to null",
        ),
        ({"algorithm": ppo(schedule="Adaptive")}, "algorithm.schedule.*Did you mean 'adaptive'"),
        ({"actor": {**model(), "rnn_type": "lstm"}}, "Unknown key 'rnn_type' in actor"),
        (
            {"actor": {**model(), "cnn_cfg": {"output_channels": [4], "kernel_size": 3}}},
            "Unknown key 'cnn_cfg' in actor",
        ),
        ({"actor": model(distribution_cfg=gaussian(-1.0))}, "init_std must be above 0; got -1.0"),
    ],
)
def test_refuses_with_a_reason(given, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read(given)


KEYS = [
    "policy",
    "algorithm",
    "runner",
    "actor",
    "critic",
    "student",
    "teacher",
    "obs_groups",
    "empirical_normalization",
    "class_name",
    "rnn_type",
    "init_noise_std",
    "stochastic",
    "distribution_cfg",
    "init_std",
    "std_range",
    "cnn_cfg",
    "output_channels",
    "kernel_size",
    "max_pool",
    "padding",
    "schedule",
    "optimizer",
    "rnd_cfg",
    "weight_schedule",
    "gate_normalization",
    "symmetry_cfg",
    "policy_class_name",
    "algorithm_class_name",
    "logger",
    "actor_hidden_dims",
    "actor_cnn_cfg",
    "rnn_hidden_size",
    "teacher_recurrent",
    "runner_class_name",
    "init_member_classes",
]
NAMES = [*POLICIES, "PPO", "Distillation", "MLPModel", "RNNModel", "CNNModel", "GaussianDistribution", "policy", "x"]
SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | st.just(0.0) | st.sampled_from(NAMES) | st.just(MISSING)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300, derandomize=True)
@drawn(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_is_given_it_is_read_or_refused(given):
    before = copied(given)
    with contextlib.suppress(ValueError):  # any other error would be one of ours
        migrated, notes = migrate(given)
        assert isinstance(migrated, dict)
        assert all(isinstance(note, str) and "\n" not in note for note in notes)
    assert given == before


# --- files ----------------------------------------------------------------------------------------------------------


def written(tmp_path, text):
    path = tmp_path / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def from_yaml(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RunnerConfig.from_yaml(path)


def test_tuples_are_read_from_files(tmp_path):
    given = OF_CLIENTS["mjlab go1"]
    text = yaml.dump(given, sort_keys=False)
    assert "!!python/tuple" in text
    assert from_yaml(written(tmp_path, text)) == read({**given, "wandb_tags": ()})


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {path}']",
        "!!python/object/new:os.system ['touch {path}']",
        "!!python/name:os.system ''",
        "!!python/object:dataclasses._MISSING_TYPE {{}}",
        "!!python/tuple [!!python/object/apply:os.system ['touch {path}']]",
        "!mine 3",
    ],
)
def test_no_object_is_made_from_a_file(tmp_path, value):
    trap = tmp_path / "trap"
    path = written(tmp_path, "seed: 1\nextra_key: " + value.format(path=trap))
    with pytest.raises(ValueError, match=r"Line 2 has a tag that is not allowed.*Only plain values and tuples"):
        RunnerConfig.from_yaml(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["legged_gym base", "genesis go2", "unitree_rl_gym g1 recurrent"])
def test_the_shape_of_legged_gym_is_read_whole(tmp_path, name):
    cfg = from_yaml(written(tmp_path, yaml.safe_dump(OLD[name])))
    assert cfg == read(OLD[name])
    assert cfg.seed == 1


def test_a_section_runner_is_the_config_and_what_stands_beside_it_is_kept(tmp_path):
    runner = TODAY["genesis go2"]
    beside = {"env": "brax/ant", "num_envs": 4, "iterations": 7, "comment": "mine"}
    cfg = from_yaml(written(tmp_path, yaml.safe_dump({**beside, "runner": runner})))
    assert cfg == dataclasses.replace(read(runner), extra={"comment": "mine"})


def test_the_command_line_reads_the_keys_that_are_left_to_it():
    assert set(RUN_KEYS) == {field.name for field in dataclasses.fields(RunSettings)} - {"runner", "source"}


def test_a_file_without_keys_is_refused(tmp_path):
    with pytest.raises(TypeError, match="does not contain a mapping"):
        RunnerConfig.from_yaml(written(tmp_path, "- 1\n- 2\n"))


# --- environments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "step_dt"),
    [
        ({"step_dt": 0.1}, 0.1),
        ({"unwrapped": SimpleNamespace(step_dt=0.02)}, 0.02),  # as the wrappers of mjlab and Isaac Lab have it
        ({"step_dt": 0.1, "unwrapped": SimpleNamespace(step_dt=0.02)}, 0.1),
        ({"unwrapped": SimpleNamespace()}, None),
        ({}, None),
    ],
)
def test_a_wrapped_environment_knows_the_length_of_a_step(env, step_dt):
    observations = {"policy": np.zeros((4, 3))}
    stand_in = SimpleNamespace(num_envs=4, num_actions=2, get_observations=lambda: observations, **env)
    assert spec_of_any(stand_in).step_dt == step_dt
