"""Whole iterations of distillation against recordings of rsl-rl-lib, without it or PyTorch."""

from __future__ import annotations

import pytest

from tests.parity.comparison import load

from .cases import CASES
from .comparison import assert_agreement, replay


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_rsl_rl(name: str, dtype: str) -> None:
    recorded = load(f"distillation_{name}", dtype)
    assert_agreement(recorded, dtype, replay(CASES[name], recorded))
