"""Configurations on which rsl_jax is compared with rsl-rl-lib.

Each case is a complete ``train_cfg`` as rsl_rl takes it, and what the synthetic rollout is made of. The shapes stay the
same wherever the case is not about shapes, and are small, so that recordings stay small and compile quickly.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

NUM_STEPS = 6
NUM_ENVS = 8
NUM_ACTIONS = 3
NUM_ROLLOUTS = 2
STEP_DT = 0.05
OBSERVATION_SHAPES = {"policy": (5,), "privileged": (4,), "camera": (2, 6, 5), "depth": (1, 5, 7)}


@dataclass(frozen=True)
class Case:
    """A configuration and the rollout it learns from.

    Attributes:
        name: also the stem of the recording's file.
        train_cfg: rsl_rl's configuration.
        seed: of everything random in the recording.
        done_probability: of an episode's end at a step.
        time_out_probability: that an episode that ends does so because of its time limit; None where the environment
            does not report time-outs at all.
    """

    name: str
    train_cfg: dict[str, Any]
    seed: int = 0
    done_probability: float = 0.15
    time_out_probability: float | None = 0.5

    @property
    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every observation group that the case's models look at."""
        used = {group for groups in self.train_cfg["obs_groups"].values() for group in groups}
        return {name: shape for name, shape in OBSERVATION_SHAPES.items() if name in used}


def train_cfg(
    algorithm: dict[str, Any] | None = None,
    actor: dict[str, Any] | None = None,
    critic: dict[str, Any] | None = None,
    distribution: dict[str, Any] | None = None,
    obs_groups: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """A complete configuration: small defaults, and what a case changes about them."""
    distribution = distribution or {}
    if "class_name" not in distribution:
        distribution = {"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar", **distribution}
    model = {"class_name": "MLPModel", "hidden_dims": [16, 8], "activation": "elu", "obs_normalization": False}
    ppo = {
        "class_name": "PPO",
        "num_learning_epochs": 2,
        "num_mini_batches": 4,
        "learning_rate": 1e-3,
        "clip_param": 0.2,
        "gamma": 0.99,
        "lam": 0.95,
        "value_loss_coef": 1.0,
        "entropy_coef": 0.01,
        "max_grad_norm": 1.0,
        "optimizer": "adam",
        "use_clipped_value_loss": True,
        "schedule": "adaptive",
        "desired_kl": 0.01,
        "normalize_advantage_per_mini_batch": False,
    }
    cfg = {
        "num_steps_per_env": NUM_STEPS,
        "save_interval": 50,
        "obs_groups": obs_groups or SYMMETRIC,
        "algorithm": {**ppo, **(algorithm or {})},
        "actor": {**model, "distribution_cfg": distribution, **(actor or {})},
        "critic": {**model, **(critic or {})},
    }
    return copy.deepcopy(cfg)


def rnn(kind: str, layers: int, **changes: Any) -> dict[str, Any]:
    """A small recurrent model, as a change to ``train_cfg``'s."""
    sizes = {"rnn_type": kind, "rnn_hidden_dim": 6, "rnn_num_layers": layers, "hidden_dims": [8]}
    return {"class_name": "RNNModel", **sizes, **changes}


def cnn(output_channels: list[int], kernel_size: Any, **changes: Any) -> dict[str, Any]:
    """A small convolutional model with one encoder for all image groups, as a change to ``train_cfg``'s."""
    encoder = {"output_channels": output_channels, "kernel_size": kernel_size, **changes}
    return {"class_name": "CNNModel", "hidden_dims": [8], "cnn_cfg": encoder}


def curious(**changes: Any) -> dict[str, Any]:
    """A section ``rnd_cfg``."""
    rnd_cfg = {"num_outputs": 3, "predictor_hidden_dims": [8], "target_hidden_dims": [-1, 6], "weight": 4.0}
    return {**rnd_cfg, "activation": "tanh", "learning_rate": 2e-3, **changes}


def symmetric(augmentation: bool, mirror_loss: bool) -> dict[str, Any]:
    """A section ``symmetry_cfg`` with one of the four settings of its switches."""
    return {
        "data_augmentation_func": "tests.parity.mirrors:mirror",
        "use_data_augmentation": augmentation,
        "use_mirror_loss": mirror_loss,
        "mirror_loss_coeff": 0.5,
    }


SYMMETRIC = {"actor": ["policy"], "critic": ["policy"]}
ASYMMETRIC = {"actor": ["policy"], "critic": ["policy", "privileged"]}

HETEROSCEDASTIC = "HeteroscedasticGaussianDistribution"

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        # Four epochs, so that the adaptive rate goes up at first and down later.
        Case("adaptive_adam", train_cfg({"num_learning_epochs": 4, "desired_kl": 0.008})),
        Case(
            "fixed_sgd_unclipped_value",
            train_cfg(
                {"schedule": "fixed", "optimizer": "sgd", "learning_rate": 0.05, "use_clipped_value_loss": False}
            ),
            time_out_probability=None,
        ),
        Case(
            "adamw_advantage_per_mini_batch",
            train_cfg({"optimizer": "adamw", "normalize_advantage_per_mini_batch": True, "value_loss_coef": 0.5}),
        ),
        Case(
            "rmsprop_normalized_asymmetric",
            train_cfg(
                {"optimizer": "rmsprop", "schedule": "fixed", "learning_rate": 5e-4},
                actor={"obs_normalization": True},
                critic={"obs_normalization": True, "hidden_dims": [12]},
                distribution={"std_type": "log", "init_std": 0.8},
                obs_groups=ASYMMETRIC,
            ),
        ),
        Case(
            "adaptive_log_std_normalized",
            train_cfg(
                {"desired_kl": 0.02},
                actor={"obs_normalization": True},
                distribution={"std_type": "log", "init_std": 0.6},
            ),
        ),
        # 48 samples in five mini-batches: nine each, three are never used.
        Case(
            "fixed_std_remainder_dropped",
            train_cfg({"num_mini_batches": 5}, distribution={"learn_std": False, "init_std": 0.5}),
        ),
        # A standard deviation beyond its range only learns again once something else moves it back.
        Case(
            "clamped_std_other_layers",
            train_cfg(
                actor={"activation": "mish", "hidden_dims": [-1, 8]},
                critic={"activation": "lrelu", "hidden_dims": [16, -1]},
                distribution={"std_range": (0.2, 0.9), "init_std": 1.0},
            ),
        ),
        # The standard deviation starts at the end of its range, so that the optimiser moves it to both sides.
        Case(
            "heteroscedastic",
            train_cfg(
                {"entropy_coef": 0.05},
                actor={"obs_normalization": True},
                distribution={
                    "class_name": HETEROSCEDASTIC,
                    "std_type": "log",
                    "init_std": 0.5,
                    "std_range": (0.1, 0.5),
                },
            ),
        ),
        Case(
            "beta",
            train_cfg(
                {"num_learning_epochs": 4, "entropy_coef": 0.1},
                actor={"obs_normalization": True},
                distribution={"class_name": "BetaDistribution", "action_range": (-2.0, 5.0)},
            ),
        ),
        Case(
            "hard_clipping",
            train_cfg({"num_learning_epochs": 4, "max_grad_norm": 0.05, "clip_param": 0.05, "entropy_coef": 0.1}),
        ),
        Case(
            "many_time_outs",
            train_cfg({"num_learning_epochs": 4, "gamma": 0.9, "lam": 0.7}),
            done_probability=0.5,
            time_out_probability=0.8,
        ),
        # Recurrent: blocks of two environments, episodes that end inside the rollout, and hidden states that the second
        # rollout takes over from the first.
        Case("gru", train_cfg({"desired_kl": 0.008}, actor=rnn("gru", 1), critic=rnn("gru", 1))),
        Case(
            "lstm_two_layers_normalized",
            train_cfg(
                {"normalize_advantage_per_mini_batch": True},
                actor=rnn("lstm", 2, obs_normalization=True),
                critic=rnn("lstm", 2, obs_normalization=True),
                obs_groups=ASYMMETRIC,
            ),
            done_probability=0.3,
        ),
        Case("gru_two_layers_actor_only", train_cfg({"num_mini_batches": 2}, actor=rnn("gru", 2))),
        Case("lstm_critic_only", train_cfg({"use_clipped_value_loss": False}, critic=rnn("lstm", 1))),
        # Images: running moments, of the update and of returns that are normalised step by step.
        Case(
            "cnn_batch_norm",
            train_cfg(
                {"optimizer": "sgd", "learning_rate": 0.02},
                actor={
                    **cnn([3, 4], [3, 2], padding="zeros", norm="batch", max_pool=[True, False]),
                    "obs_normalization": True,
                },
                critic=cnn([3], 3, stride=2, padding="replicate", norm="batch", global_pool="avg"),
                obs_groups={"actor": ["camera", "policy"], "critic": ["camera"]},
            ),
        ),
        # The norm that both share is well below that of either, so that what is shared is clipped twice.
        Case(
            "cnn_shared_encoders",
            train_cfg(
                {
                    "share_cnn_encoders": True,
                    "max_grad_norm": 0.3,
                    "schedule": "fixed",
                    "optimizer": "sgd",
                    "learning_rate": 0.2,
                },
                actor=cnn([3, 4], 3, padding="reflect", norm=["layer", "none"], stride=[1, 2], activation="tanh"),
                critic={"class_name": "CNNModel", "hidden_dims": [6]},
                obs_groups={"actor": ["policy", "camera"], "critic": ["privileged", "camera"]},
            ),
        ),
        Case(
            "cnn_encoder_by_group",
            train_cfg(
                # PyTorch's convolutions round differently in mini-batches, so its adaptive rate would rise by chance.
                {"num_learning_epochs": 4, "schedule": "fixed"},
                actor={
                    "class_name": "CNNModel",
                    "cnn_cfg": {
                        "camera": {"output_channels": [3], "kernel_size": 3, "dilation": 2, "padding": "circular"},
                        "depth": {"output_channels": [4], "kernel_size": 2, "global_pool": "max"},
                    },
                },
                obs_groups={"actor": ["depth", "camera"], "critic": ["privileged"]},
            ),
        ),
        # Extensions: curiosity and the four settings of symmetry.
        Case(
            "symmetry_both_rnd_normalized",
            train_cfg(
                {
                    "rnd_cfg": curious(
                        state_normalization=True,
                        reward_normalization=True,
                        weight_schedule={"mode": "linear", "initial_step": 3, "final_step": 9, "final_value": 0.05},
                    ),
                    "symmetry_cfg": symmetric(augmentation=True, mirror_loss=True),
                },
                critic={"obs_normalization": True},
                obs_groups={**ASYMMETRIC, "rnd_state": ["privileged", "policy"]},
            ),
        ),
        Case(
            "symmetry_loss_rnd",
            train_cfg(
                {
                    "rnd_cfg": curious(weight_schedule={"mode": "step", "final_step": 8, "final_value": 0.01}),
                    "symmetry_cfg": symmetric(augmentation=False, mirror_loss=True),
                    "max_grad_norm": 0.1,
                },
                obs_groups={**SYMMETRIC, "rnd_state": ["policy"]},
            ),
        ),
        Case(
            "symmetry_augmentation",
            train_cfg(
                {
                    "symmetry_cfg": symmetric(augmentation=True, mirror_loss=False),
                    "normalize_advantage_per_mini_batch": True,
                    "optimizer": "sgd",
                    "learning_rate": 5e-3,
                },
                actor={"obs_normalization": True},
            ),
        ),
        Case(
            "symmetry_logged_rnd_reward_normalized",
            train_cfg(
                {
                    "rnd_cfg": curious(reward_normalization=True),
                    "symmetry_cfg": symmetric(augmentation=False, mirror_loss=False),
                },
                distribution={"std_type": "log", "init_std": 0.7},
                obs_groups={**SYMMETRIC, "rnd_state": ["privileged"]},
            ),
        ),
    )
}

DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "heteroscedastic": {"class_name": HETEROSCEDASTIC, "std_range": (0.5, 2.0)},
    "heteroscedastic_log": {"class_name": HETEROSCEDASTIC, "std_type": "log", "std_range": (0.5, 2.0)},
    "beta": {"class_name": "BetaDistribution", "action_range": (-2.0, 5.0)},
}
"""Distributions whose parameters are all outputs of the network."""

ACTIVATIONS = (
    "elu",
    "selu",
    "relu",
    "crelu",
    "lrelu",
    "tanh",
    "sigmoid",
    "softplus",
    "gelu",
    "swish",
    "mish",
    "identity",
)
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
STD_TYPES = ("scalar", "log")
STD_RANGE = (0.5, 2.0)
NORMALIZER_BATCHES = (48, 7, 1, 32, 16)
NORMALIZER_UNTIL = 80
MAX_NORMS = (0.05, 1.0, 100.0)
