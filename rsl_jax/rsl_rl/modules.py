"""Stand-ins for RSL-RL's modules, to import and to derive from."""

from typing import Any

from rsl_jax.rsl_rl.stand_ins import stand_in

__all__ = [
    "CNN",
    "MLP",
    "RNN",
    "BetaDistribution",
    "Distribution",
    "EmpiricalDiscountedVariationNormalization",
    "EmpiricalNormalization",
    "GaussianDistribution",
    "HeteroscedasticGaussianDistribution",
    "HiddenState",
]

_DISTRIBUTION = (
    "A distribution is a record of pure functions here (rsl_jax.distributions.Distribution). Write yours as a function "
    "that returns one, and give its import path as class_name: docs/custom_parts.md."
)
_NORMALIZER = (
    "Normalisers are pure functions on their moments here (rsl_jax.modules.normalization); obs_normalization in a "
    "model's section enables one, and a custom model calls them: docs/custom_parts.md."
)

HiddenState = Any
"""Hidden states of any kind."""

CNN = stand_in("CNN", "CNN: see :mod:`rsl_jax.modules.cnn`.")
MLP = stand_in("MLP", "MLP: see :class:`rsl_jax.modules.MLP`.")
RNN = stand_in("RNN", "GRU or LSTM: see :mod:`rsl_jax.modules.rnn`.")
EmpiricalNormalization = stand_in("EmpiricalNormalization", "Running moments.", way_out=_NORMALIZER)
EmpiricalDiscountedVariationNormalization = stand_in(
    "EmpiricalDiscountedVariationNormalization", "Running moments of discounted sums.", way_out=_NORMALIZER
)
Distribution = stand_in("Distribution", "Action distribution.", way_out=_DISTRIBUTION)
GaussianDistribution = stand_in("GaussianDistribution", "Gaussian.", way_out=_DISTRIBUTION)
HeteroscedasticGaussianDistribution = stand_in(
    "HeteroscedasticGaussianDistribution",
    "Gaussian whose standard deviation depends on the observations.",
    way_out=_DISTRIBUTION,
)
BetaDistribution = stand_in("BetaDistribution", "Beta distribution on an interval.", way_out=_DISTRIBUTION)
