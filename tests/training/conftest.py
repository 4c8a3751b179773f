"""One small run, compiled once for all tests here."""

import pytest

from rsl_jax.env import vectorize
from tests.environments import PointMass
from tests.helpers import small_config


@pytest.fixture(scope="session")
def env():
    return vectorize(PointMass(), 16, max_episode_length=20)


@pytest.fixture(scope="session")
def cfg():
    return small_config()
