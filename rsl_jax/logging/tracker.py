"""What the writers for experiment trackers share: their packages, their keys in the config, and the files they send."""

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
    """A writer to a service, by the service's own package.

    What it needs is known before anything is opened: the runner asks :meth:`check` when it is built, so that a missing
    package or key is found before training, and makes the writer when training starts.
    """

    @classmethod
    def arguments_from(cls, train_cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the constructor that stand in the training config itself, as RSL-RL's users write them."""
        return {}

    @classmethod
    def check(cls, **arguments: Any) -> None:
        """See whether the writer can be made with these arguments, without reaching for the service.

        Raises:
            ImportError: if the package is missing; says what to install.
            ValueError: if a key is missing, or something else without which the service takes nothing.
            TypeError: if an argument is unknown.
        """


def import_tracker(module: str, attribute: str, extra: str) -> ModuleType:
    """Import a tracker's package.

    Args:
        module: the package's name.
        attribute: something it has. A folder of the package's name that lies about (W&B makes one) has it not.
        extra: ours, which installs it.

    Raises:
        ImportError: if there is none.
    """
    try:
        package = importlib.import_module(module)
        reason = "" if hasattr(package, attribute) else f"what is found as '{module}' is not the package"
    except Exception as error:  # packages that do not fit together raise anything
        reason = f"{type(error).__name__}: {error}"
    if reason:
        raise ImportError(
            f"logger '{extra}' needs the package '{module}' ({reason}). Install it: {install_line(extra)}."
        )
    return package


def require_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], what: str) -> None:
    """Refuse arguments that a function of the tracker's package does not have.

    Raises:
        TypeError: names the nearest one.
    """
    known = inspect.signature(function).parameters
    for name in arguments:
        if name not in known:
            raise TypeError(f"{what} has no argument '{name}'.{nearest(name, known)}")


def project_of(train_cfg: Mapping[str, Any], key: str, variable: str) -> str | None:
    """The project that a training config names under ``key``, else its experiment.

    None leaves it to the tracker: where the environment variable names a project, and where nothing does.
    """
    return train_cfg.get(key) or (None if os.environ.get(variable) else train_cfg.get("experiment_name")) or None


def run_name_of(log_dir: str) -> str:
    """What a run is called: the last part of its folder, as in RSL-RL."""
    return Path(log_dir).absolute().name


def known_run(log_dir: str, tracker: str) -> str | None:
    """The id of the run that ``log_dir`` belongs to in a tracker, or None where there is none yet."""
    path = _run_file(log_dir, tracker)
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def remember_run(log_dir: str, tracker: str, run_id: str) -> str:
    """Keep the id of a run in ``log_dir``, so that what is logged or sent there later goes to the same run."""
    path = _run_file(log_dir, tracker)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run_id, encoding="utf-8")
    return run_id


def own_run_id(log_dir: str, tracker: str) -> str:
    """The id of the run that ``log_dir`` belongs to, for trackers that let their users choose it: 32 hex digits."""
    return known_run(log_dir, tracker) or remember_run(log_dir, tracker, uuid.uuid4().hex)


def _run_file(log_dir: str, tracker: str) -> Path:
    return Path(log_dir) / f".{tracker}_run"


def files_of(path: str | Path) -> list[Path]:
    """The files of a checkpoint: itself, or what a folder holds, in order.

    Raises:
        FileNotFoundError: if it is gone.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if not path.exists():
        raise FileNotFoundError(f"{path} was deleted before it was sent")
    return [path]


def folder_for(path: str | Path) -> str:
    """Where a tracker keeps a file: code, policies and the rest apart."""
    suffix = Path(path).suffix
    return "git_diff" if suffix == ".diff" else "policy" if suffix in (".onnx", ".pt", ".jax") else "files"
