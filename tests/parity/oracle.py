"""Whether rsl-rl-lib is installed."""

from __future__ import annotations

import importlib.util
import os

import pytest

REQUIRED = "RSL_JAX_REQUIRE_ORACLE"
"""Set to 1 where a missing rsl-rl-lib is a failure, as in continuous integration."""


def require_oracle() -> None:
    """Skip the test, or the rest of the module, where rsl-rl-lib is not installed, unless it must be.

    Raises:
        RuntimeError: if it must be there and is not.
    """
    if importlib.util.find_spec("rsl_rl") is not None:
        return
    reason = "rsl-rl-lib is not installed: pip install torch rsl-rl-lib==5.5.1"
    if os.environ.get(REQUIRED) == "1":
        raise RuntimeError(f"{REQUIRED}=1, but {reason}")
    pytest.skip(reason, allow_module_level=True)
