"""Categorical distribution, for discrete actions."""

from __future__ import annotations

import distrax
import jax
import jax.numpy as jnp

from rsl_jax.distributions.base import Distribution
from rsl_jax.types import Array, DistributionParams


def categorical(output_dim: int) -> Distribution:
    """Discrete actions whose unnormalised log-probabilities are the network's outputs (not in RSL-RL).

    Args:
        output_dim: number of discrete actions, ``A``.

    Returns:
        the distribution; its parameters are ``(logits,)``, ``[..., A]``, its actions are int32 ``[...]``. Its
        deterministic action is the most probable one.
    """

    def choice(params: DistributionParams) -> distrax.Categorical:
        (logits,) = params
        return distrax.Categorical(logits)

    def params(output: Array, extra: object) -> DistributionParams:
        del extra
        return (output,)

    return Distribution(
        output_dim=output_dim,
        params=params,
        sample=lambda params, key: jax.random.categorical(key, params[0]).astype(jnp.int32),
        log_prob=lambda params, actions: choice(params).log_prob(actions),
        entropy=lambda params: choice(params).entropy(),
        kl=lambda old, new: choice(old).kl_divergence(choice(new)),
        mode=lambda params: jnp.argmax(params[0], axis=-1).astype(jnp.int32),
        std=None,
        discrete=True,
        readout=("argmax",),
    )
