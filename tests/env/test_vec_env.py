"""A pure environment wrapped as RSL-RL's VecEnv, and conversion of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import Env, JaxVecEnv, VecEnv, like, to_jax, to_jax_observations, vectorize
from rsl_jax.types import TimeStep

from .probes import Walk

N = 4


class Own(Env):
    """Somebody's own batch, whose state counts nothing and who hands over no final observations."""

    num_envs, num_actions = N, 1

    def reset(self, key):
        return jnp.zeros(N), {"policy": jnp.zeros((N, 1))}

    def step(self, state, actions):
        state = state + actions[:, 0]
        dones = state > 1
        return jnp.where(dones, 0.0, state), TimeStep({"policy": state[:, None]}, state, dones, jnp.zeros(N, bool))


@pytest.fixture(scope="module")
def pure():
    """Walks with a time limit of 3 steps."""
    return vectorize(Walk(), N, max_episode_length=3)


@pytest.fixture
def worn(pure):
    """The same behind methods."""
    return JaxVecEnv(pure, key=jax.random.key(7))


def test_it_is_the_pure_environment(pure, worn, compilations):
    assert isinstance(worn, VecEnv)
    attributes = ("num_envs", "num_actions", "discrete", "max_episode_length", "step_dt", "cfg")
    assert [getattr(worn, name) for name in attributes] == [getattr(pure, name) for name in attributes]
    state, observations = jax.jit(pure.reset)(jax.random.key(7))
    step = jax.jit(pure.step)
    assert_same(worn.get_observations(), observations)
    for i in range(5):
        if i == 2:
            worn.begin_iteration(jax.random.key(8))
            state = jax.jit(pure.begin_iteration)(state, jax.random.key(8))
        actions = jnp.array([[10.0], [0.0], [-10.0], [float(i)]])
        state, timestep = step(state, actions)
        given, rewards, dones, extras = worn.step(actions)
        assert_same(given, timestep.observations)
        assert_same(worn.get_observations(), timestep.observations)
        assert_same(rewards, timestep.rewards)
        assert_same(dones, timestep.dones)
        assert_same(extras["time_outs"], timestep.time_outs)
        assert_same(extras["final_observations"], timestep.final_observations)
        assert_same(extras["log"], dict(timestep.log))
        assert_same(worn.episode_length_buf, state.episode_length)
    with compilations() as compiled:
        worn.step(actions)
    assert compiled == []


def test_what_was_handed_out_stays_valid(worn):
    first = worn.get_observations()
    kept = [(first, np.asarray(first["policy"]).copy())]
    for _ in range(4):
        given, _, _, extras = worn.step(jnp.full((N, 1), 4.0))
        given_too = extras["final_observations"]
        kept += [(groups, np.asarray(groups["policy"]).copy()) for groups in (given, given_too)]
    for groups, copy in kept:
        np.testing.assert_array_equal(groups["policy"], copy)


def test_episode_lengths_can_be_set(worn):
    worn.episode_length_buf = np.array([0, 1, 2, 0])
    _, _, dones, extras = worn.step(np.zeros((N, 1)))
    assert dones.tolist() == extras["time_outs"].tolist() == [False, False, True, False]
    assert worn.episode_length_buf.tolist() == [1, 2, 0, 1]
    with pytest.raises(ValueError, match=r"must have the shape \[4\], but have \[2\]"):
        worn.episode_length_buf = jnp.zeros(2)


def test_a_seed_or_a_key_decides(pure, worn):
    def first(**how):
        return np.asarray(JaxVecEnv(pure, **how).get_observations()["policy"])

    np.testing.assert_array_equal(first(key=jax.random.key(7)), worn.get_observations()["policy"])
    np.testing.assert_array_equal(first(), first(seed=0))
    np.testing.assert_array_equal(first(seed=3), first(key=jax.random.key(3)))
    assert (first(seed=0) != first(seed=1)).any()
    with pytest.raises(ValueError, match="either seed= or key="):
        JaxVecEnv(pure, seed=1, key=jax.random.key(1))


def test_an_own_environment_need_not_count():
    worn = JaxVecEnv(Own())
    *_, extras = worn.step(jnp.ones((N, 1)))
    assert "final_observations" not in extras
    assert worn.episode_length_buf.tolist() == [1] * N
    worn.step(jnp.ones((N, 1)))
    assert worn.episode_length_buf.tolist() == [0] * N
    with pytest.raises(AttributeError, match=r"Own cannot be set: its state has no field episode_length"):
        worn.episode_length_buf = jnp.zeros(N)
    with pytest.raises(NotImplementedError, match="Own cannot be rendered"):
        worn.render()


def test_numpy_arrays_are_copied_both_ways():
    buffer = np.arange(64, dtype=np.float64)
    array = to_jax(buffer)
    buffer += 1
    np.testing.assert_array_equal(array, np.arange(64))
    assert array.dtype == jnp.zeros(()).dtype
    back = like(buffer, array)
    back += 1
    np.testing.assert_array_equal(array, np.arange(64))
    assert to_jax(array) is array
    assert like(array, array) is array


def test_torch_tensors_are_copied_both_ways():
    torch = pytest.importorskip("torch")
    buffer = torch.arange(64, dtype=torch.float32)
    array = to_jax(buffer)
    buffer += 1
    np.testing.assert_array_equal(array, np.arange(64))
    back = like(buffer, array)
    assert isinstance(back, torch.Tensor)
    back += 1
    np.testing.assert_array_equal(array, np.arange(64))
    assert to_jax(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    assert to_jax(torch.ones(2, 3).t()).shape == (3, 2)
    assert to_jax(torch.tensor([True, False])).dtype == bool
    assert isinstance(like({"policy": buffer}, array), torch.Tensor)


def test_torch_is_not_imported_for_others():
    import subprocess
    import sys

    code = (
        "import sys, numpy, rsl_jax.env as e; e.like(numpy.ones(1), e.to_jax(numpy.ones(1)));"
        "print([m for m in ('torch', 'brax', 'gymnax', 'gymnasium', 'mujoco', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_bare_array_is_the_group_policy():
    assert list(to_jax_observations(np.ones((2, 3)))) == ["policy"]
    assert list(to_jax_observations({"a": np.ones(2), "b": np.ones(2)})) == ["a", "b"]


def assert_same(given, expected):
    jax.tree.map(np.testing.assert_array_equal, given, expected)
