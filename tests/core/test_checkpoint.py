"""Checkpoints of pytrees that simulators bring along."""

import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.checkpoint import read_checkpoint, save_checkpoint
from rsl_jax.trees import restore


def test_arrays_without_elements_are_no_obstacle(tmp_path):
    # MuJoCo's state has them wherever nothing can touch; Orbax refuses to write them.
    loop = {"position": jnp.arange(3.0), "contacts": jnp.zeros((4, 0)), "ids": jnp.zeros((0,), jnp.int32)}
    save_checkpoint(tmp_path / "model_0", {"weight": jnp.ones(2)}, loop, {})
    fresh = {"position": jnp.zeros(3), "contacts": jnp.zeros((4, 0)), "ids": jnp.zeros((0,), jnp.int32)}
    restored = restore(fresh, read_checkpoint(tmp_path / "model_0").loop)
    np.testing.assert_array_equal(restored["position"], [0.0, 1.0, 2.0])
    assert restored["contacts"].shape == (4, 0)
    assert restored["ids"].dtype == jnp.int32


def test_an_array_that_was_empty_when_saved_is_missed_when_it_no_longer_is(tmp_path):
    save_checkpoint(
        tmp_path / "model_0", {"weight": jnp.ones(2)}, {"contacts": jnp.zeros((4, 0)), "x": jnp.ones(1)}, {}
    )
    with pytest.raises(ValueError, match="contacts: missing in the checkpoint"):
        restore({"contacts": jnp.zeros((4, 2)), "x": jnp.ones(1)}, read_checkpoint(tmp_path / "model_0").loop)
