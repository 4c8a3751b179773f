"""Action distributions. A new one is a file and a line in :data:`DISTRIBUTIONS`."""

from collections.abc import Callable, Mapping

from rsl_jax.distributions.base import Distribution
from rsl_jax.distributions.beta import beta
from rsl_jax.distributions.categorical import categorical
from rsl_jax.distributions.gaussian import gaussian
from rsl_jax.distributions.heteroscedastic_gaussian import heteroscedastic_gaussian

DISTRIBUTIONS: Mapping[str, Callable[..., Distribution]] = {
    "GaussianDistribution": gaussian,
    "HeteroscedasticGaussianDistribution": heteroscedastic_gaussian,
    "BetaDistribution": beta,
    "CategoricalDistribution": categorical,
}

__all__ = ["DISTRIBUTIONS", "Distribution", "beta", "categorical", "gaussian", "heteroscedastic_gaussian"]
