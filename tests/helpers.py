"""Shared helpers of the tests of training."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import RunnerConfig
from rsl_jax.types import Rollout

AS_USERS: dict[str, Any] = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
"""How XLA compiles by default; ``conftest.py`` has other options for all tests."""


def small_config(**algorithm):
    """A run whose networks and rollouts are as small as they can be and still learn."""
    return RunnerConfig.from_dict(
        {
            "num_steps_per_env": 8,
            "save_interval": 2,
            "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
            "algorithm": {
                "class_name": "PPO",
                "learning_rate": 3e-3,
                "num_mini_batches": 2,
                "num_learning_epochs": 2,
                **algorithm,
            },
            "actor": {
                "class_name": "MLPModel",
                "hidden_dims": [16],
                "obs_normalization": True,
                "distribution_cfg": {"class_name": "GaussianDistribution"},
            },
            "critic": {"class_name": "MLPModel", "hidden_dims": [16], "obs_normalization": True},
        }
    )


def assert_trees_equal(a, b):
    """Bit for bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def halves_of(rollout):
    """What each of two devices has of a rollout: leaves with an axis of size 2 in front."""
    around = ("carry", "last_carry", "last_observations")  # have no axis of steps before that of environments
    return Rollout(
        **{
            field.name: jax.tree.map(
                lambda x, axis=int(field.name not in around): jnp.stack(jnp.split(x, 2, axis)),
                getattr(rollout, field.name),
            )
            for field in dataclasses.fields(rollout)
        }
    )


def assert_same_on_all_devices(tree):
    """Bit for bit, of leaves that are there as a whole on each of several devices."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        first, *others = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        assert others
        for other in others:
            np.testing.assert_array_equal(first, other, err_msg=jax.tree_util.keystr(path))


def drawn_by_numpy(init, seed=0):
    """The variables that ``init()`` makes, with parameters of numpy's: compiling JAX's draws takes longer than a test.

    Args:
        init: makes variables, by collections.
        seed: of the parameters.
    """
    generator = np.random.default_rng(seed)
    others = jax.jit(lambda: {name: variables for name, variables in init().items() if name != "params"})()
    params = jax.tree.map(
        lambda leaf: jnp.asarray(generator.uniform(-0.5, 0.5, leaf.shape), leaf.dtype), jax.eval_shape(init)["params"]
    )
    return {**others, "params": params}
