"""Observations that are not floats: integers and bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import CNNConfig, RunnerConfig
from rsl_jax.env import Transition, vectorize
from rsl_jax.models import CNNModel, MLPModel
from rsl_jax.training import build_algorithm, init_states, make_iteration, spec_of
from rsl_jax.training.iteration import collect

T, N, IMAGE = 4, 6, (1, 12, 16)


class Bytes:
    """Shows an image of bytes, floats or integers, and a counter."""

    num_actions = 2

    def __init__(self, dtype=jnp.uint8):
        self._dtype = dtype

    def reset(self, key):
        """Counts from zero."""
        del key
        count = jnp.zeros((), jnp.int32)
        return count, self._seen(count)

    def step(self, count, action):
        """Count on."""
        return count + 1, Transition(self._seen(count), jnp.sum(action), terminated=count > 9)

    def _seen(self, count):
        return {"camera": jnp.full(IMAGE, count, self._dtype), "counter": count[None]}


def algorithm_and_states(env):
    """PPO with both kinds of models, and shapes of its states; nothing is compiled."""
    cfg = RunnerConfig.from_dict(
        {
            "num_steps_per_env": T,
            "obs_groups": {"actor": ["camera", "counter"], "critic": ["counter"]},
            "algorithm": {"class_name": "PPO", "num_mini_batches": 2},
            "actor": {
                "class_name": "CNNModel",
                "hidden_dims": [4],
                "cnn_cfg": {"output_channels": [2], "kernel_size": 3},
            },
            "critic": {"class_name": "MLPModel", "hidden_dims": [4], "obs_normalization": True},
        }
    )
    algorithm = build_algorithm(cfg, spec_of(env))
    return algorithm, jax.eval_shape(lambda key: init_states(algorithm, env, key), jax.random.key(0))


def test_bytes_stay_bytes_in_a_rollout():
    sizes = {}
    for dtype in (jnp.uint8, jnp.float32):
        env = vectorize(Bytes(dtype), N, max_episode_length=5)
        algorithm, (state, loop) = algorithm_and_states(env)

        def collected(state, loop, algorithm=algorithm, env=env):
            return collect(algorithm, env, state, loop, jax.random.key(0), num_steps=T)[1]

        rollout = jax.eval_shape(collected, state, loop)
        for seen in (rollout.observations, rollout.last_observations, rollout.final_observations):
            assert seen["camera"].dtype == dtype
        sizes[dtype] = rollout.observations["camera"].size * rollout.observations["camera"].dtype.itemsize
        # The whole iteration promotes no types by itself, and gives the states that it takes.
        after = jax.eval_shape(make_iteration(algorithm, env, num_steps=T), state, loop)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after[:2]) == jax.tree.map(
            lambda x: (x.shape, x.dtype), (state, loop)
        )
    assert sizes[jnp.float32] == 4 * sizes[jnp.uint8]


def test_an_encoder_sees_bytes_as_numbers_from_0_to_1():
    model = CNNModel({"camera": IMAGE}, ("camera",), 2, cnn_cfg=CNNConfig(output_channels=(2,), kernel_size=3))
    pixels = np.random.default_rng(0).integers(256, size=(N, *IMAGE), dtype=np.uint8)
    seen = {dtype: {"camera": jnp.asarray(pixels.astype(dtype))} for dtype in (np.uint8, np.int32, np.float32)}
    variables = jax.jit(model.init)(jax.random.key(0), seen[np.float32], ())
    apply = jax.jit(lambda observations: model.apply(variables, observations, ())[0])
    scaled = {"camera": seen[np.float32]["camera"] / 255}
    np.testing.assert_allclose(apply(seen[np.uint8]), apply(scaled), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(apply(seen[np.int32]), apply(seen[np.float32]))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int16, np.float16])
def test_integers_are_normalised_as_floats_are(dtype):
    model = MLPModel({"counter": (3,)}, ("counter",), 2, hidden_dims=(4,), obs_normalization=True)
    counts = np.random.default_rng(0).integers(200, size=(T, N, 3)).astype(dtype)

    def learned(observations):
        variables = model.init(jax.random.key(0), {"counter": jnp.zeros((1, 3))}, ())
        _, moments = model.apply(variables, observations, method="update_normalization", mutable=["normalizer"])
        return moments, model.apply({**variables, **moments}, observations, ())[0]

    ours, expected = (jax.jit(learned)({"counter": jnp.asarray(x)}) for x in (counts, counts.astype(np.float32)))
    jax.tree.map(np.testing.assert_array_equal, ours, expected)
    np.testing.assert_allclose(ours[0]["normalizer"]["obs"].mean, counts.mean((0, 1), np.float64), rtol=1e-5)
    np.testing.assert_allclose(ours[0]["normalizer"]["obs"].var, counts.astype(np.float64).var((0, 1)), rtol=1e-4)
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_a_flag_that_is_nan_is_not_silent():
    class Unsure(Bytes):
        def step(self, count, action):
            count, transition = super().step(count, action)
            return count, transition._replace(terminated=jnp.where(count == 2, jnp.nan, 0.0))

    env = vectorize(Unsure(), 2, max_episode_length=50)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    step = jax.jit(env.step)
    rewards = []
    for _ in range(3):
        state, timestep = step(state, jnp.ones((2, 2)))
        rewards.append(timestep.rewards[0])
    np.testing.assert_array_equal(np.isnan(rewards), [False, True, False])
