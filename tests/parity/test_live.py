"""Whole iterations against rsl-rl-lib itself, on random rollouts and configurations.

``RSL_JAX_LIVE_EXAMPLES=200`` tries that many random configurations, new ones at each call; by default a few, always the
same.
"""

from __future__ import annotations

import dataclasses
import os

import jax
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

from .cases import CASES, Case
from .checks import assert_agreement
from .comparison import replay
from .oracle import require_oracle

require_oracle()

from .generate import CloseCallError, check_margin  # noqa: E402 (needs what the line above looks for)
from .reference import record  # noqa: E402
from .strategies import EXTENSIONS, random_cases  # noqa: E402

EXAMPLES = os.environ.get("RSL_JAX_LIVE_EXAMPLES")


def assert_agrees_live(case: Case) -> None:
    """Record and replay in float64, where only the formulas can differ."""
    with jax.enable_x64(True):
        recorded = record(case, "float64")
        check_margin(case, recorded)
        assert_agreement(case, recorded, "float64", replay(case, recorded))


def assert_agrees_or_is_no_case(case: Case) -> None:
    """For random cases: those in which rounding decides are none."""
    try:
        assert_agrees_live(case)
    except CloseCallError:
        reject()


@pytest.mark.parametrize("name", CASES)
def test_known_configurations_on_another_rollout(name: str) -> None:
    assert_agrees_live(dataclasses.replace(CASES[name], seed=1))


def examples(number: int) -> settings:
    """As many as wanted, or ``number`` that are always the same."""
    return settings(
        max_examples=int(EXAMPLES or number),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # to shrink a failure would compile a program for each attempt
        suppress_health_check=list(HealthCheck),
    )


@examples(4)
@given(case=random_cases("feed-forward"))
def test_random_configurations(case: Case) -> None:
    assert_agrees_or_is_no_case(case)


@examples(2)
@given(case=random_cases("feed-forward", **EXTENSIONS))
def test_random_extensions(case: Case) -> None:
    assert_agrees_or_is_no_case(case)


@examples(2)
@given(case=random_cases("recurrent"))
def test_random_recurrent_configurations(case: Case) -> None:
    assert_agrees_or_is_no_case(case)


@examples(1)
@given(case=random_cases("convolutional", schedule=st.just("fixed"), share_cnn_encoders=st.booleans()))
def test_random_convolutional_configurations(case: Case) -> None:
    assert_agrees_or_is_no_case(case)
