"""Symmetry: a robot that looks the same in the mirror should act the same in the mirror.

Mirrored copies of what was collected are learned from as if they had been collected (data augmentation), or the policy
is held to do in the mirror the mirror image of what it does (mirror loss), or both. With neither the loss is only
logged.

Source: Mittal et al., "Symmetry considerations for learning task symmetric robot policies" (2024), with RSL-RL's
choices.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rsl_jax.config import RunnerConfig, SymmetryConfig
from rsl_jax.extensions.base import ActAt, Extension
from rsl_jax.extensions.mirror import AugmentationFunction, call, check_mirror, mirror_function, try_out
from rsl_jax.registry import resolve_callable
from rsl_jax.types import Array, Metrics, Observations, Spec


def symmetry(
    cfg: RunnerConfig,
    spec: Spec,
    *,
    obs_groups: Mapping[str, tuple[str, ...]],
    recurrent: bool = False,
    axis_name: str | None = None,
) -> Extension:
    """Build symmetry; see :func:`rsl_jax.extensions.build_extensions` for the arguments.

    Raises:
        ValueError: for recurrent models, discrete actions, or a mirror that does not fit the environment.
        TypeError: for a function that does not keep its contract.
    """
    del axis_name
    algorithm: Any = cfg.algorithm
    section: SymmetryConfig = algorithm.symmetry_cfg
    if recurrent:
        raise ValueError(
            "symmetry_cfg mirrors single samples, so it needs feed-forward models, as in RSL-RL. Take MLPModel or "
            "CNNModel for actor and critic, or set symmetry_cfg to null."
        )
    if spec.discrete:
        raise ValueError(
            "symmetry_cfg mirrors vectors, but an action of this environment is one choice. Set symmetry_cfg to null."
        )
    if not (section.use_data_augmentation or section.use_mirror_loss):
        warnings.warn(
            "symmetry_cfg switches on neither use_data_augmentation nor use_mirror_loss: its loss is only logged.",
            stacklevel=2,
        )
    groups = [group for name in ("actor", "critic") for group in obs_groups[name]]
    function = augmentation_function(section, spec, groups)

    def mirrored(observations: Observations | None, actions: Array | None) -> tuple[Any, Any]:
        # Samples of feed-forward models are blocks of one step, which the function need not know.
        given = jax.tree.map(lambda x: x[0], (observations, actions))
        return jax.tree.map(lambda x: x[None], call(function, spec.env, *given))

    def loss(act_at: ActAt, actions: Array, observations: Observations) -> tuple[Array | float, Metrics]:
        size = next(iter(observations.values())).shape[1]
        if section.use_data_augmentation:
            in_the_mirror = actions[:, size:]
        else:
            in_the_mirror = act_at(jax.tree.map(lambda x: x[:, size:], mirrored(observations, None)[0]))
        wanted = mirrored(None, actions[:, :size])[1][:, size:]
        value = jnp.mean(jnp.square(in_the_mirror - jax.lax.stop_gradient(wanted)))
        return (section.mirror_loss_coeff * value if section.use_mirror_loss else 0.0), {"symmetry": value}

    return Extension(loss=loss, augment=mirrored) if section.use_data_augmentation else Extension(loss=loss)


def augmentation_function(section: SymmetryConfig, spec: Spec, groups: Sequence[str]) -> AugmentationFunction:
    """The function that a config means, once it was found to keep its contract.

    Args:
        section: the config's section.
        spec: the environment. Where it is not there (``spec.env`` is None, as when a policy is only loaded), functions
            of the user's are taken on trust.
        groups: observation groups that must be mirrored.

    Raises:
        ValueError: if a mirror does not fit the environment.
        TypeError: if a function does not keep its contract.
    """
    if section.mirror_spec is not None:
        check_mirror(section.mirror_spec, spec, groups)
        return mirror_function(section.mirror_spec)
    assert section.data_augmentation_func is not None, "SymmetryConfig asks for one of the two"
    function = resolve_callable(section.data_augmentation_func, {}, "data_augmentation_func")
    if spec.env is not None:
        try_out(function, spec, groups)
    return function
