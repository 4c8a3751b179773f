"""Symmetry: a robot with a mirror symmetry should have a policy with the same symmetry.

Mirrored copies of the collected data are learned from like collected ones (data augmentation), or a loss makes the
policy's actions in mirrored states agree with its mirrored actions (mirror loss), or both. With neither the loss is
only logged.

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
        function: function that appends mirror images to samples.
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
            TypeError: for a function that does not follow the interface.
        """
        if recurrent:
            raise ValueError(
                "symmetry_cfg mirrors single samples, so it needs feed-forward models, as in RSL-RL. Take MLPModel or "
                "CNNModel for actor and critic, or set symmetry_cfg to null."
            )
        if spec.discrete:
            raise ValueError(
                "symmetry_cfg mirrors vectors, but actions of this environment are discrete. Set symmetry_cfg to null."
            )
        if not (section.use_data_augmentation or section.use_mirror_loss):
            warnings.warn(
                "symmetry_cfg switches on neither use_data_augmentation nor use_mirror_loss: its loss is only logged.",
                stacklevel=2,
            )
        groups = [group for name in ("actor", "critic") for group in obs_groups[name]]
        return cls(section, augmentation_function(section, spec, groups), spec.env).extension()

    def extension(self) -> Extension:
        """Return the record that PPO composes."""
        if self.cfg.use_data_augmentation:
            return Extension(loss=self.loss, augment=self.mirrored)
        return Extension(loss=self.loss)

    def mirrored(self, observations: Observations | None, actions: Array | None) -> tuple[Any, Any]:
        """Append mirror images to samples ``[1, n, ...]``; either argument may be None."""
        # Samples of feed-forward models are blocks of one step; the function does not see that axis.
        given = jax.tree.map(lambda x: x[0], (observations, actions))
        return jax.tree.map(lambda x: x[None], call(self.function, self.env, *given))

    def loss(self, act_at: ActAt, actions: Array, observations: Observations) -> tuple[Array | float, Metrics]:
        """Compute the mirror loss: the difference between actions in mirrored states and mirrored actions."""
        size = next(iter(observations.values())).shape[1]
        if self.cfg.use_data_augmentation:
            in_the_mirror = actions[:, size:]
        else:
            in_the_mirror = act_at(jax.tree.map(lambda x: x[:, size:], self.mirrored(observations, None)[0]))
        wanted = self.mirrored(None, actions[:, :size])[1][:, size:]
        value = jnp.mean(jnp.square(in_the_mirror - jax.lax.stop_gradient(wanted)))
        return (self.cfg.mirror_loss_coeff * value if self.cfg.use_mirror_loss else 0.0), {"symmetry": value}


def augmentation_function(section: SymmetryConfig, spec: Spec, groups: Sequence[str]) -> AugmentationFunction:
    """Return the mirror function of a config, after a check of its interface.

    Args:
        section: the config's section.
        spec: the environment. If it is absent (``spec.env`` is None, as when a policy is only loaded), custom functions
            are not checked, nor where they were tried out before (``spec.tried_out``).
        groups: observation groups that must be mirrored.

    Raises:
        ValueError: if a mirror does not fit the environment.
        TypeError: if a function does not follow the interface.
    """
    if section.mirror_spec is not None:
        check_mirror(section.mirror_spec, spec, groups)
        return mirror_function(section.mirror_spec)
    assert section.data_augmentation_func is not None, "SymmetryConfig asks for one of the two"
    function = load(section.data_augmentation_func, "data_augmentation_func")
    if spec.env is not None and not spec.tried_out:
        try_out(function, spec, groups)
    return function
