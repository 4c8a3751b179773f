"""Observations rearranged into other groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import Env, regroup, vectorize
from rsl_jax.types import TimeStep

from .probes import Walk


@pytest.fixture(scope="module")
def walk():
    """Sees its origin, its distance and a random number."""
    return vectorize(Walk(), 4, max_episode_length=3)


def test_groups_show_what_was_asked_for_also_at_the_end_of_an_episode(walk):
    env = regroup(walk, {"noise_and_origin": ("policy", [2, 0]), "everything": "policy"})
    state, observations = jax.jit(env.reset)(jax.random.key(0))
    inner_state, inner = jax.jit(walk.reset)(jax.random.key(0))
    step, inner_step = jax.jit(env.step), jax.jit(walk.step)
    for _ in range(4):  # beyond the time limit
        np.testing.assert_array_equal(observations["everything"], inner["policy"])
        np.testing.assert_array_equal(observations["noise_and_origin"], inner["policy"][:, [2, 0]])
        assert set(observations) == {"noise_and_origin", "everything"}
        state, timestep = step(state, jnp.ones((4, 1)))
        inner_state, expected = inner_step(inner_state, jnp.ones((4, 1)))
        final, inner_final = timestep.final_observations, expected.final_observations["policy"]
        np.testing.assert_array_equal(final["noise_and_origin"], inner_final[:, [2, 0]])
        np.testing.assert_array_equal(timestep.rewards, expected.rewards)
        observations, inner = timestep.observations, expected.observations
    assert env.max_episode_length == 3
    jax.tree.map(lambda a, b: None, env.begin_iteration(state, jax.random.key(1)), state)


def test_a_part_has_a_part_of_what_is_within(walk):
    env = regroup(walk, {"noise_and_origin": ("policy", [2, 0])})
    part = env.part(2)
    assert (part.num_envs, part.env.num_envs, env.env.num_envs) == (2, 2, 4)
    state, observations = jax.eval_shape(part.reset, jax.random.key(0))
    assert {x.shape[0] for x in jax.tree.leaves((state, observations))} == {2}


class Camera(Env):
    """Sees a picture, and hands over no final observations."""

    num_envs, num_actions = 2, 1

    def reset(self, key):
        return jnp.zeros(2), {"camera": jnp.zeros((2, 1, 3, 3)), "policy": jnp.zeros((2, 1))}

    def step(self, state, actions):
        _, observations = self.reset(None)
        return state, TimeStep(observations, state, state > 1, state > 1)


def test_pictures_pass_whole_and_final_observations_may_lack():
    env = regroup(Camera(), {"eye": "camera"})
    state, observations = env.reset(jax.random.key(0))
    assert observations["eye"].shape == (2, 1, 3, 3)
    assert env.step(state, jnp.zeros((2, 1)))[1].final_observations is None


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"a": "polcy"}, r"'a' shows 'polcy'.*\['camera', 'policy'\]\. Did you mean 'policy'"),
        ({"a": ("policy", [0, 1])}, r"selects the entries \[0, 1\] of 'policy', which has 1\. Name some of 0 to 0"),
        ({"a": ("policy", [])}, r"selects the entries \[\]"),
        ({"a": ("camera", [0])}, r"'camera' has the shape \(1, 3, 3\)"),
    ],
)
def test_what_is_not_there_is_named(groups, says):
    with pytest.raises(ValueError, match=says):
        regroup(Camera(), groups)
