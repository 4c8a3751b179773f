"""Environments with a camera."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import WithCamera, draw_segments, vectorize
from tests.environments import PointMass


def draw(position):
    """A single bright pixel row by the position."""
    return jnp.broadcast_to(position[0], (1, 2, 3))


def test_a_horizontal_line_is_where_it_was_drawn():
    image = draw_segments(jnp.array([[0.0, 0.5]]), jnp.array([[1.0, 0.5]]), size=(5, 10), radius=0.25, extent=1.25)
    # Pixels are half a unit: rows have their centres at y = 1, 0.5, ..., columns at x = -2.25, -1.75, ...
    np.testing.assert_allclose(image[0, 1], [0, 0, 0, 0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-5)
    np.testing.assert_allclose(image[0, 3:], 0)
    assert image.shape == (1, 5, 10)


def test_of_two_lines_the_brighter_one_shows():
    starts, ends = jnp.array([[-1.0, 0.0], [0.0, -1.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
    both = draw_segments(starts, ends, size=(8, 8))
    each = [draw_segments(starts[i : i + 1], ends[i : i + 1], size=(8, 8)) for i in range(2)]
    np.testing.assert_array_equal(both, np.maximum(*each))


def test_a_line_of_no_length_is_a_dot_and_has_finite_gradients():
    gradient = jax.grad(lambda x: jnp.sum(draw_segments(x, x, size=(6, 6))))(jnp.array([[0.1, 0.2]]))
    assert np.all(np.isfinite(gradient))


def test_frames_are_the_last_ones_newest_last_and_an_episode_starts_with_copies():
    env = WithCamera(PointMass(), draw, frames=2)
    state, first = env.reset(jax.random.key(0))
    assert first["camera"].shape == (2, 2, 3)
    np.testing.assert_array_equal(first["camera"][0], first["camera"][1])
    state, transition = env.step(state, jnp.ones(1))
    np.testing.assert_array_equal(transition.observations["camera"][0], first["camera"][1])
    np.testing.assert_array_equal(transition.observations["camera"][1], jnp.full((2, 3), state.env[0]))
    np.testing.assert_array_equal(transition.observations["policy"], state.env)


def test_a_reset_begins_the_frames_anew():
    env = vectorize(WithCamera(PointMass(), draw, frames=2), 3, max_episode_length=2)
    assert env.num_actions == 1
    state, _ = env.reset(jax.random.key(0))
    for _ in range(2):
        state, timestep = env.step(state, jnp.ones((3, 1)))
    assert timestep.dones.all()
    np.testing.assert_array_equal(timestep.observations["camera"][:, 0], timestep.observations["camera"][:, 1])
    assert np.any(timestep.final_observations["camera"][:, 0] != timestep.final_observations["camera"][:, 1])
    assert env.render(state).shape == (16, 24, 3)


def test_refuses_what_it_cannot_film():
    with pytest.raises(ValueError, match="frames is 0"):
        WithCamera(PointMass(), draw, frames=0)
    with pytest.raises(ValueError, match="already has an observation group 'policy'"):
        WithCamera(PointMass(), draw, group="policy").reset(jax.random.key(0))
