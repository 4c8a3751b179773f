"""File formats by the ending of a name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rsl_jax.export.stablehlo import export_jax
from rsl_jax.export.torchscript import export_torchscript

COMPILED: Mapping[str, tuple[Callable[..., Path], str]] = {
    ".pt": (export_torchscript, "TorchScript, for torch.jit.load and C++"),
    ".jax": (export_jax, "a program for JAX"),
}
"""By ending: the exporter of a compiled policy, and a description. Neither format can be read as the other."""


def export_compiled(
    model: Any, variables: Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a policy as a compiled file, in the format of its name's ending.

    Args:
        model: the policy's model.
        variables: all its collections of variables.
        path: destination; an existing file is replaced.
        metadata: further metadata of the file.

    Returns:
        the path.

    Raises:
        ValueError: for another ending; lists the supported ones.
    """
    ending = Path(path).suffix
    if ending not in COMPILED:
        known = "; ".join(f"'{name}' is {what}" for name, (_, what) in COMPILED.items())
        raise ValueError(
            f"The ending of '{Path(path).name}' does not say what to write: {known}. For ONNX call "
            "export_policy_to_onnx."
        )
    return COMPILED[ending][0](model, variables, path, metadata=metadata)
