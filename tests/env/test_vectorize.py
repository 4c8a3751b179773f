"""Batches of a single environment: episode ends, resets, and returned values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import vectorize

from .probes import Chooser, Walk

N = 6
FALL, CUT = 10.0, -10.0


def walk_env(auto_reset="pool", **options):
    return vectorize(Walk(), N, auto_reset=auto_reset, **options)


@pytest.fixture(scope="module")
def walking():
    """Walks with a time limit of 5 steps, by the way they reset: environment, compiled reset, compiled step."""
    envs = {mode: walk_env(mode, max_episode_length=5) for mode in ("pool", "full", "cached")}
    return {mode: (env, jax.jit(env.reset), jax.jit(env.step)) for mode, env in envs.items()}


@pytest.fixture(scope="module")
def choosing():
    """Two choosers: environment, compiled reset, compiled step."""
    env = vectorize(Chooser(), 2)
    return env, jax.jit(env.reset), jax.jit(env.step)


def actions(*values):
    return jnp.array(values).reshape(N, 1)


def still():
    return jnp.zeros((N, 1))


def origins(observations):
    return np.asarray(observations["policy"][:, 0])


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_terminations_truncations_and_the_time_limit_are_told_apart(walking, mode):
    _, reset, step = walking[mode]
    state, _ = reset(jax.random.key(0))
    state = state.replace(episode_length=jnp.array([0, 0, 0, 4, 4, 0]))
    # falls, is cut short, goes on, out of time, falls when out of time, goes on
    state, timestep = step(state, actions(FALL, CUT, 1.0, 1.0, FALL, -1.0))
    assert timestep.dones.tolist() == [True, True, False, True, True, False]
    assert timestep.time_outs.tolist() == [False, True, False, True, False, False]
    assert timestep.rewards.tolist() == [10, -10, 1, 1, 10, -1]
    assert state.episode_length.tolist() == [0, 0, 1, 0, 0, 1]
    assert state.episode_length.dtype == jnp.int32


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_the_final_observation_is_what_was_seen_before_the_reset(walking, mode):
    env, reset, step = walking[mode]
    state, first = reset(jax.random.key(1))
    _, unreset = jax.vmap(env.single_env.step)(state.env, actions(FALL, 1, 2, 3, 4, CUT))
    state, timestep = step(state, actions(FALL, 1, 2, 3, 4, CUT))
    np.testing.assert_array_equal(timestep.final_observations["policy"], unreset.observations)
    ended = np.array([True, False, False, False, False, True])
    np.testing.assert_array_equal(timestep.dones, ended)
    # Who goes on sees the same as "final"; who ended sees the first observation of an episode.
    seen = np.asarray(timestep.observations["policy"])
    np.testing.assert_array_equal(seen[~ended], unreset.observations[~ended])
    assert (seen[ended, 1:] == 0).all()
    np.testing.assert_array_equal(origins(first)[~ended], seen[~ended, 0])


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_the_whole_state_is_replaced_at_a_reset(walking, mode):
    env, reset, step = walking[mode]
    state, _ = reset(jax.random.key(2))
    state = jax.jit(env.begin_iteration)(state, jax.random.key(3))
    following, timestep = step(state, actions(FALL, 1, 1, 1, 1, 1))
    assert following.env.distance.tolist() == [0, 1, 1, 1, 1, 1]
    np.testing.assert_array_equal(following.env.origin, origins(timestep.observations))
    # Also what only serves the steps to come: a cached start repeats an episode's noise, others bring their own.
    kept = (jax.random.key_data(state.env.key) == jax.random.key_data(following.env.key)).all(axis=1)
    assert kept.tolist() == [mode == "cached", False, False, False, False, False]


def test_cached_goes_back_to_the_own_first_state(walking):
    _, reset, step = walking["cached"]
    state, first = reset(jax.random.key(3))
    for _ in range(2):
        state, timestep = step(state, actions(*[FALL] * N))
        np.testing.assert_array_equal(timestep.observations["policy"], first["policy"])


def test_each_environment_goes_through_the_pool(walking):
    env, reset, step = walking["pool"]
    state, first = reset(jax.random.key(4))
    pool = origins(state.pool[1])
    np.testing.assert_array_equal(pool, origins(first))
    for turn in range(1, N + 2):
        state, timestep = step(state, actions(*[FALL] * N))
        np.testing.assert_array_equal(origins(timestep.observations), np.roll(pool, -turn))
    renewed = jax.jit(env.begin_iteration)(state, jax.random.key(5))
    assert not np.isin(origins(renewed.pool[1]), pool).any()
    np.testing.assert_array_equal(renewed.env.distance, state.env.distance)


@pytest.mark.parametrize("size", [3, N + 3])
def test_pool_may_have_another_size(size):
    env = walk_env(reset_pool_size=size)
    state, first = jax.jit(env.reset)(jax.random.key(0))
    assert len(np.unique(origins(first))) == N
    assert len(np.unique(origins(state.pool[1]))) == size
    renewed = jax.jit(env.begin_iteration)(state, jax.random.key(1))
    assert len(np.unique(origins(renewed.pool[1]))) == size


def test_full_makes_new_states_at_every_reset(walking):
    env, reset, step = walking["full"]
    state, first = reset(jax.random.key(6))
    seen = [origins(first)]
    for _ in range(3):
        state, timestep = step(state, actions(*[FALL] * N))
        seen.append(origins(timestep.observations))
    assert len(np.unique(np.concatenate(seen))) == 4 * N
    assert jax.tree.leaves(state.pool) == []
    assert env.begin_iteration(state, jax.random.key(0)) is state


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_the_key_decides(walking, mode):
    _, reset, step = walking[mode]

    def run(seed):
        state, first = reset(jax.random.key(seed))
        state, second = step(state, actions(FALL, 1, 1, 1, 1, CUT))
        state, third = step(state, still())
        return jax.tree.map(np.asarray, (first, second, third))

    once, again, other = run(0), run(0), run(1)
    jax.tree.map(np.testing.assert_array_equal, once, again)
    assert not np.isin(origins(once[1].observations), origins(other[1].observations)).any()


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_a_second_step_compiles_nothing(walking, mode):
    env, reset, step = walking[mode]
    begin = jax.jit(env.begin_iteration)
    state, _ = reset(jax.random.key(0))
    for _ in range(3):
        state, _ = step(begin(state, jax.random.key(1)), still())
    assert step._cache_size() == 1
    assert begin._cache_size() == 1


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_seeds_side_by_side_equal_seeds_one_by_one(walking, mode):
    env, reset, step = walking[mode]
    push = jnp.stack([actions(FALL, 1, 1, 1, 1, CUT), still()])
    keys = jax.random.split(jax.random.key(0), 2)
    _, together = jax.jit(jax.vmap(lambda key, push: env.step(env.reset(key)[0], push)))(keys, push)
    for seed in range(2):
        _, alone = step(reset(keys[seed])[0], push[seed])
        jax.tree.map(lambda x, y, i=seed: np.testing.assert_allclose(x[i], y, rtol=1e-6), together, alone)


def test_logs_are_means_over_the_environments(walking):
    _, reset, step = walking["pool"]
    _, timestep = step(reset(jax.random.key(0))[0], actions(0, 1, 2, 3, 4, 5))
    np.testing.assert_allclose(timestep.log["distance"], 2.5)


def test_careless_dtypes_become_a_fixed_point(choosing):
    _, reset, step = choosing
    state, observations = reset(jax.random.key(0))
    floating = jnp.zeros(()).dtype
    assert {name: (x.shape, x.dtype) for name, x in observations.items()} == {
        "state": ((2, 2), floating),
        "privileged_state": ((2, 1), floating),
    }
    for expected in ([1, 1], [2, 2], [0, 0]):
        state, timestep = step(state, jnp.array([1, 3]))
        assert state.env["choice"].dtype == floating
        assert not state.env["choice"].weak_type
        assert timestep.rewards.dtype == floating
        assert state.episode_length.tolist() == expected
    assert timestep.dones.tolist() == timestep.time_outs.tolist() == [True, True]
    assert step._cache_size() == 1


def test_strict_promotion_and_64_bits(x64):
    env = vectorize(Walk(), 2, max_episode_length=3)
    state, observations = jax.jit(env.reset)(jax.random.key(0))
    state, timestep = jax.jit(env.step)(state, jnp.ones((2, 1)))
    assert observations["policy"].dtype == timestep.rewards.dtype == jnp.float64
    assert state.episode_length.dtype == jnp.int32


@pytest.mark.parametrize("choices", [[1, 3], [[1], [3]], [1.0, 3.0]])
def test_choices_come_as_numbers_or_columns(choosing, choices):
    _, reset, step = choosing
    _, timestep = step(reset(jax.random.key(0))[0], jnp.array(choices))
    assert timestep.rewards.tolist() == [1, 3]


def test_the_robot_says_what_is_not_given():
    env = vectorize(Chooser(), 2)
    assert (env.max_episode_length, env.step_dt, env.cfg, env.discrete) == (3, 0.5, {"kind": "chooser"}, True)
    env = vectorize(Chooser(), 2, max_episode_length=7, step_dt=0.1, cfg={"mine": 1})
    assert (env.max_episode_length, env.step_dt, env.cfg) == (7, 0.1, {"mine": 1})
    env = walk_env()
    assert (env.max_episode_length, env.step_dt, env.cfg, env.discrete) == (None, None, {}, False)


def test_without_a_time_limit_only_the_robot_ends_an_episode():
    env = walk_env("cached")
    state = jax.jit(env.reset)(jax.random.key(0))[0].replace(episode_length=jnp.full(N, 10**6))
    _, timestep = jax.jit(env.step)(state, actions(FALL, 1, 1, 1, 1, 1))
    assert timestep.dones.tolist() == [True, False, False, False, False, False]


def test_a_picture_shows_the_first_environment(choosing, walking):
    env, reset, step = choosing
    state, _ = step(reset(jax.random.key(0))[0], jnp.zeros(2, jnp.int32))
    assert env.render(state).tolist() == [[[1] * 3] * 2] * 2
    env, reset, _ = walking["pool"]
    with pytest.raises(NotImplementedError, match=r"Walk cannot be rendered"):
        env.render(reset(jax.random.key(0))[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, r"num_envs is 0, but must be at least 1"),
        ({"max_episode_length": 0}, r"max_episode_length is 0"),
        ({"reset_pool_size": 0}, r"reset_pool_size is 0"),
        ({"auto_reset": "never"}, r"auto_reset is 'never', but must be one of 'pool', 'full', 'cached'"),
        ({"auto_reset": "full", "reset_pool_size": 3}, r"only has an effect with auto_reset='pool'"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        vectorize(Walk(), **{"num_envs": 2, **options})


@pytest.mark.parametrize(("shape"), [(N,), (N, 2), (N + 1, 1)])
def test_actions_of_a_wrong_shape(walking, shape):
    _, reset, step = walking["pool"]
    with pytest.raises(ValueError, match=r"Actions must have the shape \[6, 1\]"):
        step(reset(jax.random.key(0))[0], jnp.zeros(shape))
