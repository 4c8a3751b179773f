"""Policies as PyTorch modules that TorchScript can compile; imported only where PyTorch is.

Submodules have RSL-RL's names (``obs_normalizer``, ``cnns``, ``rnn``, ``mlp``, ``deterministic_output``) and calls are
RSL-RL's: ``forward(obs)``, of policies with images ``forward(obs, images)``; ``reset()``; hidden states in
``hidden_state`` and ``cell_state`` ``[layers, 1, hidden]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

EPS = 1e-2
"""Added to the deviation of a normaliser."""


class Normalizer(nn.Module):
    """``(x - mean) / (std + eps)``."""

    if TYPE_CHECKING:  # TorchScript does not support it
        _mean: Tensor
        _std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.eps = EPS
        self.register_buffer("_mean", torch.zeros(1, size))
        self.register_buffer("_std", torch.ones(1, size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[B, D]``."""
        return (x - self._mean) / (self._std + self.eps)


class Rows(nn.Module):
    """Split of ``[B, 2 * A]`` into two rows, ``[B, 2, A]``."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.actions = actions

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows."""
        return x.view(-1, 2, self.actions)


class FirstRow(nn.Module):
    """The means ``[B, A]`` of ``[B, 2, A]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the first row."""
        return x[:, 0]


class BetaMean(nn.Module):
    """The mean ``[B, A]`` of a stretched Beta distribution whose parameters come from ``[B, 2, A]``."""

    def __init__(self, low: float, scale: float) -> None:
        super().__init__()
        self.low, self.scale = low, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean, within the range of the actions."""
        parameters = nn.functional.softplus(x) + 1.0
        return parameters[:, 0] / parameters.sum(1) * self.scale + self.low


class Likeliest(nn.Module):
    """The most probable action, int32 ``[B]``, of logits ``[B, A]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the action."""
        return x.argmax(-1).to(torch.int32)


class Policy(nn.Module):
    """Normaliser, MLP and the module that computes actions from its output.

    Base of the others, and the policy of models without images and recurrent layers.
    """

    def __init__(self, normalizer: nn.Module, mlp: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.obs_normalizer = normalizer
        self.mlp = mlp
        self.deterministic_output = output

    def forward(self, obs: Tensor) -> Tensor:
        """Compute actions ``[B, A]`` for all vectors, concatenated, ``[B, D]``."""
        return self.deterministic_output(self.mlp(self.obs_normalizer(obs)))

    @torch.jit.export
    def reset(self) -> None:
        """Do nothing: there is no hidden state."""


class ImagePolicy(nn.Module):
    """Policy with images, each through an encoder, beside vectors."""

    def __init__(self, normalizer: nn.Module, cnns: nn.ModuleList, mlp: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.obs_normalizer = normalizer
        self.cnns = cnns
        self.mlp = mlp
        self.deterministic_output = output

    def forward(self, obs: Tensor, images: list[Tensor]) -> Tensor:
        """Compute actions ``[B, A]`` for vectors ``[B, D]`` (``D`` may be 0) and images ``[B, C, H, W]`` in order."""
        features = [self.obs_normalizer(obs)]
        for index, cnn in enumerate(self.cnns):
            features.append(cnn(images[index]))
        return self.deterministic_output(self.mlp(torch.cat(features, -1)))

    @torch.jit.export
    def reset(self) -> None:
        """Do nothing: there is no hidden state."""


class GRUPolicy(nn.Module):
    """Policy with a GRU before the MLP, whose hidden state the module keeps; for one robot."""

    if TYPE_CHECKING:  # TorchScript does not support it
        hidden_state: Tensor

    def __init__(self, normalizer: nn.Module, rnn: nn.GRU, mlp: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.obs_normalizer = normalizer
        self.rnn = rnn
        self.mlp = mlp
        self.deterministic_output = output
        self.register_buffer("hidden_state", torch.zeros(rnn.num_layers, 1, rnn.hidden_size))

    def forward(self, obs: Tensor) -> Tensor:
        """Compute actions ``[1, A]`` for all vectors, concatenated, ``[1, D]``."""
        latent, hidden = self.rnn(self.obs_normalizer(obs).unsqueeze(0), self.hidden_state)
        self.hidden_state.copy_(hidden)
        return self.deterministic_output(self.mlp(latent.squeeze(0)))

    @torch.jit.export
    def reset(self) -> None:
        """Reset the hidden states."""
        self.hidden_state.zero_()


class LSTMPolicy(nn.Module):
    """Policy with an LSTM before the MLP, whose hidden states the module keeps; for one robot."""

    if TYPE_CHECKING:  # TorchScript does not support it
        hidden_state: Tensor
        cell_state: Tensor

    def __init__(self, normalizer: nn.Module, rnn: nn.LSTM, mlp: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.obs_normalizer = normalizer
        self.rnn = rnn
        self.mlp = mlp
        self.deterministic_output = output
        self.register_buffer("hidden_state", torch.zeros(rnn.num_layers, 1, rnn.hidden_size))
        self.register_buffer("cell_state", torch.zeros(rnn.num_layers, 1, rnn.hidden_size))

    def forward(self, obs: Tensor) -> Tensor:
        """Compute actions ``[1, A]`` for all vectors, concatenated, ``[1, D]``."""
        inputs = self.obs_normalizer(obs).unsqueeze(0)
        latent, (hidden, cell) = self.rnn(inputs, (self.hidden_state, self.cell_state))
        self.hidden_state.copy_(hidden)
        self.cell_state.copy_(cell)
        return self.deterministic_output(self.mlp(latent.squeeze(0)))

    @torch.jit.export
    def reset(self) -> None:
        """Reset the hidden states."""
        self.hidden_state.zero_()
        self.cell_state.zero_()


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "selu": nn.SELU,
    "relu": nn.ReLU,
    "crelu": nn.CELU,
    "lrelu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "identity": nn.Identity,
}
"""By RSL-RL's names."""

GLOBAL_POOLS: dict[str, type[nn.Module]] = {"max": nn.AdaptiveMaxPool2d, "avg": nn.AdaptiveAvgPool2d}
"""By RSL-RL's names."""

OUTPUTS: dict[str, type[nn.Module]] = {
    "output": nn.Identity,
    "first_row": FirstRow,
    "beta_mean": BetaMean,
    "argmax": Likeliest,
}
"""Modules that compute actions from the MLP's output, by the first entry of ``Distribution.readout``."""
