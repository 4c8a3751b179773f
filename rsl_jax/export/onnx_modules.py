"""Policies as PyTorch modules for ``torch.onnx.export``, with the interface that RSL-RL's clients export through.

Hidden states are inputs and outputs, as ONNX has no state. Imported only where PyTorch is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rsl_jax.export.torch_modules import GRUPolicy, ImagePolicy, LSTMPolicy


class OnnxPolicy(nn.Module):
    """Policy of vectors: ``actions = forward(obs)``.

    Attributes:
        is_recurrent: whether hidden states are inputs and outputs.
        input_size: total size of all vectors, ``D``.
        verbose: whether the exporter prints messages.
    """

    is_recurrent = False

    def __init__(self, policy: nn.Module, input_size: int, verbose: bool) -> None:
        super().__init__()
        self.policy: Any = policy
        self.input_size = input_size
        self.verbose = verbose

    def forward(self, obs: Tensor) -> Tensor:
        """Compute actions ``[B, A]`` for vectors ``[B, D]``."""
        return self.policy(obs)

    def get_dummy_inputs(self) -> tuple[Tensor, ...]:
        """Return inputs to trace with, for one robot."""
        return (torch.zeros(1, self.input_size),)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return ["obs"]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return ["actions"]


class OnnxImagePolicy(OnnxPolicy):
    """Policy of vectors and images: ``actions = forward(obs, *images)``."""

    def __init__(self, policy: nn.Module, input_size: int, verbose: bool, images: dict[str, tuple[int, ...]]) -> None:
        super().__init__(policy, input_size, verbose)
        self.images = images

    def forward(self, obs: Tensor, *images: Tensor) -> Tensor:
        """Compute actions ``[B, A]`` for vectors ``[B, D]`` and images ``[B, C, H, W]``."""
        return self.policy(obs, list(images))

    def get_dummy_inputs(self) -> tuple[Tensor, ...]:
        """Return inputs to trace with, for one robot."""
        return (torch.zeros(1, self.input_size), *(torch.zeros(1, *shape) for shape in self.images.values()))

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return ["obs", *self.images]


class OnnxRecurrentPolicy(OnnxPolicy):
    """Recurrent policy: ``actions, h_out(, c_out) = forward(obs, h_in(, c_in))``; states ``[layers, 1, H]``."""

    is_recurrent = True

    def __init__(self, policy: nn.Module, input_size: int, verbose: bool) -> None:
        super().__init__(policy, input_size, verbose)
        self.rnn_type = "lstm" if isinstance(policy, LSTMPolicy) else "gru"
        self.hidden_size = self.policy.rnn.hidden_size
        self.num_layers = self.policy.rnn.num_layers

    def forward(  # type: ignore[override]
        self, obs: Tensor, h_in: Tensor, c_in: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Compute actions ``[1, A]`` for vectors ``[1, D]``, and the hidden states after them."""
        policy = self.policy
        inputs = policy.obs_normalizer(obs).unsqueeze(0)
        latent, states = policy.rnn(inputs, h_in if c_in is None else (h_in, c_in))
        actions = policy.deterministic_output(policy.mlp(latent.squeeze(0)))
        return (actions, states) if c_in is None else (actions, *states)

    def get_dummy_inputs(self) -> tuple[Tensor, ...]:
        """Return inputs to trace with, for one robot."""
        states = len(self.input_names) - 1
        hidden = [torch.zeros(self.num_layers, 1, self.hidden_size) for _ in range(states)]
        return (torch.zeros(1, self.input_size), *hidden)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return ["obs", "h_in", "c_in"] if self.rnn_type == "lstm" else ["obs", "h_in"]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        return ["actions", "h_out", "c_out"] if self.rnn_type == "lstm" else ["actions", "h_out"]


def onnx_module(policy: nn.Module, input_size: int, images: dict[str, tuple[int, ...]], verbose: bool) -> OnnxPolicy:
    """Return the ONNX module for a policy.

    Args:
        policy: one of the modules of ``torch_modules.py``.
        input_size: total size of all vectors.
        images: shapes ``(C, H, W)`` of the image groups, in the policy's order.
        verbose: whether the exporter prints messages.
    """
    if isinstance(policy, ImagePolicy):
        return OnnxImagePolicy(policy, input_size, verbose, images)
    if isinstance(policy, (GRUPolicy, LSTMPolicy)):
        return OnnxRecurrentPolicy(policy, input_size, verbose)
    return OnnxPolicy(policy, input_size, verbose)
