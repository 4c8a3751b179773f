"""The recurrent model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import jax

from rsl_jax.config.keys import Count, OneOf
from rsl_jax.models.mlp_model import MLPModel
from rsl_jax.modules import RNN, resolve_cell
from rsl_jax.modules.rnn import initial_carry
from rsl_jax.ops import reset_carry
from rsl_jax.types import Array, Carry, Observations


class RNNModel(MLPModel):
    """Normalised 1-D observation groups, concatenated, through an RNN, whose output goes through an MLP.

    Hidden states are a tuple over layers, each ``(h,)`` of a GRU or ``(h, c)`` of an LSTM, leaves ``[N, H]``.

    Attributes:
        rnn_type: kind of recurrent layer.
        rnn_hidden_dim: size ``H`` of each hidden state.
        rnn_num_layers: number of recurrent layers.
    """

    rnn_type: Annotated[str, OneOf(("lstm", "gru"))] = "lstm"
    rnn_hidden_dim: Count = 256
    rnn_num_layers: Count = 1

    def setup(self) -> None:
        """Create the submodules; called by linen."""
        super().setup()
        self.rnn = RNN(self.rnn_type, self.obs_dim, self.rnn_hidden_dim, self.rnn_num_layers, self.dtype)

    @classmethod
    def check(
        cls, obs_set: str, obs_shapes: Mapping[str, tuple[int, ...]], obs_groups: tuple[str, ...], **kwargs: Any
    ) -> None:
        """Reject observations and arguments that do not fit, before anything is built.

        Raises:
            ValueError: if they do not fit; names the group, its shape and the remedy; or the unknown ``rnn_type``.
        """
        super().check(obs_set, obs_shapes, obs_groups, **kwargs)
        resolve_cell(kwargs.get("rnn_type", cls.rnn_type))

    def initial_carry(self, num_envs: int) -> Carry:
        """Return the hidden states at the start of an episode: zeros ``[num_envs, H]``."""
        return initial_carry(
            self.rnn_type, hidden_dim=self.rnn_hidden_dim, num_layers=self.rnn_num_layers, num_envs=num_envs
        )

    def latent(self, observations: Observations, carry: Carry) -> tuple[Array, Carry]:
        """Compute the MLP's input, ``[..., H]``, and the next hidden states."""
        return self.rnn(self.normalized(observations), carry)

    def unroll_latent(self, observations: Observations, carry: Carry, dones: Array) -> tuple[Array, Carry]:
        """Run many steps at once; gradients reach back to the episode's or the rollout's start."""
        latent, visited = self.rnn.unroll(self.normalized(observations), carry, dones)
        return latent, reset_carry(jax.tree.map(lambda x: x[-1], visited), dones[-1])

    def unroll_ahead(self, observations: Observations, following: Observations, carry: Carry, dones: Array) -> Any:
        """Compute the output at the observations that followed each step, with the hidden states after that step."""
        _, visited = self.rnn.unroll(self.normalized(observations), carry, dones)
        return self(following, visited)[0]
