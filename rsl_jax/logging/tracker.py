"""Base of the writers for experiment trackers: their packages, their keys in the config, and the files they send."""

from __future__ import annotations

import importlib
import inspect
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rsl_jax.logging.writer import LogWriter
from rsl_jax.registry import install_line, nearest


class TrackerWriter(LogWriter):
    """Writer to a service, through the service's own package.

    Requirements are checked before anything is opened: the runner calls :meth:`check` when it is built, so that a
    missing package or key is found before training, and constructs the writer when training starts.
    """

    @classmethod
    def arguments_from(cls, train_cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return constructor arguments from the training config itself, where RSL-RL's users write them."""
        return {}

    @classmethod
    def check(cls, **arguments: Any) -> None:
        """Check that the writer can be constructed with these arguments, without contacting the service.

        Raises:
            ImportError: if the package is missing; says what to install.
            ValueError: if a key, or anything else that the service requires, is missing.
            TypeError: if an argument is unknown.
        """


def import_tracker(module: str, attribute: str, extra: str) -> ModuleType:
    """Import a tracker's package.

    Args:
        module: the package's name.
        attribute: something it has, unlike a folder of the same name in the working directory (W&B makes one).
        extra: our extra that installs it.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        package = importlib.import_module(module)
        reason = "" if hasattr(package, attribute) else f"what is found as '{module}' is not the package"
    except Exception as error:  # incompatible packages raise all kinds of errors
        reason = f"{type(error).__name__}: {error}"
    if reason:
        raise ImportError(
            f"logger '{extra}' needs the package '{module}' ({reason}). Install it: {install_line(extra)}."
        )
    return package


def require_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], what: str) -> None:
    """Reject arguments that a function of the tracker's package does not have.

    Raises:
        TypeError: if there are any; names the nearest one.
    """
    known = inspect.signature(function).parameters
    for name in arguments:
        if name not in known:
            raise TypeError(f"{what} has no argument '{name}'.{nearest(name, known)}")


def project_of(train_cfg: Mapping[str, Any], key: str, variable: str) -> str | None:
    """Return the project that a training config names under ``key``, else its experiment.

    None leaves it to the tracker: if the environment variable names a project, or if nothing does.
    """
    return train_cfg.get(key) or (None if os.environ.get(variable) else train_cfg.get("experiment_name")) or None


def run_name_of(log_dir: str) -> str:
    """Return the name of a run: the last part of its folder, as in RSL-RL."""
    return Path(log_dir).absolute().name


def known_run(log_dir: str, tracker: str) -> str | None:
    """Return the id of the run that ``log_dir`` belongs to in a tracker, or None if there is none yet."""
    path = _run_file(log_dir, tracker)
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def remember_run(log_dir: str, tracker: str, run_id: str) -> str:
    """Save the id of a run in ``log_dir``, so that what is logged or sent there later goes to the same run."""
    path = _run_file(log_dir, tracker)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run_id, encoding="utf-8")
    return run_id


def own_run_id(log_dir: str, tracker: str) -> str:
    """Return the id of the run that ``log_dir`` belongs to, for trackers with user-defined ids: 32 hex digits."""
    return known_run(log_dir, tracker) or remember_run(log_dir, tracker, uuid.uuid4().hex)


def _run_file(log_dir: str, tracker: str) -> Path:
    return Path(log_dir) / f".{tracker}_run"


def files_of(path: str | Path) -> list[Path]:
    """List the files of a checkpoint: itself, or the content of a folder, in order.

    Raises:
        FileNotFoundError: if it does not exist.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.exists():
        raise FileNotFoundError(f"{path} was deleted before it was sent")
    return [path]


def folder_for(path: str | Path) -> str:
    """Return the tracker's folder for a file: code, policies and the rest are separate."""
    suffix = Path(path).suffix
    return "git_diff" if suffix == ".diff" else "policy" if suffix in (".onnx", ".pt", ".jax") else "files"
