"""Compiled programs kept on disk, so that the second run of a task starts in seconds."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Annotated

import tyro

CacheFlag = Annotated[str | None, tyro.conf.arg(metavar="DIR|none")]
NONE = "none"


def use_compilation_cache(choice: str | None) -> Path | None:
    """Let JAX keep compiled programs; to be called before anything is compiled.

    Args:
        choice: the folder; ``"none"`` for no cache; None for the user's cache folder, unless JAX has been told already
            (``JAX_COMPILATION_CACHE_DIR``).

    Returns:
        the folder, or None where this did not choose one.
    """
    import jax

    if choice == NONE:
        jax.config.update("jax_compilation_cache_dir", None)
        return None
    if choice is None and getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return None
    folder = default_folder() if choice is None else Path(choice)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        if choice is not None:
            raise
        return None  # a read-only home is no reason not to train
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def default_folder() -> Path:
    """Where this user's programs for this processor are kept.

    Programs for a CPU use the instructions that it has, so machines that share a home directory must not share them.
    """
    return _user_caches() / "rsl_jax" / f"xla-{_processor()}"


def _user_caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _processor() -> str:
    facts = [platform.machine(), platform.processor()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features")
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        facts += sorted({line for line in lines if line.split("\t")[0].strip() in wanted})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
