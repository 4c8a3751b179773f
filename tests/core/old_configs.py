"""Configs of public projects, reduced to their content: old layouts, and the current one with the keys of clients.

Values are those of the projects; names say which project, and for which version of RSL-RL.
"""

from __future__ import annotations

import dataclasses
from typing import Any

MISSING = dataclasses.MISSING

OBSERVATIONS: dict[str, tuple[int, ...]] = {
    "policy": (5,),
    "critic": (7,),
    "teacher": (6,),
    "actor": (5,),
    "rnd_state": (4,),
    "state": (5,),
    "privileged_state": (8,),
    "privileged": (3,),
    "gt_linear_velocity": (3,),
    "motion": (4,),
    "proprio": (6,),
    "camera": (3, 24, 24),
    "multi_cam": (3, 24, 24),
}
"""Groups of an environment that all these configs can be built on."""


def ppo(**changes: Any) -> dict[str, Any]:
    """What nearly everybody's PPO says."""
    return {
        "class_name": "PPO",
        "value_loss_coef": 1.0,
        "use_clipped_value_loss": True,
        "clip_param": 0.2,
        "entropy_coef": 0.01,
        "num_learning_epochs": 5,
        "num_mini_batches": 4,
        "learning_rate": 1.0e-3,
        "schedule": "adaptive",
        "gamma": 0.99,
        "lam": 0.95,
        "desired_kl": 0.01,
        "max_grad_norm": 1.0,
        **changes,
    }


def nameless(**changes: Any) -> dict[str, Any]:
    """The same where RSL-RL 1 has the name of the class elsewhere."""
    return {key: value for key, value in ppo(**changes).items() if key != "class_name"}


def actor_critic(dims: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    """A policy of RSL-RL before version 4, of the usual size."""
    dims = [512, 256, 128] if dims is None else dims
    sizes = {"actor_hidden_dims": dims, "critic_hidden_dims": dims}
    return {"class_name": "ActorCritic", "init_noise_std": 1.0, **sizes, "activation": "elu", **changes}


def runner_section(**changes: Any) -> dict[str, Any]:
    """legged_gym's section ``runner``."""
    return {
        "policy_class_name": "ActorCritic",
        "algorithm_class_name": "PPO",
        "num_steps_per_env": 24,
        "max_iterations": 1500,
        "save_interval": 50,
        "experiment_name": "test",
        "run_name": "",
        "resume": False,
        "load_run": -1,
        "checkpoint": -1,
        "resume_path": None,
        **changes,
    }


def legged_gym(policy: dict[str, Any], algorithm: dict[str, Any], **runner: Any) -> dict[str, Any]:
    """A class config of legged_gym as ``class_to_dict`` gives it."""
    policy = {key: value for key, value in policy.items() if key != "class_name"}
    return {
        "seed": 1,
        "runner_class_name": "OnPolicyRunner",
        "init_member_classes": {},
        "policy": policy,
        "algorithm": algorithm,
        "runner": runner_section(**runner),
    }


def run(steps: int = 24, **changes: Any) -> dict[str, Any]:
    """What Isaac Lab's runs say beside their sections."""
    return {
        "seed": 42,
        "device": "cuda:0",
        "num_steps_per_env": steps,
        "max_iterations": 1500,
        "save_interval": 50,
        "experiment_name": "velocity",
        "run_name": "",
        "logger": "tensorboard",
        "neptune_project": "isaaclab",
        "wandb_project": "isaaclab",
        "resume": False,
        "load_run": ".*",
        "load_checkpoint": "model_.*.pt",
        **changes,
    }


def distillation(**changes: Any) -> dict[str, Any]:
    """Isaac Lab's distillation."""
    return {
        "class_name": "Distillation",
        "num_learning_epochs": 2,
        "learning_rate": 1.0e-3,
        "gradient_length": 15,
        **changes,
    }


def student_teacher(**changes: Any) -> dict[str, Any]:
    """A policy of distillation of RSL-RL before version 4."""
    dims = {"student_hidden_dims": [256, 128, 128], "teacher_hidden_dims": [256, 128, 128]}
    return {"class_name": "StudentTeacher", "init_noise_std": 0.1, **dims, "activation": "elu", **changes}


RND = {
    "weight": 0.5,
    "weight_schedule": None,
    "reward_normalization": False,
    "learning_rate": 1e-3,
    "num_outputs": 1,
    "predictor_hidden_dims": [-1],
    "target_hidden_dims": [-1],
}

OLD: dict[str, dict[str, Any]] = {
    # RSL-RL 1: a section runner names the classes.
    "legged_gym base": legged_gym(actor_critic(), nameless()),
    "legged_gym anymal_c_flat": legged_gym(actor_critic([128, 64, 32]), nameless(), max_iterations=300),
    "legged_gym cassie": legged_gym(actor_critic(), nameless(entropy_coef=0.01), experiment_name="rough_cassie"),
    "unitree_rl_gym g1, only a noise": legged_gym({"init_noise_std": 0.8}, nameless(), experiment_name="g1"),
    "unitree_rl_gym g1 recurrent": legged_gym(
        actor_critic([32], init_noise_std=0.8, rnn_type="lstm", rnn_hidden_size=64, rnn_num_layers=1),
        nameless(),
        policy_class_name="ActorCriticRecurrent",
        max_iterations=10000,
    ),
    "rl-mpc-locomotion": legged_gym(actor_critic(), nameless(), max_iterations=5000, save_interval=100),
    "genesis hover": legged_gym(
        actor_critic([128, 128], activation="tanh"),
        nameless(entropy_coef=0.004, learning_rate=3e-4),
        log_interval=1,
        record_interval=-1,
        num_steps_per_env=100,
        runner_class_name="runner_class_name",
    ),
    "legged_gym without most of its numbers": legged_gym(actor_critic(), {"learning_rate": 5e-4}),
    # RSL-RL 2: class names in the sections.
    "genesis go2": {
        "algorithm": ppo(),
        "init_member_classes": {},
        "policy": actor_critic(),
        "runner": {
            "checkpoint": -1,
            "experiment_name": "go2-walking",
            "load_run": -1,
            "log_interval": 1,
            "max_iterations": 101,
            "record_interval": -1,
            "resume": False,
            "resume_path": None,
            "run_name": "",
        },
        "runner_class_name": "OnPolicyRunner",
        "num_steps_per_env": 24,
        "save_interval": 100,
        "empirical_normalization": None,
        "seed": 1,
    },
    "rsl_rl 2 dummy_config": {
        "algorithm": ppo(
            normalize_advantage_per_mini_batch=True,
            rnd_cfg={
                **RND,
                "gate_normalization": True,
                "weight_schedule": {"mode": "step", "max_num_steps": 100, "final_value": 0.1},
            },
            symmetry_cfg={
                "use_data_augmentation": False,
                "use_mirror_loss": False,
                "data_augmentation_func": None,
                "mirror_loss_coeff": 0.0,
            },
        ),
        "policy": actor_critic([128, 128, 128]),
        "runner": {
            "num_steps_per_env": 24,
            "max_iterations": 1500,
            "empirical_normalization": False,
            "save_interval": 50,
        },
        "runner_class_name": "OnPolicyRunner",
        "seed": 1,
    },
    "metasim legged robot": {
        "seed": 1,
        "runner_class_name": "OnPolicyRunner",
        "policy": actor_critic(),
        "algorithm": ppo(),
        "runner": {"num_steps_per_env": 24, "max_iterations": 1500, "logger": "tensorboard"},
    },
    "orbit aliengo": run(
        policy=actor_critic([256, 256, 128]),
        algorithm=ppo(entropy_coef=0.004, gamma=0.985),
        empirical_normalization=False,
        load_checkpoint="*.pt",
    ),
    "isaac lab cartpole": run(
        16,
        policy=actor_critic([32, 32]),
        algorithm=ppo(entropy_coef=0.005, rnd_cfg=None, symmetry_cfg=None),
        empirical_normalization=False,
    ),
    "isaac lab anymal_d with rnd": run(
        policy=actor_critic([128, 128, 128], noise_std_type="scalar"),
        algorithm=ppo(
            rnd_cfg={**RND, "state_normalization": False, "weight_schedule": {"mode": "constant"}}, symmetry_cfg=None
        ),
        empirical_normalization=False,
    ),
    "unitree_rl_lab": run(
        policy=actor_critic(noise_std_type="log"), algorithm=ppo(), empirical_normalization=False, clip_actions=1.0
    ),
    "beyondmimic g1": run(policy=actor_critic(), algorithm=ppo(entropy_coef=0.005), empirical_normalization=True),
    "beyondmimic g1 at a low frequency": run(
        12, policy=actor_critic(), algorithm=ppo(gamma=0.99**2, lam=0.95**2), empirical_normalization=True
    ),
    "velocity_async go2 recurrent": run(
        16,
        policy=actor_critic(
            [512, 256], class_name="ActorCriticRecurrent", rnn_type="lstm", rnn_hidden_dim=256, rnn_num_layers=1
        ),
        algorithm=ppo(clip_param=0.1, num_mini_batches=8, learning_rate=1e-4, max_grad_norm=0.5),
        empirical_normalization=False,
    ),
    "g1 statistics recurrent, sizes by default": run(
        policy=actor_critic(class_name="ActorCriticRecurrent", init_noise_std=0.8),
        algorithm=ppo(),
        empirical_normalization=False,
    ),
    "walking robot gru": run(
        policy=actor_critic(
            [128, 128, 128], class_name="ActorCriticRecurrent", rnn_type="gru", rnn_hidden_size=64, rnn_num_layers=1
        ),
        algorithm=ppo(),
        empirical_normalization=False,
    ),
    "ur5 reach": run(32, policy=actor_critic([512, 256, 128, 64]), algorithm=ppo(), empirical_normalization=True),
    "leg robot parkour": run(
        28, policy=actor_critic([256, 256, 256]), algorithm=ppo(), empirical_normalization=False, resume=True
    ),
    "isaac lab distillation 2": run(
        120, policy=student_teacher(), algorithm=distillation(), empirical_normalization=True
    ),
    "isaac lab distillation 2 recurrent": run(
        120,
        policy=student_teacher(
            class_name="StudentTeacherRecurrent",
            rnn_type="lstm",
            rnn_hidden_dim=32,
            rnn_num_layers=3,
            teacher_recurrent=True,
        ),
        algorithm=distillation(max_grad_norm=None),
        empirical_normalization=False,
    ),
    "walking robot distillation": run(
        policy=student_teacher(
            student_hidden_dims=[512, 256, 256], teacher_hidden_dims=[512, 256, 128], init_noise_std=0.21
        ),
        algorithm=distillation(num_learning_epochs=5, gradient_length=5, learning_rate=3e-4, loss_type="mse"),
        empirical_normalization=False,
    ),
    # RSL-RL 3: observation groups, a normaliser for each model.
    "rsl_rl 3 example_config": run(
        obs_groups={"policy": ["policy"], "critic": ["policy", "privileged"]},
        policy=actor_critic(
            [256, 256, 256],
            actor_obs_normalization=False,
            critic_obs_normalization=False,
            noise_std_type="scalar",
            state_dependent_std=False,
        ),
        algorithm=ppo(normalize_advantage_per_mini_batch=False, rnd_cfg={**RND, "weight": 0.0}, symmetry_cfg=None),
    ),
    "robot_lab go2": run(
        policy=actor_critic(actor_obs_normalization=False, critic_obs_normalization=False), algorithm=ppo()
    ),
    "robolab atom01 beyondmimic": run(
        policy=actor_critic(actor_obs_normalization=False, critic_obs_normalization=False),
        algorithm=ppo(entropy_coef=0.005, normalize_advantage_per_mini_batch=False, symmetry_cfg=None),
    ),
    "mjlab go1 backflip": run(
        policy={
            **actor_critic(),
            "actor_hidden_dims": (256, 256, 128),
            "critic_hidden_dims": (256, 256, 128),
            "actor_obs_normalization": False,
            "critic_obs_normalization": False,
        },
        algorithm=ppo(learning_rate=3e-4),
        obs_groups={"policy": ("policy",), "critic": ("critic",)},
        logger="wandb",
    ),
    "porcaro": run(
        120,
        policy=actor_critic(
            [256, 128, 64], init_noise_std=0.5, actor_obs_normalization=True, critic_obs_normalization=True
        ),
        algorithm=ppo(entropy_coef=0.002, learning_rate=1e-4, schedule="fixed", desired_kl=0.02),
    ),
    "legged_v2, a schedule 'adam'": run(
        200,
        policy=actor_critic([512, 1024, 512], init_noise_std=0.1, actor_obs_normalization=True),
        algorithm=ppo(learning_rate=1e-4, schedule="adam", max_grad_norm=0.5),
    ),
    "wheelleg": run(
        32,
        policy=actor_critic([256, 256, 128], init_noise_std=0.5),
        algorithm=ppo(entropy_coef=0.003, learning_rate=2.5e-4),
        obs_groups={},
    ),
    "franka pick and place, images": run(
        32,
        obs_groups={"policy": ["proprio", "multi_cam"], "critic": ["proprio", "multi_cam"]},
        policy=actor_critic(
            [256, 128],
            class_name="ActorCriticCNN",
            init_noise_std=0.3,
            actor_cnn_cfg={"output_channels": [16, 32], "kernel_size": [5, 3], "stride": [2, 2], "activation": "elu"},
            critic_cnn_cfg={"output_channels": [16, 32], "kernel_size": [5, 3], "stride": [2, 2], "activation": "elu"},
        ),
        algorithm=ppo(),
    ),
    "images for the critic alone": run(
        obs_groups={"policy": ["proprio"], "critic": ["proprio", "camera"]},
        policy=actor_critic(
            [64], class_name="ActorCriticCNN", critic_cnn_cfg={"camera": {"output_channels": [4], "kernel_size": 3}}
        ),
        algorithm=ppo(),
    ),
    "blank_rl_lab go2 distillation": run(
        30,
        obs_groups={"policy": ["policy"], "teacher": ["critic"]},
        policy=student_teacher(
            class_name="StudentTeacherRecurrent",
            student_obs_normalization=False,
            teacher_obs_normalization=False,
            student_hidden_dims=[512, 256, 128],
            teacher_hidden_dims=[512, 256, 128],
            init_noise_std=1.0,
            noise_std_type="scalar",
            rnn_type="gru",
            rnn_hidden_dim=32,
            rnn_num_layers=1,
            teacher_recurrent=False,
        ),
        algorithm=distillation(),
    ),
    "g1 residual": run(
        class_name="OnPolicyRunnerResidual",
        obs_groups={"policy": ["policy"], "critic": ["policy", "gt_linear_velocity", "motion"]},
        empirical_normalization=True,
        policy=actor_critic(class_name="ActorCriticRecurrent", rnn_type="gru", rnn_hidden_dim=32, rnn_num_layers=1),
        algorithm=ppo(),
    ),
    "a standard deviation of the state": run(
        obs_groups={"policy": ["policy"], "critic": ["critic"]},
        policy=actor_critic([64], state_dependent_std=True, noise_std_type="log", init_noise_std=0.6),
        algorithm=ppo(optimizer="AdamW"),
    ),
    # RSL-RL 4: models, without distributions.
    "isaac lab anymal_d distillation": run(
        120,
        obs_groups={"student": ["policy"], "teacher": ["policy"]},
        student={
            "class_name": "MLPModel",
            "hidden_dims": [128, 128, 128],
            "activation": "elu",
            "obs_normalization": False,
            "stochastic": True,
            "init_noise_std": 0.1,
        },
        teacher={
            "class_name": "MLPModel",
            "hidden_dims": [128, 128, 128],
            "activation": "elu",
            "obs_normalization": False,
            "stochastic": True,
            "init_noise_std": 0.0,
        },
        algorithm=distillation(),
        class_name="DistillationRunner",
    ),
    "isaac lab anymal_d distillation recurrent": run(
        120,
        obs_groups={"student": ["policy"], "teacher": ["policy"]},
        student={
            "class_name": "RNNModel",
            "hidden_dims": [128],
            "stochastic": True,
            "init_noise_std": 0.1,
            "rnn_type": "lstm",
            "rnn_hidden_dim": 32,
            "rnn_num_layers": 1,
        },
        teacher={
            "class_name": "RNNModel",
            "hidden_dims": [128],
            "stochastic": True,
            "init_noise_std": 0.0,
            "rnn_type": "lstm",
            "rnn_hidden_dim": 32,
            "rnn_num_layers": 1,
        },
        algorithm=distillation(),
        class_name="DistillationRunner",
    ),
    "rutgers mjlab quadruped": run(
        50,
        actor={"class_name": "MLPModel", "hidden_dims": (1024, 512, 128), "stochastic": True, "init_noise_std": 1.0},
        critic={"class_name": "MLPModel", "hidden_dims": (1024, 512, 128), "stochastic": False, "init_noise_std": 1.0},
        algorithm=ppo(),
        obs_groups={"actor": ("policy",), "critic": ("critic",)},
    ),
    "playground's train_rsl_rl": run(
        obs_groups={"policy": ["state"], "critic": ["privileged_state"], "actor": ["state"]},
        empirical_normalization=True,
        runner_class_name="OnPolicyRunner",
        actor={
            "class_name": "MLPModel",
            "hidden_dims": [512, 256, 128],
            "obs_normalization": False,
            "stochastic": True,
            "init_noise_std": 1.0,
        },
        critic={
            "class_name": "MLPModel",
            "hidden_dims": [512, 256, 128],
            "obs_normalization": False,
            "stochastic": False,
        },
        algorithm=ppo(entropy_coef=0.001, learning_rate=3e-4, schedule="fixed"),
    ),
    "isaac lab's dataclasses, sentinels and all": run(
        empirical_normalization=MISSING,
        obs_groups=MISSING,
        policy=MISSING,
        clip_actions=None,
        class_name="OnPolicyRunner",
        actor={
            "class_name": "MLPModel",
            "hidden_dims": [64],
            "activation": "elu",
            "obs_normalization": False,
            "distribution_cfg": None,
            "stochastic": True,
            "init_noise_std": 0.7,
            "noise_std_type": "log",
            "state_dependent_std": True,
        },
        critic={
            "class_name": "MLPModel",
            "hidden_dims": [64],
            "activation": "elu",
            "obs_normalization": False,
            "distribution_cfg": None,
            "stochastic": MISSING,
            "init_noise_std": MISSING,
            "noise_std_type": "scalar",
            "state_dependent_std": False,
        },
        algorithm=ppo(share_cnn_encoders=False, rnd_cfg=None, symmetry_cfg=None),
    ),
}
"""What RSL-RL 5.5 does not read."""


def gaussian(init_std: float = 1.0, **changes: Any) -> dict[str, Any]:
    """A distribution as everybody has it."""
    return {"class_name": "GaussianDistribution", "init_std": init_std, "std_type": "scalar", **changes}


def model(dims: Any = (512, 256, 128), **changes: Any) -> dict[str, Any]:
    """A model of today's layout."""
    return {"class_name": "MLPModel", "hidden_dims": dims, "activation": "elu", "obs_normalization": False, **changes}


def of_mjlab(dims: Any = (512, 256, 128), **changes: Any) -> dict[str, Any]:
    """A model as mjlab's dataclass turns to a dict: with the keys of all models."""
    return {
        "hidden_dims": dims,
        "activation": "elu",
        "obs_normalization": True,
        "cnn_cfg": None,
        "distribution_cfg": None,
        "rnn_type": None,
        "rnn_hidden_dim": 256,
        "rnn_num_layers": 1,
        "class_name": "MLPModel",
        **changes,
    }


GROUPS = {"actor": ["policy"], "critic": ["critic"]}

ENCODER = {
    "output_channels": [16, 32],
    "kernel_size": [5, 3],
    "stride": [2, 2],
    "padding": "zeros",
    "activation": "elu",
    "max_pool": False,
    "global_pool": "none",
}

TODAY: dict[str, dict[str, Any]] = {
    "genesis go2": {
        "algorithm": ppo(),
        "actor": model([512, 256, 128], distribution_cfg=gaussian()),
        "critic": model([512, 256, 128]),
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "num_steps_per_env": 24,
        "save_interval": 100,
        "run_name": "go2-walking",
        "logger": "tensorboard",
    },
    "rsl_rl 5 example_config": run(
        obs_groups={"actor": ["policy"], "critic": ["policy", "privileged"]},
        actor=model([256, 256, 256], distribution_cfg=gaussian(std_range=[1e-6, 1e6])),
        critic=model([256, 256, 256]),
        algorithm=ppo(optimizer="adam", rnd_cfg={**RND, "state_normalization": True}, symmetry_cfg=None),
        torch_compile_mode=None,
        check_for_nan=True,
    ),
    "robot_lab go2 rough": run(
        obs_groups=GROUPS,
        actor=model(distribution_cfg=gaussian()),
        critic=model(),
        algorithm=ppo(share_cnn_encoders=False),
        clip_actions=100.0,
    ),
    "robot_lab anymal_d distillation": run(
        120,
        obs_groups={"student": ["policy"], "teacher": ["policy"]},
        student=model([128, 128, 128], distribution_cfg=gaussian(0.1)),
        teacher=model([128, 128, 128], distribution_cfg=gaussian(0.0)),
        algorithm=distillation(),
        class_name="DistillationRunner",
    ),
    "robot_lab anymal_d distillation recurrent": run(
        120,
        obs_groups={"student": ["policy"], "teacher": ["policy"]},
        **{
            name: {
                **model([128], distribution_cfg=gaussian(std)),
                "class_name": "RNNModel",
                "rnn_type": "lstm",
                "rnn_hidden_dim": 32,
                "rnn_num_layers": 1,
            }
            for name, std in (("student", 0.1), ("teacher", 0.0))
        },
        algorithm=distillation(),
        class_name="DistillationRunner",
    ),
    "a teacher with the logarithm of nothing": run(
        30,
        obs_groups={"student": ["policy"], "teacher": ["critic"]},
        student=model([64], distribution_cfg=gaussian(0.1)),
        teacher=model([64], distribution_cfg=gaussian(0.0, std_type="log", std_range=[0.01, 1.0])),
        algorithm=distillation(),
    ),
    "distillation with keys of ppo": run(
        30,
        obs_groups={"student": ["policy"], "teacher": ["critic"]},
        student=model([64], distribution_cfg=gaussian(0.1)),
        teacher=model([64]),
        algorithm=distillation(
            schedule="adaptive", desired_kl=0.01, entropy_coef=0.0, num_mini_batches=4, rnd_cfg=None
        ),
    ),
    "a critic with a distribution": run(
        obs_groups=GROUPS,
        actor=model([64], distribution_cfg=gaussian()),
        critic=model([64], distribution_cfg=gaussian()),
        algorithm=ppo(),
    ),
    "a schedule of another name": run(
        obs_groups=GROUPS,
        actor=model([64], distribution_cfg=gaussian()),
        critic=model([64]),
        algorithm=ppo(schedule="linear"),
    ),
    "more poolings than layers": run(
        obs_groups={"actor": ["policy", "camera"], "critic": ["critic", "camera"]},
        **{
            name: {
                **model([64], distribution_cfg=distribution),
                "class_name": "CNNModel",
                "cnn_cfg": {**ENCODER, "max_pool": [True, False, False], "stride": [1, 1, 1]},
            }
            for name, distribution in (("actor", gaussian()), ("critic", None))
        },
        algorithm=ppo(share_cnn_encoders=True),
    ),
    "encoders by group, a padding of another name": run(
        obs_groups={"actor": ["policy", "camera", "multi_cam"], "critic": ["critic"]},
        actor={
            **model([64], distribution_cfg=gaussian()),
            "class_name": "CNNModel",
            "cnn_cfg": {"camera": {**ENCODER, "padding": "same"}, "multi_cam": {**ENCODER, "norm": ("none",) * 4}},
        },
        critic=model([64]),
        algorithm=ppo(),
    ),
    "a bounded policy": run(
        obs_groups=GROUPS,
        actor=model([64], distribution_cfg={"class_name": "BetaDistribution", "action_range": [-1.0, 1.0]}),
        critic=model([64]),
        algorithm=ppo(schedule="fixed"),
    ),
    "an environment whose groups have the sets' names": run(
        obs_groups={},
        actor=model([64], distribution_cfg=gaussian()),
        critic=model([64]),
        algorithm=ppo(),
        empirical_normalization=True,
    ),
    "paths into rsl_rl": run(
        obs_groups=GROUPS,
        actor={
            **model([64], distribution_cfg={**gaussian(0.0), "class_name": "rsl_rl.modules:GaussianDistribution"}),
            "class_name": "rsl_rl.models.MLPModel",
        },
        critic={**model([64]), "class_name": "rsl_rl.models:MLPModel"},
        algorithm={**ppo(schedule="constant"), "class_name": "rsl_rl.algorithms.PPO"},
    ),
}
"""What RSL-RL 5.5.1 builds."""

OF_CLIENTS: dict[str, dict[str, Any]] = {
    "mjlab go1": run(
        obs_groups={"actor": ("actor",), "critic": ("critic",)},
        actor=of_mjlab(distribution_cfg=gaussian()),
        critic=of_mjlab(),
        algorithm=ppo(optimizer="adam", share_cnn_encoders=False, normalize_advantage_per_mini_batch=False),
        logger="wandb",
        wandb_tags=(),
        clip_actions=None,
        upload_model=True,
        class_name="OnPolicyRunner",
    ),
    "mjlab yam lift cube": run(
        obs_groups={"actor": ("actor",), "critic": ("critic",)},
        actor=of_mjlab(distribution_cfg=gaussian()),
        critic=of_mjlab(),
        algorithm=ppo(entropy_coef=0.005),
    ),
    "mjlab with a memory": run(
        obs_groups={"actor": ("actor",), "critic": ("critic",)},
        actor=of_mjlab((64,), distribution_cfg=gaussian(), class_name="RNNModel", rnn_type="gru", rnn_hidden_dim=32),
        critic=of_mjlab((64,), class_name="RNNModel", rnn_type="gru", rnn_hidden_dim=32),
        algorithm=ppo(),
    ),
    "mjlab with images": run(
        obs_groups={"actor": ("actor", "camera"), "critic": ("critic", "camera")},
        actor=of_mjlab((64,), distribution_cfg=gaussian(), class_name="CNNModel", cnn_cfg=ENCODER),
        critic=of_mjlab((64,), class_name="CNNModel", cnn_cfg=ENCODER),
        algorithm=ppo(share_cnn_encoders=False),
    ),
    "isaac lab's agent.yaml": run(
        empirical_normalization={},
        obs_groups={"actor": ["policy"], "critic": ["critic"]},
        clip_actions=None,
        check_for_nan=True,
        class_name="OnPolicyRunner",
        policy={},
        actor={
            **model([128, 128, 128], distribution_cfg=gaussian()),
            "stochastic": {},
            "init_noise_std": {},
            "noise_std_type": "scalar",
            "state_dependent_std": False,
        },
        critic={
            **model([128, 128, 128], distribution_cfg=None),
            "stochastic": {},
            "init_noise_std": {},
            "noise_std_type": "scalar",
            "state_dependent_std": False,
        },
        algorithm=ppo(rnd_cfg=None, symmetry_cfg=None),
    ),
}
"""In today's layout, with keys that the clients themselves take out before RSL-RL sees them."""
