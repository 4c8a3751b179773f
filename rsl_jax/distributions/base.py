"""The interface of action distributions: a record of pure functions on parameter arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rsl_jax.types import Array, DistributionParams, Key


def no_extra() -> tuple[()]:
    """Return no parameters beside the network's output."""
    return ()


class Distribution(NamedTuple):
    """Distribution over actions; a custom one is a callable ``(output_dim, **cfg) -> Distribution``.

    Actions are vectors ``[..., A]``, or discrete, int32 ``[...]`` below ``A``, where ``discrete``.

    Attributes:
        output_dim: required output of the network: a size or a shape.
        params: ``(network output [..., *output_dim], extra) -> DistributionParams``, leaves ``[..., A]``.
        sample: ``(params, key) -> actions``.
        log_prob: ``(params, actions) -> [...]``, summed over the actions.
        entropy: ``(params) -> [...]``, summed over the actions.
        kl: ``(old params, new params) -> KL(old || new) [...]``, summed over the actions.
        mode: ``(params) -> actions``, the deterministic action (the mean, where there is one).
        std: ``(params) -> [..., A]``, the standard deviation, for the log; None where it has no meaning.
        init_extra: ``() -> pytree`` of learnable parameters beside the network's (a standard deviation).
        learn_extra: whether those are trained.
        head_kernel: changes the initial kernel ``[fan_in, prod(output_dim)]`` of the network's last layer.
        head_bias: likewise for its bias.
        discrete: whether actions are discrete, ``0`` to ``A - 1``.
        readout: how ``mode`` follows from the network's output, for exports that do not trace it: ``("output",)`` as it
            is, ``("first_row",)``, ``("beta_mean", smallest, width)``, ``("argmax",)``; None where it is none of these.
    """

    output_dim: int | tuple[int, ...]
    params: Callable[[Array, Any], DistributionParams]
    sample: Callable[[DistributionParams, Key], Array]
    log_prob: Callable[[DistributionParams, Array], Array]
    entropy: Callable[[DistributionParams], Array]
    kl: Callable[[DistributionParams, DistributionParams], Array]
    mode: Callable[[DistributionParams], Array]
    std: Callable[[DistributionParams], Array] | None
    init_extra: Callable[[], Any] = no_extra
    learn_extra: bool = True
    head_kernel: Callable[[Array], Array] | None = None
    head_bias: Callable[[Array], Array] | None = None
    discrete: bool = False
    readout: tuple[Any, ...] | None = None
