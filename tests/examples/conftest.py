"""Settings of the tests of examples, which users run with JAX's own settings."""

import jax
import pytest


@pytest.fixture(autouse=True)
def settings_of_users():
    """Let ranks and dtypes be promoted, as JAX does by default."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
