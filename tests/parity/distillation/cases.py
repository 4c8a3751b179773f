"""Configurations on which distillation is compared with rsl-rl-lib; shapes are those of the other parity cases."""

from __future__ import annotations

import copy
from typing import Any

from tests.parity.cases import NUM_STEPS, Case, cnn, rnn


def train_cfg(
    algorithm: dict[str, Any] | None = None,
    student: dict[str, Any] | None = None,
    teacher: dict[str, Any] | None = None,
    student_groups: tuple[str, ...] = ("policy",),
) -> dict[str, Any]:
    """A complete configuration: small defaults, and what a case changes about them."""
    distribution = {"class_name": "GaussianDistribution", "init_std": 0.5, "std_type": "scalar"}
    model = {"class_name": "MLPModel", "hidden_dims": [16, 8], "activation": "elu", "obs_normalization": False}
    distillation = {
        "class_name": "Distillation",
        "num_learning_epochs": 1,
        "gradient_length": 3,
        "learning_rate": 1e-2,
        "max_grad_norm": None,
        "loss_type": "mse",
        "optimizer": "adam",
    }
    cfg = {
        "num_steps_per_env": NUM_STEPS,
        "save_interval": 50,
        "obs_groups": {"student": list(student_groups), "teacher": ["policy", "privileged"]},
        "algorithm": {**distillation, **(algorithm or {})},
        "student": {**model, "distribution_cfg": distribution, **(student or {})},
        "teacher": {**model, "hidden_dims": [16], **(teacher or {})},
    }
    return copy.deepcopy(cfg)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("mlp_two_epochs", train_cfg({"num_learning_epochs": 2}, student={"obs_normalization": True})),
        # 6 steps by fours: from the last two nothing is learned. Labels are far enough for Huber's straight part.
        Case(
            "mlp_huber_clipped_remainder", train_cfg({"gradient_length": 4, "loss_type": "huber", "max_grad_norm": 0.1})
        ),
        Case(
            "mlp_deterministic_sgd",
            train_cfg({"optimizer": "sgd", "gradient_length": 2}, student={"distribution_cfg": None}),
        ),
        # 12 steps by fours: the second step of the optimiser stands on both sides of the second epoch's start.
        Case(
            "gru_across_epochs",
            train_cfg({"gradient_length": 4, "num_learning_epochs": 2}, student=rnn("gru", 1, obs_normalization=True)),
            done_probability=0.25,
        ),
        # 12 steps by fives, of which two are left; weight decay must leave the standard deviation alone.
        Case(
            "lstm_two_layers_adamw_remainder",
            train_cfg(
                {"gradient_length": 5, "num_learning_epochs": 2, "optimizer": "adamw", "max_grad_norm": 0.5},
                student=rnn("lstm", 2),
            ),
            done_probability=0.25,
        ),
        Case(
            "gru_huber_rmsprop_whole_rollout",
            train_cfg(
                {"gradient_length": NUM_STEPS, "loss_type": "huber", "optimizer": "rmsprop", "learning_rate": 1e-3},
                student=rnn("gru", 1),
                teacher={"obs_normalization": True},
            ),
            done_probability=0.4,
        ),
        Case(
            "cnn",
            train_cfg(
                {"gradient_length": 2, "num_learning_epochs": 2},
                student=cnn([3, 2], 3, norm="layer", max_pool=[True, False], padding="zeros"),
                student_groups=("policy", "camera"),
            ),
        ),
        Case(
            "gru_and_recurrent_teacher", train_cfg(student=rnn("gru", 1), teacher=rnn("lstm", 1)), done_probability=0.25
        ),
    )
}
