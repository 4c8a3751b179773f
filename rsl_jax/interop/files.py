"""Reading and writing of PyTorch's files: only tensors and plain containers are read, never code."""

from __future__ import annotations

import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsl_jax.registry import install_line

SUFFIX = ".pt"
"""File ending of RSL-RL's checkpoints."""


def import_torch(purpose: str) -> Any:
    """Import PyTorch.

    Raises:
        ImportError: if it is not installed; says how to install it.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs PyTorch, which is not installed here: pip install torch, or {install_line('torch')}."
        ) from error
    return torch


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a PyTorch file into host memory.

    Raises:
        FileNotFoundError: if the file does not exist; names the ones beside it.
        ImportError: if PyTorch is not installed.
        ValueError: if it is not a checkpoint, is damaged, or holds anything but tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else []
        there = f"Files of the kind beside it: {', '.join(beside)}." if beside else "There is none beside it."
        raise FileNotFoundError(f"No checkpoint at {path}. {there}")
    torch = import_torch(f"Reading '{path.name}'")
    if _is_torchscript(path):
        raise ValueError(
            f"{path} is an exported policy (TorchScript), not a checkpoint, so it cannot be trained further. Load the "
            "model_*.pt that it was exported from."
        )
    if tarfile.is_tarfile(path):  # which torch.load does not read safely before PyTorch 2.6 (CVE-2025-32434)
        raise ValueError(
            f"{path} was refused, and nothing in it was run: it is a tar file, as PyTorch wrote before 0.4."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} was refused, and nothing in it was run: {_reason(error)}") from error
    except Exception as error:  # the reader's many errors for files that are invalid or incomplete
        raise ValueError(
            f"{path} is not a PyTorch file, or is incomplete (the copy or download may have been interrupted): "
            f"{_first_line(error)}"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} contains a {type(content).__name__}; a checkpoint of RSL-RL is a dict.")
    return dict(content)


def write_file(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """Write a PyTorch file atomically; one of the same name is replaced.

    Args:
        path: destination; missing folders are created.
        content: tensors and plain containers.

    Returns:
        the path.

    Raises:
        ImportError: if PyTorch is not installed.
        TypeError: if it contains something that :func:`read_file` would reject.
    """
    torch, path = import_torch(f"Writing '{Path(path).name}'"), Path(path)
    others = {key: value for key, value in content.items() if not key.endswith("_state_dict")}
    try:
        buffer = io.BytesIO()
        torch.save(others, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:
        raise TypeError(
            f"The 'infos' of a checkpoint must be tensors, numbers, strings, lists and "
            f"dicts of them: {_first_line(error)}"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(content), temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript program, by its table of contents, without loading it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _reason(error: Exception) -> str:
    cause = error.__context__ or error  # PyTorch's own message says how to read it anyway
    wanted = re.search(r"GLOBAL (\S+)", str(cause))
    if wanted is None:
        return f"it is not a PyTorch file, or is damaged: {_first_line(cause)}"
    return (
        f"it asks for {wanted[1]}, and only tensors, numbers, strings, lists and dicts are read. If you trust its "
        "author, load it with PyTorch yourself and save it again without that (often it is in 'infos')."
    )


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no details'}"
