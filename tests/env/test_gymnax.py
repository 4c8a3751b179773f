"""Gymnax's environments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import make_env, vectorize
from rsl_jax.env.extras import simulators_promotion
from rsl_jax.env.gymnax import GymnaxSingleEnv

gymnax = pytest.importorskip("gymnax")
N = 3


@pytest.fixture(scope="module")
def cartpole():
    """Cart-poles: environment, compiled reset, compiled step."""
    env = make_env("gymnax/CartPole-v1", num_envs=N)
    return env, jax.jit(env.reset), jax.jit(env.step)


@pytest.fixture(scope="module")
def pendulum():
    """Pendulums with short episodes: environment, compiled reset, compiled step."""
    env = make_env("gymnax/Pendulum-v1", num_envs=N, max_episode_length=5, auto_reset="full")
    return env, jax.jit(env.reset), jax.jit(env.step)


def test_falling_is_a_termination_and_time_is_not(cartpole):
    env, reset, step = cartpole
    assert (env.num_actions, env.discrete, env.max_episode_length, env.step_dt) == (2, True, 500, 0.02)
    assert env.cfg["name"] == "gymnax/CartPole-v1"
    state, _ = reset(jax.random.key(0))
    # The first goes on, the second is about to fall, the third reaches gymnax's own limit.
    inner = state.env.env
    inner = inner.replace(theta=inner.theta.at[1].set(0.3), time=inner.time.at[2].set(499))
    state = state.replace(env=state.env.replace(env=inner))
    following, timestep = step(state, jnp.zeros(N, jnp.int32))
    assert timestep.dones.tolist() == [False, True, True]
    assert timestep.time_outs.tolist() == [False, False, True]
    assert following.env.env.time.tolist() == [1, 0, 0]
    assert following.episode_length.tolist() == [1, 0, 0]
    # What was seen last is what gymnax sees without a reset.
    keys = jax.vmap(lambda key: jax.random.split(key)[0])(state.env.key)
    single = env.single_env
    with simulators_promotion():
        seen, *_ = jax.vmap(single.env.step_env, (0, 0, 0, None))(keys, inner, jnp.zeros(N, jnp.int32), single.params)
    np.testing.assert_allclose(timestep.final_observations["policy"], seen, rtol=1e-6)
    assert abs(timestep.final_observations["policy"][1, 2]) > 0.2
    assert abs(timestep.observations["policy"][1, 2]) < 0.05


def test_the_time_limit_can_be_another(pendulum):
    env, reset, step = pendulum
    assert (env.num_actions, env.discrete, env.max_episode_length, env.step_dt) == (1, False, 5, 0.05)
    state, _ = reset(jax.random.key(0))
    for i in range(5):
        state, timestep = step(state, jnp.zeros((N, 1)))
        assert timestep.dones.tolist() == timestep.time_outs.tolist() == [i == 4] * N
    # Longer than gymnax's own, too.
    assert (
        make_env("gymnax/Pendulum-v1", num_envs=1, max_episode_length=300).single_env.params.max_steps_in_episode == 300
    )


def test_actions_are_clipped_to_the_box(pendulum):
    _, reset, step = pendulum
    state, _ = reset(jax.random.key(0))
    _, far = step(state, jnp.full((N, 1), 50.0))
    _, edge = step(state, jnp.full((N, 1), 2.0))
    jax.tree.map(np.testing.assert_array_equal, far, edge)


def test_images_come_with_channels_first():
    env = make_env("gymnax/Breakout-MinAtar", num_envs=2)
    assert (env.num_actions, env.discrete) == (3, True)
    key = jax.random.key(0)
    _, observations = jax.jit(env.reset)(key)
    image = observations["policy"]
    assert image.shape == (2, 4, 10, 10)
    assert image.dtype == jnp.float32
    # The paddle is in channel 0, in the middle of the lowest row.
    assert np.argwhere(np.asarray(image[0, 0])).tolist() == [[9, 4]]
    flat = make_env("gymnax/Breakout-MinAtar", num_envs=2, flatten=True)
    assert jax.eval_shape(flat.reset, key)[1]["policy"].shape == (2, 400)


def test_one_choice_becomes_a_one_hot_vector():
    env = make_env("gymnax/FrozenLake-misc", num_envs=2)
    _, observations = jax.jit(env.reset)(jax.random.key(0))
    assert observations["policy"].shape == (2, 16)
    assert observations["policy"].sum(axis=1).tolist() == [1, 1]


def test_parameters():
    env = make_env("gymnax/Pendulum-v1", num_envs=1, params={"g": 3.0})
    assert env.single_env.params.g == env.cfg["g"] == 3.0
    with pytest.raises(ValueError, match=r"Unknown parameter of gymnax/Pendulum-v1 'max_sped'.* 'max_speed'"):
        make_env("gymnax/Pendulum-v1", num_envs=1, params={"max_sped": 1})


def test_spaces_that_cannot_be_used():
    env, params = gymnax.make("Pendulum-v1")
    spaces = pytest.importorskip("gymnax.environments.spaces")
    env.action_space = lambda params: spaces.Tuple([spaces.Discrete(2)])
    with pytest.raises(ValueError, match=r"Actions of gymnax/Pendulum-v1 are .*Discrete or a Box"):
        GymnaxSingleEnv(env, params)
    env, params = gymnax.make("Pendulum-v1")
    env.observation_space = lambda params: spaces.Dict({"a": spaces.Discrete(2)})
    with pytest.raises(ValueError, match=r"Observations of gymnax/Pendulum-v1 are"):
        GymnaxSingleEnv(env, params)


def test_pictures():
    pytest.importorskip("matplotlib")
    env = vectorize(GymnaxSingleEnv(*gymnax.make("Catch-bsuite")), 1)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    picture = env.render(state)
    assert (picture.ndim, picture.shape[2], picture.dtype) == (3, 3, np.uint8)
    later, _ = jax.jit(env.step)(state, jnp.zeros(1))
    assert (env.render(later) != picture).any()
    np.testing.assert_array_equal(env.render(state), picture)
    env = make_env("gymnax/FrozenLake-misc", num_envs=1)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    with pytest.raises(NotImplementedError, match="gymnax cannot render FrozenLake"):
        env.render(state)
