"""The model for images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import DenyList

from rsl_jax.config import CNNConfig, arguments_of, with_arguments
from rsl_jax.models.mlp_model import MLPModel
from rsl_jax.modules import TRAINING, Encoders, plan_layers, resolve_activation
from rsl_jax.registry import resolve_part
from rsl_jax.types import Array, Carry, Observations

Shapes = Mapping[str, tuple[int, ...]]

ENCODERS = "cnns"
"""Name of the encoders in a model's collections of variables."""


class CNNModel(MLPModel):
    """Images through one encoder per group, beside normalised 1-D observation groups (if any), through an MLP.

    Attributes:
        cnn_cfg: the encoder of all image groups, or a mapping from their names to encoders.
    """

    cnn_cfg: CNNConfig | Mapping[str, CNNConfig] | None = None

    def setup(self) -> None:
        """Create the submodules; called by linen."""
        super().setup()
        images = image_groups(self.obs_shapes, self.obs_groups)
        self.cnns = Encoders(encoders_by_group(self.cnn_cfg, images), self.dtype)

    @classmethod
    def check(cls, obs_set: str, obs_shapes: Shapes, obs_groups: tuple[str, ...], **kwargs: Any) -> None:
        """Reject observations and encoders that do not fit, before anything is built.

        Raises:
            ValueError: if they do not fit; names the group, its shape and the remedy.
        """
        for group in obs_groups:
            if len(obs_shapes[group]) not in (1, 3):
                raise ValueError(
                    f"{cls.__name__} takes 1-D observation groups and images [C, H, W]; '{group}' of the set "
                    f"'{obs_set}' has shape {obs_shapes[group]} an environment. Bring it into one of the two forms in "
                    f"the environment, or leave it out of obs_groups['{obs_set}']."
                )
        images = image_groups(obs_shapes, obs_groups)
        if not images:
            raise ValueError(
                f"{cls.__name__} needs an image group [C, H, W]; the groups of the set '{obs_set}' are "
                f"{ {group: obs_shapes[group] for group in obs_groups} }. Add one to obs_groups['{obs_set}'], or use "
                "an MLPModel."
            )
        if kwargs.get("obs_normalization") and len(images) == len(obs_groups):
            raise ValueError(
                f"obs_normalization normalises 1-D observation groups; the set '{obs_set}' has only the images "
                f"{images}. Switch it off; an encoder normalises with its key 'norm'."
            )
        for group, cfg in encoders_by_group(kwargs.get("cnn_cfg"), images).items():
            check_encoder(
                cfg, f"cnn_cfg for '{group}' of the set '{obs_set}', shape {obs_shapes[group]}", obs_shapes[group]
            )

    def unroll_latent(self, observations: Observations, carry: Carry, dones: Array) -> tuple[Array, Carry]:
        """Compute the MLP's input for many steps, one after the other: the encoders' intermediate results are large."""
        if dones.shape[0] == 1:
            return self.latent(observations, carry)
        moving = TRAINING if self.is_mutable_collection(*TRAINING) else ()
        scan: Any = nn.scan(
            lambda model, _, step: ((), model.latent(step, ())[0]),
            variable_carry=moving,
            variable_broadcast=DenyList(moving),
            split_rngs={},
        )
        return scan(self, (), observations)[1], carry

    def latent(self, observations: Observations, carry: Carry) -> tuple[Array, Carry]:
        """Compute the MLP's input, ``[..., D]``: 1-D observations first, then the images' features."""
        vectors = [self.normalized(observations)] if self.groups_1d else []
        return jnp.concatenate([*vectors, *self.cnns(observations)], axis=-1), carry


def with_encoders_of(actor: Any, critic: Any, obs_shapes: Shapes, obs_groups: Mapping[str, tuple[str, ...]]) -> Any:
    """Return the critic's section, with the actor's encoders in place of its own.

    Raises:
        ValueError: if one of the two has no encoders, or they use different images.
    """
    if not all(has_encoders(section) for section in (actor, critic)):
        raise ValueError(
            "share_cnn_encoders lets the critic use the actor's encoders, so both must be a CNNModel; the actor is "
            f"{actor.class_name}, the critic {critic.class_name}. Change the one that is not, or switch sharing off."
        )
    seen = {name: image_groups(obs_shapes, obs_groups[name]) for name in ("actor", "critic")}
    if set(seen["actor"]) != set(seen["critic"]):
        raise ValueError(
            f"share_cnn_encoders needs the same image groups for both; the actor sees {seen['actor']}, the critic "
            f"{seen['critic']}. Change obs_groups, or switch sharing off."
        )
    return with_arguments(critic, cnn_cfg=arguments_of(actor).get("cnn_cfg"))


def has_encoders(section: Any) -> bool:
    """Return whether a section describes a :class:`CNNModel`, or a custom model that derives from it."""
    model_class = resolve_part(section.class_name, "model")
    return isinstance(model_class, type) and issubclass(model_class, CNNModel)


def image_groups(obs_shapes: Shapes, obs_groups: tuple[str, ...]) -> tuple[str, ...]:
    """Return the groups that are images, in order."""
    return tuple(group for group in obs_groups if len(obs_shapes[group]) == 3)


def encoders_by_group(
    cnn_cfg: CNNConfig | Mapping[str, CNNConfig] | None, groups: tuple[str, ...]
) -> dict[str, CNNConfig]:
    """Return the encoder of each image group.

    Raises:
        ValueError: if there is none for a group, or one for a group that does not exist.
    """
    if cnn_cfg is None:
        raise ValueError(
            f"The image groups {groups} need a 'cnn_cfg', for example {{'output_channels': [16, 32], 'kernel_size': 3, "
            "'stride': 2}}."
        )
    if isinstance(cnn_cfg, CNNConfig):
        return dict.fromkeys(groups, cnn_cfg)
    for group in (*cnn_cfg, *groups):
        if group not in cnn_cfg or group not in groups:
            raise ValueError(
                f"cnn_cfg has encoders for {tuple(cnn_cfg)}, the image groups are {groups}: '{group}' is only among "
                f"the {'encoders' if group in cnn_cfg else 'groups'}. Give one encoder for each group, or a single one "
                "for all of them."
            )
    return {group: cnn_cfg[group] for group in groups}


def check_encoder(cfg: CNNConfig, what: str, shape: tuple[int, ...]) -> None:
    """Reject an encoder whose output for images ``[C, H, W]`` is not a vector; ``what`` names it in errors.

    Raises:
        ValueError: if it is not; says why.
    """
    if not cfg.flatten:
        raise ValueError(f"{what}: the MLP behind the encoder takes vectors. Set its flatten to true.")
    resolve_activation(cfg.activation)
    try:
        plan_layers(cfg, shape[1:])
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
