"""Whole iterations against recordings of rsl-rl-lib, without it or PyTorch."""

from __future__ import annotations

import pytest

from .cases import CASES
from .checks import assert_agreement
from .comparison import load, replay


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_rsl_rl(name: str, dtype: str) -> None:
    recorded = load(name, dtype)
    assert_agreement(CASES[name], recorded, dtype, replay(CASES[name], recorded))
