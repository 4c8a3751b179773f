"""Action distributions: functions ``(num_actions, **arguments)`` that return a :class:`Distribution`.

A new one is a file and a line in :data:`rsl_jax.registry.PARTS`.
"""

from rsl_jax.distributions.base import Distribution
from rsl_jax.distributions.beta import beta
from rsl_jax.distributions.categorical import categorical
from rsl_jax.distributions.gaussian import gaussian
from rsl_jax.distributions.heteroscedastic_gaussian import heteroscedastic_gaussian

__all__ = ["Distribution", "beta", "categorical", "gaussian", "heteroscedastic_gaussian"]
