"""Random configurations on which both libraries can be compared."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .cases import (
    ACTIVATIONS,
    ASYMMETRIC,
    HETEROSCEDASTIC,
    OPTIMIZERS,
    STD_TYPES,
    SYMMETRIC,
    Case,
    curious,
    symmetric,
    train_cfg,
)
from .distillation.cases import train_cfg as distillation_cfg


def models(**changes: Any) -> st.SearchStrategy[dict[str, Any]]:
    """What may vary about a model; identity activations would leave nothing to learn from."""
    options = {
        "hidden_dims": st.lists(st.sampled_from([-1, 4, 8]), min_size=1, max_size=2),
        "activation": st.sampled_from([name for name in ACTIVATIONS if name != "identity"]),
        "obs_normalization": st.booleans(),
    }
    return st.fixed_dictionaries({**options, **changes})


def recurrent_models() -> st.SearchStrategy[dict[str, Any]]:
    """The same behind an RNN."""
    return models(
        class_name=st.just("RNNModel"),
        rnn_type=st.sampled_from(["gru", "lstm"]),
        rnn_hidden_dim=st.integers(2, 5),
        rnn_num_layers=st.integers(1, 2),
    )


def encoders(layers: int) -> st.SearchStrategy[dict[str, Any]]:
    """Encoders that leave something of a small image.

    The bias in front of a batch normalisation, or of a layer normalisation of a single channel, has no gradient but
    rounding, which some optimisers turn into steps; these are left to the known configurations.
    """

    def by_layer(values: list[Any]) -> st.SearchStrategy[Any]:
        each = st.sampled_from(values)
        return each | st.lists(each, min_size=layers, max_size=layers)

    return st.fixed_dictionaries(
        {
            "output_channels": st.lists(st.integers(2, 4), min_size=layers, max_size=layers),
            "kernel_size": by_layer([2, 3]),
            "stride": st.just(1) if layers > 1 else by_layer([1, 2]),
            "dilation": st.just(1) if layers > 1 else by_layer([1, 2]),
            "padding": st.sampled_from(["none", "zeros", "reflect", "replicate", "circular"]),
            "norm": by_layer(["none", "layer"]),
            "activation": st.sampled_from(["elu", "tanh", "swish"]),
            "max_pool": st.booleans() if layers == 1 else st.just(False),
            "global_pool": st.sampled_from(["none", "max", "avg"]),
        }
    )


def convolutional_models() -> st.SearchStrategy[dict[str, Any]]:
    """Models that look at an image beside a vector."""
    return models(class_name=st.just("CNNModel"), cnn_cfg=encoders(1) | encoders(2))


ALGORITHMS = st.fixed_dictionaries(
    {
        "num_learning_epochs": st.integers(1, 3),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "schedule": st.sampled_from(["adaptive", "fixed"]),
        "use_clipped_value_loss": st.booleans(),
        "normalize_advantage_per_mini_batch": st.booleans(),
        "learning_rate": st.floats(1e-4, 5e-3),
        "desired_kl": st.floats(1e-3, 0.1),
        "clip_param": st.floats(0.02, 0.5),
        "gamma": st.floats(0.5, 1.0),
        "lam": st.floats(0.0, 1.0),
        "value_loss_coef": st.floats(0.1, 2.0),
        "entropy_coef": st.floats(0.0, 0.1),
        "max_grad_norm": st.floats(0.02, 5.0),
    }
)
STANDARD_DEVIATIONS = {
    "init_std": st.floats(0.5, 1.5),
    "std_type": st.sampled_from(STD_TYPES),
    "std_range": st.tuples(st.floats(0.01, 0.6), st.floats(0.7, 3.0)),
}
DISTRIBUTIONS = st.one_of(
    st.fixed_dictionaries({"learn_std": st.booleans(), **STANDARD_DEVIATIONS}),
    st.fixed_dictionaries({"class_name": st.just(HETEROSCEDASTIC), **STANDARD_DEVIATIONS}),
    st.fixed_dictionaries(
        {
            "class_name": st.just("BetaDistribution"),
            "action_range": st.tuples(st.floats(-3.0, -0.5), st.floats(0.5, 3.0)),
        }
    ),
)
WEIGHT_SCHEDULES = st.builds(
    lambda mode, first, steps, value: {
        "mode": mode,
        "initial_step": first,
        "final_step": first + steps,
        "final_value": value,
    },
    st.sampled_from(["constant", "step", "linear"]),
    st.integers(0, 8),
    st.integers(1, 8),
    st.floats(0.0, 1.0),
)
EXTENSIONS = {
    "rnd_cfg": st.builds(
        curious,
        state_normalization=st.booleans(),
        reward_normalization=st.booleans(),
        weight_schedule=st.none() | WEIGHT_SCHEDULES,
        num_outputs=st.integers(1, 4),
        predictor_hidden_dims=st.lists(st.sampled_from([-1, 4, 8]), min_size=1, max_size=2),
    ),
    "symmetry_cfg": st.builds(symmetric, st.booleans(), st.booleans()),
}
MINI_BATCHES = {
    "feed-forward": st.integers(1, 5),
    "recurrent": st.sampled_from([1, 2, 4]),
    "convolutional": st.integers(1, 5),
}
MODELS = {
    "feed-forward": models(),
    "recurrent": models() | recurrent_models(),
    "convolutional": convolutional_models(),
}
VECTORS = [{**groups, "rnd_state": groups["critic"]} for groups in (SYMMETRIC, ASYMMETRIC)]
IMAGES = [{"actor": ["camera", "policy"], "critic": ["privileged", "camera"]}]
OBS_GROUPS = {"feed-forward": VECTORS, "recurrent": VECTORS, "convolutional": IMAGES}


def random_cases(kind: str, **sections: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    """Cases whose models are of a kind; a recurrent model's mini-batches divide the number of environments."""
    more = st.fixed_dictionaries({"num_mini_batches": MINI_BATCHES[kind], **sections})
    algorithm = st.builds(lambda cfg, others: {**cfg, **others}, ALGORITHMS, more)
    cfg = st.builds(
        train_cfg,
        algorithm=algorithm,
        actor=MODELS[kind],
        critic=MODELS[kind],
        distribution=DISTRIBUTIONS,
        obs_groups=st.sampled_from(OBS_GROUPS[kind]),
    )
    return st.builds(
        Case,
        name=st.just(f"random {kind}"),
        train_cfg=cfg,
        seed=st.integers(0, 2**31),
        done_probability=st.floats(0.0, 0.6),
        time_out_probability=st.none() | st.floats(0.0, 1.0),
    )


DISTILLATIONS = st.fixed_dictionaries(
    {
        "num_learning_epochs": st.integers(1, 3),
        "gradient_length": st.integers(1, 6),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "loss_type": st.sampled_from(["mse", "huber"]),
        "learning_rate": st.floats(1e-4, 1e-2),
        "max_grad_norm": st.none() | st.floats(0.02, 5.0),
    }
)
DISTRIBUTED = st.none() | DISTRIBUTIONS.map(lambda cfg: {"class_name": "GaussianDistribution", **cfg})
STUDENTS = st.one_of(
    st.fixed_dictionaries({"student": models(distribution_cfg=DISTRIBUTED) | recurrent_models()}),
    st.fixed_dictionaries(
        {"student": convolutional_models(), "student_groups": st.just(("policy", "camera"))},
    ),
)
DISTILLATION_CASES = st.builds(
    Case,
    name=st.just("random distillation"),
    train_cfg=st.builds(
        lambda algorithm, student, teacher: distillation_cfg(algorithm=algorithm, teacher=teacher, **student),
        algorithm=DISTILLATIONS,
        student=STUDENTS,
        teacher=models() | recurrent_models(),
    ),
    seed=st.integers(0, 2**31),
    done_probability=st.floats(0.0, 0.6),
)
