"""Action distributions. A new one is a file and a line in :data:`DISTRIBUTIONS`."""

from collections.abc import Callable, Mapping

from rsl_jax.distributions.base import Distribution
from rsl_jax.distributions.gaussian import gaussian

DISTRIBUTIONS: Mapping[str, Callable[..., Distribution]] = {
    "GaussianDistribution": gaussian,
}

__all__ = ["DISTRIBUTIONS", "Distribution", "gaussian"]
