"""Whole iterations of distillation against rsl-rl-lib itself, on random configurations.

``RSL_JAX_LIVE_EXAMPLES=200`` tries that many, new ones at each call; by default a few, always the same.
"""

from __future__ import annotations

import dataclasses

import jax
from hypothesis import given

from tests.parity.cases import Case
from tests.parity.oracle import require_oracle

require_oracle()

from tests.parity.distillation.cases import CASES  # noqa: E402
from tests.parity.distillation.comparison import assert_agreement, replay  # noqa: E402
from tests.parity.distillation.reference import record  # noqa: E402 (needs what require_oracle looks for)
from tests.parity.strategies import DISTILLATION_CASES  # noqa: E402
from tests.parity.test_live import examples  # noqa: E402


def assert_agrees_live(case: Case) -> None:
    """Record and replay in float64, where only the formulas can differ."""
    with jax.enable_x64(True):
        recorded = record(case, "float64")
        assert_agreement(recorded, "float64", replay(case, recorded))


def test_a_known_configuration_on_another_rollout() -> None:
    assert_agrees_live(dataclasses.replace(CASES["gru_across_epochs"], seed=1))


@examples(3)
@given(case=DISTILLATION_CASES)
def test_random_configurations(case: Case) -> None:
    assert_agrees_live(case)
