"""Whole iterations of distillation against rsl-rl-lib itself, on configurations that nobody chose.

``RSL_JAX_LIVE_EXAMPLES=200`` tries that many, new ones at each call; by default a few, always the same.
"""

from __future__ import annotations

import dataclasses

import jax
from hypothesis import given
from hypothesis import strategies as st

from tests.parity.cases import OPTIMIZERS, Case
from tests.parity.oracle import require_oracle

require_oracle()

from tests.parity.distillation.cases import CASES, train_cfg  # noqa: E402
from tests.parity.distillation.comparison import assert_agreement, replay  # noqa: E402
from tests.parity.distillation.reference import record  # noqa: E402 (needs what require_oracle looks for)
from tests.parity.test_live import DISTRIBUTIONS, examples, models, recurrent_models  # noqa: E402


def assert_agrees_live(case: Case) -> None:
    """Record and replay in float64, where only the formulas can differ."""
    with jax.enable_x64(True):
        recorded = record(case, "float64")
        assert_agreement(recorded, "float64", replay(case, recorded))


def test_a_known_configuration_on_another_rollout() -> None:
    assert_agrees_live(dataclasses.replace(CASES["gru_across_epochs"], seed=1))


ALGORITHMS = st.fixed_dictionaries(
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
RANDOM_CASES = st.builds(
    Case,
    name=st.just("random distillation"),
    train_cfg=st.builds(
        train_cfg,
        algorithm=ALGORITHMS,
        student=models(distribution_cfg=DISTRIBUTED) | recurrent_models(),
        teacher=models() | recurrent_models(),
    ),
    seed=st.integers(0, 2**31),
    done_probability=st.floats(0.0, 0.6),
)


@examples(3)
@given(case=RANDOM_CASES)
def test_random_configurations(case: Case) -> None:
    assert_agrees_live(case)
