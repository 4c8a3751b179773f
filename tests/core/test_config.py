"""The config reads what RSL-RL reads, and rejects what RSL-RL would silently ignore."""

import copy

import pytest
import yaml

from rsl_jax.config import (
    BaseRunnerConfig,
    CustomConfig,
    DistillationConfig,
    DistillationRunnerConfig,
    GaussianDistributionConfig,
    Mirror,
    MLPModelConfig,
    PPOConfig,
    RunnerConfig,
    WeightScheduleConfig,
    structural_fields,
)

RSL_RL = {
    "seed": 42,
    "experiment_name": "anymal",
    "max_iterations": 300,
    "num_steps_per_env": 24,
    "save_interval": 100,
    "torch_compile_mode": None,
    "obs_groups": {"actor": ["policy"], "critic": ["policy", "privileged"]},
    "algorithm": {"class_name": "PPO", "learning_rate": 3e-4, "schedule": "fixed", "grad_reduce_bucket_mb": 25},
    "actor": {
        "class_name": "MLPModel",
        "hidden_dims": [512, 256, 128],
        "activation": "elu",
        "distribution_cfg": {"class_name": "GaussianDistribution", "std_type": "log", "std_range": [0.1, 2]},
    },
    "critic": {"class_name": "MLPModel", "obs_normalization": True},
}


def test_reads_rsl_rl_dict_and_leaves_it_alone():
    given = copy.deepcopy(RSL_RL)
    cfg = RunnerConfig.from_dict(given)
    assert given == RSL_RL
    assert cfg.algorithm == PPOConfig(learning_rate=3e-4, schedule="fixed")
    assert cfg.actor == MLPModelConfig(
        hidden_dims=(512, 256, 128),
        distribution_cfg=GaussianDistributionConfig(std_type="log", std_range=(0.1, 2.0)),
    )
    assert cfg.critic == MLPModelConfig(obs_normalization=True)
    assert cfg.obs_groups == {"actor": ("policy",), "critic": ("policy", "privileged")}
    assert cfg.seed == 42
    assert cfg.extra == {"experiment_name": "anymal", "max_iterations": 300, "torch_compile_mode": None}


DISTILLATION = {
    "num_steps_per_env": 60,
    "obs_groups": {"student": ["policy"], "teacher": ["policy", "privileged"]},
    "algorithm": {"class_name": "rsl_rl.algorithms.Distillation", "gradient_length": 15, "max_grad_norm": None},
    "student": {"class_name": "MLPModel", "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.1}},
    "teacher": {"class_name": "MLPModel", "hidden_dims": [512, 256, 128], "obs_normalization": True},
}


def test_reads_rsl_rl_dict_of_distillation():
    cfg = RunnerConfig.from_dict(DISTILLATION)
    assert cfg.algorithm == DistillationConfig(gradient_length=15, max_grad_norm=None)
    assert cfg.student == MLPModelConfig(distribution_cfg=GaussianDistributionConfig(init_std=0.1))
    assert cfg.teacher == MLPModelConfig(hidden_dims=(512, 256, 128), obs_normalization=True)
    assert RunnerConfig.from_dict(cfg.to_dict()) == cfg
    assert not {"actor", "critic"} & set(cfg.to_dict())


@pytest.mark.parametrize(
    ("given", "asked", "kind"),
    [
        ({}, BaseRunnerConfig, RunnerConfig),
        ({}, DistillationRunnerConfig, DistillationRunnerConfig),
        ({"student": {"class_name": "MLPModel"}}, RunnerConfig, DistillationRunnerConfig),
        ({"algorithm": {"class_name": "Distillation"}}, RunnerConfig, DistillationRunnerConfig),
        ({"algorithm": {"class_name": "PPO"}, "student": {"class_name": "MLPModel"}}, RunnerConfig, RunnerConfig),
        ({"algorithm": {"class_name": "tests.own_parts:slow_ppo"}}, RunnerConfig, RunnerConfig),
        (
            {"algorithm": {"class_name": "tests.own_parts:slow_ppo"}, "student": {"class_name": "MLPModel"}},
            RunnerConfig,
            DistillationRunnerConfig,
        ),
    ],
)
def test_the_algorithm_says_which_models_there_are(given, asked, kind):
    assert type(asked.from_dict(given)) is kind


def test_missing_sections_and_keys_take_defaults():
    cfg = RunnerConfig.from_dict({"algorithm": {"class_name": "PPO"}, "critic": {"class_name": "MLPModel"}})
    assert cfg.critic == MLPModelConfig(hidden_dims=(256, 256, 256), activation="elu", obs_normalization=False)
    assert cfg.actor == MLPModelConfig()


def test_goes_through_yaml_and_back(tmp_path):
    cfg = RunnerConfig.from_dict(RSL_RL)
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({"runner": cfg.to_dict()}))
    assert RunnerConfig.from_yaml(path) == cfg


def test_yaml_floats_without_a_point_are_floats(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("algorithm:\n  class_name: PPO\n  learning_rate: 1e-3\n")
    assert RunnerConfig.from_yaml(path).algorithm.learning_rate == 1e-3


@pytest.mark.parametrize("name", ["MLPModel", "rsl_rl.models:MLPModel", "rsl_rl.models.MLPModel"])
def test_names_of_rsl_rl_mean_ours(name):
    assert RunnerConfig.from_dict({"actor": {"class_name": name}}).actor == MLPModelConfig()


def test_a_part_of_the_users_own_keeps_its_arguments():
    cfg = RunnerConfig.from_dict({"actor": {"class_name": "tests.own_parts:GatedModel", "num_gates": 2}})
    assert cfg.actor == CustomConfig("tests.own_parts:GatedModel", {"num_gates": 2})
    assert RunnerConfig.from_dict(cfg.to_dict()) == cfg


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"algorithm": {"class_name": "PPO", "learning_rat": 1e-3}}, "learning_rat.*algorithm.*'learning_rate'"),
        ({"actor": {"class_name": "MLPModel", "hidden_dim": [1]}}, "hidden_dim.*actor.*'hidden_dims'"),
        (
            {"actor": {"class_name": "MLPModel", "distribution_cfg": {"class_name": "GaussianDistribution", "std": 1}}},
            "'std' in actor.distribution_cfg",
        ),
        ({"algorithm": {"class_name": "PP0"}}, "Unknown algorithm 'PP0'.*'PPO'"),
        ({"algorithm": {"class_name": "PPO", "schedule": "adaptiv"}}, "algorithm.schedule.*'adaptive'"),
        ({"algorithm": {"learning_rate": 1e-3}}, "algorithm must be a section with a 'class_name'"),
        ({"algorithm": {"class_name": "PPO", "num_mini_batches": 0}}, "num_mini_batches must be at least 1; got 0"),
        ({"actor": {"class_name": "tests.own_parts:GatedModel", "num_gate": 3}}, "num_gate.*'num_gates'"),
        ({"policy": {"class_name": "ActorCriticMoE"}}, "PyTorch module.*'actor' and 'critic'"),
        (
            {"policy": {"class_name": "StudentTeacherVisual"}, "algorithm": {"class_name": "Distillation"}},
            "PyTorch module.*'student' and 'teacher'",
        ),
        ({"algorithm": {"class_name": "Distillation", "gradient_len": 5}}, "gradient_len.*'gradient_length'"),
        ({"algorithm": {"class_name": "Distillation", "loss_type": "mae"}}, "algorithm.loss_type.*'mse', 'huber'"),
        ({"algorithm": {"class_name": "Distillation", "gradient_length": 0}}, "gradient_length must be at least 1"),
    ],
)
def test_refuses_with_a_reason(section, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        RunnerConfig.from_dict(section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"num_steps_per_env": "many"}, "num_steps_per_env must be of type int; got 'many'"),
        ({"algorithm": {"class_name": "PPO", "gamma": "high"}}, "algorithm.gamma must be of type float; got 'high'"),
        ({"actor": {"class_name": "MLPModel", "hidden_dims": 64}}, "actor.hidden_dims must be a list; got 64"),
        (
            {"algorithm": {"class_name": "PPO", "use_clipped_value_loss": 1}},
            "use_clipped_value_loss must be of type bool",
        ),
    ],
)
def test_refuses_wrong_types(section, message):
    with pytest.raises(TypeError, match=message):
        RunnerConfig.from_dict(section)


def test_only_floats_may_be_traced():
    structural = structural_fields(PPOConfig())
    assert {"num_mini_batches", "schedule", "optimizer", "use_clipped_value_loss"} <= structural
    assert not structural & {"learning_rate", "clip_param", "entropy_coef", "gamma", "lam", "desired_kl"}


EXTENSIONS = {
    "rnd_cfg": {"weight": 2, "weight_schedule": {"mode": "step", "final_step": 100, "final_value": 0.1}},
    "symmetry_cfg": {
        "use_mirror_loss": True,
        "mirror_spec": {"observations": {"policy": {"size": 3, "swap": [[0, 2]]}}, "actions": {"size": 1, "flip": [0]}},
    },
}


def test_sections_within_the_algorithm_go_through_yaml_and_back(tmp_path):
    cfg = RunnerConfig.from_dict({"algorithm": {"class_name": "PPO", **EXTENSIONS}})
    assert cfg.algorithm.rnd_cfg.weight_schedule == WeightScheduleConfig("step", final_step=100, final_value=0.1)
    assert cfg.algorithm.symmetry_cfg.mirror_spec.observations["policy"] == Mirror(3, swap=((0, 2),))
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(cfg.to_dict()))
    assert RunnerConfig.from_yaml(path) == cfg


def test_extensions_may_be_switched_off():
    off = {"class_name": "PPO", "rnd_cfg": None, "symmetry_cfg": None}
    assert RunnerConfig.from_dict({"algorithm": off}).algorithm == PPOConfig()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"rnd_cfg": {"wait": 1}}, "'wait' in algorithm.rnd_cfg.*'weight'"),
        ({"rnd_cfg": {"weight_schedule": {"mode": "linear", "final_step": 5}}}, "initial_step and final_value"),
        (
            {"rnd_cfg": {"weight_schedule": {"mode": "linear", "initial_step": 5, "final_step": 5, "final_value": 0}}},
            "initial_step < final_step; got 5 and 5",
        ),
        ({"symmetry_cfg": {"use_mirror_loss": True}}, "either a data_augmentation_func or a mirror_spec"),
    ],
)
def test_extensions_are_refused_with_a_reason(section, message):
    with pytest.raises(ValueError, match=message):
        RunnerConfig.from_dict({"algorithm": {"class_name": "PPO", **section}})


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ({"size": 3, "flip": (3,)}, r"flip names the index 3 of a vector with indices 0 to 2"),
        ({"size": 3, "swap": ((-1, 2),)}, r"swap names the index -1"),
        ({"size": 4, "swap": ((0, 1), (1, 2))}, r"swap names an index twice"),
        ({"size": 4, "swap": ((2, 2),)}, r"swap names an index twice"),
        ({"size": 4, "flip": (1, 1)}, r"flip names an index twice"),
        ({"size": 4, "swap": ((0, 3),), "flip": (3,)}, r"0 and 3 are swapped and only one of them is flipped"),
        ({"size": 0}, r"size must be at least 1"),
    ],
)
def test_what_is_no_mirror_is_refused(mirror, message):
    with pytest.raises(ValueError, match=message):
        Mirror(**mirror)


def test_a_mirror_is_a_signed_permutation_that_undoes_itself():
    mirror = Mirror(5, swap=((0, 3),), flip=(0, 1, 3))
    assert mirror.permutation == (3, 1, 2, 0, 4)
    assert mirror.signs == (-1, -1, 1, -1, 1)
    assert Mirror.from_permutation(mirror.permutation, mirror.signs) == mirror
    assert Mirror.from_permutation([1, 0]) == Mirror(2, swap=((0, 1),))
    for permutation, signs, message in (
        ([1, 2, 0], None, "Entry 0 comes from 1 and 1 from 2"),
        ([0, 0, 1], None, "names 0 to 2 once each"),
        ([0, 1, 2], [1, 1], "signs are 1 or -1"),
        ([0, 1, 2], [1, 1, 0.5], "signs are 1 or -1"),
        ([1, 0], [1, -1], "0 and 1 are swapped and only one of them is flipped"),
    ):
        with pytest.raises(ValueError, match=message):
            Mirror.from_permutation(permutation, signs)
