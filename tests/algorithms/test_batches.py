"""Mini-batches of a rollout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import batches
from rsl_jax.algorithms.batches import shuffle


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1024, 1025])
def test_a_shuffle_holds_every_index_once(size):
    order = jax.jit(shuffle, static_argnums=1)(jax.random.key(0), size)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_every_place_is_as_likely_for_every_index():
    size, shuffles = 5, 20_000
    orders = jax.vmap(lambda key: shuffle(key, size))(jax.random.split(jax.random.key(1), shuffles))
    counts = np.stack([np.bincount(place, minlength=size) for place in np.asarray(orders).T])
    expected = shuffles / size
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    following = np.bincount(np.asarray(orders[:, 0] * size + orders[:, 1]), minlength=size**2)
    pairs = following.reshape(size, size)[~np.eye(size, dtype=bool)]
    assert np.all(np.abs(pairs - shuffles / 20) < 5 * np.sqrt(shuffles / 20))


def test_more_samples_than_the_bits_are_for_are_permuted(monkeypatch):
    monkeypatch.setattr(batches, "MOST_BITS_OF_INDEX", 3)
    order = shuffle(jax.random.key(2), 9)
    np.testing.assert_array_equal(order, jax.random.permutation(jax.random.key(2), 9))
