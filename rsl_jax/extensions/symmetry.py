"""Symmetry: a robot that looks the same in the mirror should act the same in the mirror.

Mirrored copies of what was collected are learned from as if they had been collected (data augmentation), or the policy
is held to do in the mirror the mirror image of what it does (mirror loss), or both. With neither the loss is only
logged.

Source: Mittal et al., "Symmetry considerations for learning task symmetric robot policies" (2024), with RSL-RL's
choices.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from rsl_jax.config import SymmetryConfig
from rsl_jax.extensions.base import ActAt, Extension
from rsl_jax.extensions.mirror import AugmentationFunction, call, check_mirror, mirror_function, try_out
from rsl_jax.registry import load
from rsl_jax.types import Array, Metrics, Observations, Spec


@dataclasses.dataclass(frozen=True)
class Symmetry:
    """The static parts of symmetry; every method is a pure function.

    Attributes:
        cfg: its section of the config.
        function: appends mirror images to samples.
        env: the environment, for the function.
    """

    cfg: SymmetryConfig
    function: AugmentationFunction
    env: Any = None

    section: ClassVar[type] = SymmetryConfig

    @classmethod
    def build(
        cls,
        section: SymmetryConfig,
        spec: Spec,
        *,
        obs_groups: Mapping[str, tuple[str, ...]],
        recurrent: bool = False,
    ) -> Extension:
        """Build symmetry; see :func:`rsl_jax.extensions.build_extensions` for the arguments.

        Raises:
            ValueError: for recurrent models, discrete actions, or a mirror that does not fit the environment.
            TypeError: for a function that does not keep its contract.
        """
        if recurrent:
            raise ValueError(
                "symmetry_cfg mirrors single samples, so it needs feed-forward models, as in RSL-RL. Take MLPModel or "
                "CNNModel for actor and critic, or set symmetry_cfg to null."
            )
        if spec.discrete:
            raise ValueError(
                "symmetry_cfg mirrors vectors, but an action of this environment is one choice. Set symmetry_cfg to "
                "null."
            )
        if not (section.use_data_augmentation or section.use_mirror_loss):
            warnings.warn(
                "symmetry_cfg switches on neither use_data_augmentation nor use_mirror_loss: its loss is only logged.",
                stacklevel=2,
            )
        groups = [group for name in ("actor", "critic") for group in obs_groups[name]]
        return cls(section, augmentation_function(section, spec, groups), spec.env).extension()

    def extension(self) -> Extension:
        """The record that PPO composes."""
        if self.cfg.use_data_augmentation:
            return Extension(loss=self.loss, augment=self.mirrored)
        return Extension(loss=self.loss)

    def mirrored(self, observations: Observations | None, actions: Array | None) -> tuple[Any, Any]:
        """Samples ``[1, n, ...]`` with their mirror images appended; either argument may be None."""
        # Samples of feed-forward models are blocks of one step, which the function need not know.
        given = jax.tree.map(lambda x: x[0], (observations, actions))
        return jax.tree.map(lambda x: x[None], call(self.function, self.env, *given))

    def loss(self, act_at: ActAt, actions: Array, observations: Observations) -> tuple[Array | float, Metrics]:
        """How far the policy in the mirror is from the mirror image of the policy."""
        size = next(iter(observations.values())).shape[1]
        if self.cfg.use_data_augmentation:
            in_the_mirror = actions[:, size:]
        else:
            in_the_mirror = act_at(jax.tree.map(lambda x: x[:, size:], self.mirrored(observations, None)[0]))
        wanted = self.mirrored(None, actions[:, :size])[1][:, size:]
        value = jnp.mean(jnp.square(in_the_mirror - jax.lax.stop_gradient(wanted)))
        return (self.cfg.mirror_loss_coeff * value if self.cfg.use_mirror_loss else 0.0), {"symmetry": value}


def augmentation_function(section: SymmetryConfig, spec: Spec, groups: Sequence[str]) -> AugmentationFunction:
    """The function that a config means, once it was found to keep its contract.

    Args:
        section: the config's section.
        spec: the environment. Where it is not there (``spec.env`` is None, as when a policy is only loaded), functions
            of the user's are taken on trust; so they are where they were tried out before (``spec.tried_out``).
        groups: observation groups that must be mirrored.

    Raises:
        ValueError: if a mirror does not fit the environment.
        TypeError: if a function does not keep its contract.
    """
    if section.mirror_spec is not None:
        check_mirror(section.mirror_spec, spec, groups)
        return mirror_function(section.mirror_spec)
    assert section.data_augmentation_func is not None, "SymmetryConfig asks for one of the two"
    function = load(section.data_augmentation_func, "data_augmentation_func")
    if spec.env is not None and not spec.tried_out:
        try_out(function, spec, groups)
    return function
