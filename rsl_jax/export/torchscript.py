"""Export of a policy as TorchScript, with RSL-RL's interface."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.export.files import write_atomically
from rsl_jax.export.isolation import LOCK
from rsl_jax.export.metadata import Metadata, library_versions, merge
from rsl_jax.export.policy import PolicyFunction, float32_variables, plain_policy
from rsl_jax.export.verify import ExportError, random_inputs, verify
from rsl_jax.models import CNNModel, MLPModel, RNNModel
from rsl_jax.models.cnn_model import encoders_by_group, image_groups
from rsl_jax.models.state_dicts import to_state_dict
from rsl_jax.modules.cnn import plan_layers
from rsl_jax.registry import install_line

ROBOTS = 4
"""Batch size with which a recurrent policy is verified: it acts for one robot, so each is a call."""

METADATA_FILE = "metadata.json"
"""Name of the extra file in the archive with the metadata."""

_LIBRARIES = ("rsl-jax", "jax", "flax", "torch")


def export_torchscript(
    model: Any,
    variables: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    verbose: bool = False,
) -> Path:
    """Write a deterministic policy, its normaliser included, as TorchScript for ``torch.jit.load`` and C++.

    The file is read back and compared with the model before it is written.

    Args:
        model: the policy's model: an MLPModel, RNNModel or CNNModel.
        variables: all its collections of variables, of one training run, in any float type.
        path: destination; an existing file is replaced.
        metadata: further metadata of the file, as JSON in its extra file ``metadata.json``.
        verbose: whether to print what was written.

    Returns:
        the path. The module's methods are ``forward(obs [B, D])``, of a CNNModel ``forward(obs [B, D], [image [B, C, H,
        W], ...])``, and ``reset()``. A recurrent policy keeps its hidden states, for one robot (``B`` is 1).

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if the variables or metadata are invalid.
        ExportError: if the model is of a custom class, or the file's results differ from the model's;
            nothing is written then.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "TorchScript needs PyTorch, which is not installed here: pip install torch, or "
            f"{install_line('torch')}. Files ending in .jax and .onnx do not need it."
        ) from error
    with LOCK, warnings.catch_warnings():
        # TorchScript is deprecated in PyTorch, but still used on robots.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        policy = plain_policy(model, variables)
        description = merge({**policy.facts, **library_versions(_LIBRARIES)}, metadata)
        content = serialize(torch_policy(model, variables), description)
        loaded = torch.jit.load(io.BytesIO(content))
        with _one_thread():  # each step is too small for several, and these would fight with the training's
            batches = {"batch_sizes": (ROBOTS,)} if len(policy.outputs) > 1 else {}
            difference = verify(policy, in_torch(loaded, policy), runtime="TorchScript", **batches)
            check_reset(loaded, policy)
    destination = write_atomically(path, content)
    if verbose:
        print(f"{destination}: TorchScript; {len(content)} bytes, {difference:.1e} from the model")
    return destination


def serialize(module: Any, metadata: Metadata) -> bytes:
    """Serialise a module as TorchScript, with its metadata in an extra file."""
    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer, _extra_files={METADATA_FILE: json.dumps(metadata)})
    return buffer.getvalue()


def torch_policy(model: Any, variables: Mapping[str, Any]) -> Any:
    """Return a policy as a PyTorch module in evaluation mode, in float32.

    Args:
        model: an MLPModel, RNNModel or CNNModel.
        variables: all its collections of variables, in any float type.

    Returns:
        one of the modules of ``torch_modules.py``.

    Raises:
        ExportError: if the model, or its distribution, is of a custom class.
    """
    import torch

    from rsl_jax.export import torch_modules as modules

    check_is_ours(model)
    images = image_groups(model.obs_shapes, model.obs_groups)
    normalizer = modules.Normalizer(model.obs_dim) if model.obs_normalization else torch.nn.Identity()
    parts: tuple[Any, ...] = (_mlp(model, variables), _output(model))
    if isinstance(model, CNNModel):
        encoders = encoders_by_group(model.cnn_cfg, images)
        cnns = [_cnn(cfg, model.obs_shapes[group]) for group, cfg in encoders.items()]
        module: Any = modules.ImagePolicy(normalizer, torch.nn.ModuleList(cnns), *parts)
    elif isinstance(model, RNNModel):
        kind = model.rnn_type.lower()
        layer, policy = {
            "gru": (torch.nn.GRU, modules.GRUPolicy),
            "lstm": (torch.nn.LSTM, modules.LSTMPolicy),
        }[kind]
        module = policy(normalizer, layer(model.obs_dim, model.rnn_hidden_dim, model.rnn_num_layers), *parts)
    else:
        module = modules.Policy(normalizer, *parts)
    module = module.float()
    _fill(module, to_state_dict(float32_variables(variables), groups=images), images)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module.eval()


def check_is_ours(model: Any) -> None:
    """Reject models and distributions that contain custom components.

    Raises:
        ExportError: if they do; names the class, and an alternative.
    """
    way_out = "Export it as ONNX (export_policy_to_onnx), or as a file ending in .jax."
    if type(model) not in (MLPModel, RNNModel, CNNModel):
        raise ExportError(
            f"TorchScript is written module by module, and {type(model).__name__} is a custom class: only MLPModel, "
            f"RNNModel and CNNModel can be. {way_out}"
        )
    if model.distribution is not None and model.distribution.readout is None:
        raise ExportError(
            "The distribution of this model does not say how a deterministic action is read off the network's output "
            f"(Distribution.readout), so it cannot be written as TorchScript. {way_out}"
        )


# --- parts ------------------------------------------------------------------------------------------------------------


def _mlp(model: Any, variables: Mapping[str, Any]) -> Any:
    """Build the linear layers by the shapes of their kernels, with an activation between them."""
    import torch

    from rsl_jax.export.torch_modules import ACTIVATIONS, Rows

    layers = variables["params"]["mlp"]
    shapes = [layers[f"layer_{index}"]["kernel"].shape for index in range(len(layers))]
    sequence: list[Any] = []
    for fan_in, fan_out in shapes:
        sequence += [torch.nn.Linear(fan_in, fan_out), ACTIVATIONS[model.activation.lower()]()]
    sequence.pop()
    output_dim = model.distribution.output_dim if model.distribution else model.output_dim
    if not isinstance(output_dim, int):
        sequence.append(Rows(output_dim[-1]))
    return torch.nn.Sequential(*sequence)


def _output(model: Any) -> Any:
    from rsl_jax.export.torch_modules import OUTPUTS

    name, *arguments = model.distribution.readout if model.distribution else ("output",)
    return OUTPUTS[name](*arguments)


def _cnn(cfg: Any, shape: tuple[int, ...]) -> Any:
    """Build an encoder for images ``[C, H, W]``; its layers are numbered as ours."""
    import torch
    from torch import nn

    from rsl_jax.export.torch_modules import ACTIVATIONS, GLOBAL_POOLS

    sequence: list[Any] = []
    channels = shape[0]
    for layer in plan_layers(cfg, shape[1:]):
        sequence.append(
            nn.Conv2d(
                channels,
                layer.channels,
                layer.kernel_size,
                stride=layer.stride,
                padding=(layer.padding[0], layer.padding[1]),
                dilation=layer.dilation,
                padding_mode="zeros" if cfg.padding == "none" else cfg.padding,
            )
        )
        channels = layer.channels
        if layer.norm == "batch":
            sequence.append(nn.BatchNorm2d(channels))
        elif layer.norm == "layer":
            sequence.append(nn.LayerNorm([channels, *layer.size]))
        sequence.append(ACTIVATIONS[cfg.activation.lower()]())
        if layer.max_pool:
            sequence.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    if cfg.global_pool != "none":
        sequence.append(GLOBAL_POOLS[cfg.global_pool]((1, 1)))
    return torch.nn.Sequential(*sequence, nn.Flatten(1))


def _fill(module: Any, state_dict: Mapping[str, np.ndarray], images: tuple[str, ...]) -> None:
    """Load the arrays of a state dict, by RSL-RL's names, into a module; it must have no other parameters."""
    import torch

    tensors = {}
    for name, array in state_dict.items():
        part, _, rest = name.partition(".")
        if part == "cnns":
            group, _, rest = rest.partition(".")
            name = f"cnns.{images.index(group)}.{rest}"
        elif part == "rnn":
            name = rest
        elif part == "distribution" or name in ("obs_normalizer._var", "obs_normalizer.count"):
            continue
        tensors[name] = torch.from_numpy(np.array(array))
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if name not in ("hidden_state", "cell_state")]
    assert missing == unexpected == [], f"parts without a value {missing}, values without a part {unexpected}"


# --- comparing --------------------------------------------------------------------------------------------------------

STATES = ("hidden_state", "cell_state")
"""Buffers that hold hidden states, in the order of the policy's inputs."""


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_torch(module: Any, policy: PolicyFunction) -> Callable[..., list[np.ndarray]]:
    """Return a function that runs a module on the policy's inputs in their order.

    Hidden states, which the module keeps for one robot, are written to it and read back, robot by robot.
    """
    import torch

    num_states = len(policy.outputs) - 1

    def call(observations: list[np.ndarray]) -> np.ndarray:
        vectors = [observations.pop(0)] if policy.inputs[0].name == "obs" else []
        empty = np.zeros((len(observations[0]) if observations else 0, 0), np.float32)
        inputs: list[Any] = [torch.from_numpy(vectors[0] if vectors else empty)]
        if observations:
            inputs.append([torch.from_numpy(image) for image in observations])
        return module(*inputs).numpy()

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        arrays = tuple(np.ascontiguousarray(array) for array in arrays)
        with torch.inference_mode():
            if not num_states:
                return [call([*arrays])]
            obs, *states = arrays
            robots = [one_robot(obs[i : i + 1], *(s[:, i : i + 1] for s in states)) for i in range(len(obs))]
            actions, *after = zip(*robots, strict=True)
            return [np.concatenate(actions), *(np.concatenate(parts, 1) for parts in after)]

    def one_robot(obs: np.ndarray, *states: np.ndarray) -> list[np.ndarray]:
        buffers = [getattr(module, name) for name in STATES[:num_states]]
        for buffer, state in zip(buffers, states, strict=True):
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(state)))
        actions = module(torch.from_numpy(np.ascontiguousarray(obs))).numpy()
        return [actions, *(buffer.numpy().copy() for buffer in buffers)]

    return run


def check_reset(module: Any, policy: PolicyFunction) -> None:
    """Reject a module that keeps any state after ``reset()``.

    Raises:
        ExportError: if it does.
    """
    import torch

    if len(policy.outputs) == 1:
        module.reset()
        return
    obs = torch.from_numpy(random_inputs(policy, 1, np.random.default_rng(1))[0])
    with torch.inference_mode():
        module.reset()
        first = module(obs)
        module(obs)
        module.reset()
        again = module(obs)
    if not torch.equal(first, again):
        raise ExportError("The export was refused and nothing was written: reset() does not clear all state.")
