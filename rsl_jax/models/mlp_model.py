"""The feed-forward model, base of all models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsl_jax.config.keys import Activation, LayerSizes
from rsl_jax.distributions import Distribution
from rsl_jax.modules import MLP, init_normalizer, normalize, update_normalizer
from rsl_jax.types import Array, Carry, Observations, default_dtype


class MLPModel(nn.Module):
    """Normalised 1-D observation groups, concatenated, through an MLP.

    A model is a linen module with the methods below. Its variables are the collection ``params``, which gradients
    train, and others that are updated without them (``normalizer``). Its output are the parameters of its
    distribution, or an array ``[..., output_dim]`` without one.

    The first block of attributes is set by the algorithm, the second by the config.

    Attributes:
        obs_shapes: shape of every observation group, without the environments' axis.
        obs_groups: names of the model's groups, in order.
        output_dim: size of the output.
        distribution: distribution over the output, or None for a deterministic one.
        dtype: type to compute in, or None for that of the parameters.
        hidden_dims: sizes of the MLP's hidden layers; -1 means the size of its input.
        activation: name of the activation.
        obs_normalization: whether to normalise 1-D observations by their running moments.
    """

    obs_shapes: Mapping[str, tuple[int, ...]]
    obs_groups: tuple[str, ...]
    output_dim: int
    distribution: Distribution | None = None
    dtype: Any = None

    hidden_dims: LayerSizes = (256, 256, 256)
    activation: Activation = "elu"
    obs_normalization: bool = False

    def setup(self) -> None:
        """Create the submodules; called by linen."""
        distribution = self.distribution
        if self.obs_normalization:
            self.normalizer = self.variable("normalizer", "obs", init_normalizer, (self.obs_dim,), default_dtype())
        self.mlp = MLP(
            distribution.output_dim if distribution else self.output_dim,
            hidden_dims=tuple(self.hidden_dims),
            activation=self.activation,
            head_kernel=distribution.head_kernel if distribution else None,
            head_bias=distribution.head_bias if distribution else None,
            dtype=self.dtype,
        )
        self.distribution_extra = self._distribution_extra()

    @classmethod
    def check(
        cls, obs_set: str, obs_shapes: Mapping[str, tuple[int, ...]], obs_groups: tuple[str, ...], **kwargs: Any
    ) -> None:
        """Reject observations that this model (with the config's ``kwargs``) does not support, before it is built.

        Raises:
            ValueError: if they do not fit; names the group, its shape and the remedy.
        """
        del kwargs
        for group in obs_groups:
            if len(obs_shapes[group]) != 1:
                raise ValueError(
                    f"{cls.__name__} takes 1-D observation groups; '{group}' of the set '{obs_set}' has shape "
                    f"{obs_shapes[group]} an environment. Flatten it in the environment, leave it out of "
                    f"obs_groups['{obs_set}'], or use a CNNModel for images."
                )

    @property
    def groups_1d(self) -> tuple[str, ...]:
        """Names of the groups that are vectors, in order."""
        return tuple(group for group in self.obs_groups if len(self.obs_shapes[group]) == 1)

    @property
    def obs_dim(self) -> int:
        """Total size of all vectors."""
        return sum(self.obs_shapes[group][0] for group in self.groups_1d)

    def initial_carry(self, num_envs: int) -> Carry:
        """Return the hidden states at the start of an episode, leaves ``[num_envs, ...]``; ``()`` here."""
        del num_envs
        return ()

    def __call__(self, observations: Observations, carry: Carry) -> tuple[Any, Carry]:
        """Run one step: from observations, leaves ``[N, ...]``, to the output ``[N, ...]`` and next hidden states."""
        latent, carry = self.latent(observations, carry)
        return self.head(latent), carry

    def unroll(self, observations: Observations, carry: Carry, dones: Array) -> Any:
        """Run many steps at once.

        Args:
            observations: leaves ``[T, N, ...]``.
            carry: hidden states before the first step, leaves ``[N, ...]``.
            dones: whether an episode ended with the step, ``[T, N]``; hidden states are zero after it.

        Returns:
            the output of every step, leaves ``[T, N, ...]``.
        """
        return self.head(self.unroll_latent(observations, carry, dones)[0])

    def unroll_ahead(self, observations: Observations, following: Observations, carry: Carry, dones: Array) -> Any:
        """Compute the output at the observations that followed each step, with the hidden states after that step.

        Args:
            observations: leaves ``[T, N, ...]``.
            following: observations right after each of them, before any reset; leaves ``[T, N, ...]``.
            carry: hidden states before the first step, leaves ``[N, ...]``.
            dones: whether an episode ended with the step, ``[T, N]``.

        Returns:
            the output, leaves ``[T, N, ...]``.
        """
        del observations
        return self.unroll(following, carry, dones)

    def unroll_mode(self, observations: Observations, carry: Carry, dones: Array) -> tuple[Array, Carry]:
        """Run many steps of the deterministic output ``[T, N, output_dim]``; returns the last hidden states, too.

        These are zero where an episode ended with it. Arguments are those of :meth:`unroll`.
        """
        latent, carry = self.unroll_latent(observations, carry, dones)
        return self.deterministic(latent), carry

    def mode(self, observations: Observations, carry: Carry) -> tuple[Array, Carry]:
        """Run one step of the deterministic output ``[N, output_dim]``."""
        latent, carry = self.latent(observations, carry)
        return self.deterministic(latent), carry

    def latent(self, observations: Observations, carry: Carry) -> tuple[Array, Carry]:
        """Compute the MLP's input, ``[..., D]``, and the next hidden states."""
        return self.normalized(observations), carry

    def unroll_latent(self, observations: Observations, carry: Carry, dones: Array) -> tuple[Array, Carry]:
        """Compute the MLP's input for many steps, ``[T, N, D]``, and the hidden states after the last one."""
        del dones
        return self.latent(observations, carry)

    def head(self, latent: Array) -> Any:
        """Compute the output from the latent."""
        output = self._network_output(latent)
        return self.distribution.params(output, self.distribution_extra) if self.distribution else output

    def deterministic(self, latent: Array) -> Array:
        """Compute the deterministic output from the latent."""
        output = self.head(latent)
        return self.distribution.mode(output) if self.distribution else output

    def concatenated(self, observations: Observations) -> Array:
        """Concatenate the 1-D groups, ``[..., obs_dim]``; as floats, whatever numbers the environment returns."""
        return jnp.concatenate([observations[group].astype(default_dtype()) for group in self.groups_1d], axis=-1)

    def normalized(self, observations: Observations) -> Array:
        """Concatenate the 1-D groups, normalised if configured."""
        x = self.concatenated(observations)
        return normalize(self.normalizer.value, x) if self.obs_normalization else x

    def update_normalization(self, observations: Observations, axis_name: str | None = None) -> None:
        """Update the moments with observations with leaves ``[..., D]``; call with ``mutable=["normalizer"]``."""
        if self.obs_normalization:
            x = self.concatenated(observations)
            self.normalizer.value = update_normalizer(self.normalizer.value, x, axis_name=axis_name)

    def _distribution_extra(self) -> Any:
        distribution = self.distribution
        if distribution is None or not jax.tree.leaves(distribution.init_extra()):
            return ()
        if distribution.learn_extra:
            return self.param("distribution", lambda _: distribution.init_extra())
        # Constants are not parameters, so that no optimiser moves them (weight decay would).
        return self.variable("constants", "distribution", distribution.init_extra).value

    def _network_output(self, latent: Array) -> Array:
        # Distributions and losses are computed in full precision whatever the network computes in.
        return self.mlp(latent).astype(default_dtype())
