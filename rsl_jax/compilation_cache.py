"""JAX's persistent compilation cache, with which the second run of a task starts in seconds."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

LEAST_SECONDS = 0.2
"""Programs that compile faster than this are not cached: reading them would not be quicker."""


def use_compilation_cache(folder: str | Path | None = None) -> Path | None:
    """Enable JAX's persistent compilation cache; call it before anything is compiled.

    The command line enables it. In a script or a notebook: ``rsl_jax.use_compilation_cache()``.

    Args:
        folder: the cache folder. None: the one that JAX is configured with (``JAX_COMPILATION_CACHE_DIR``), else one
            for this type of processor in the user's cache folder (:func:`default_folder`).

    Returns:
        the folder; None if the user's cache folder cannot be written, and then nothing is cached.

    Raises:
        OSError: if ``folder`` is given and cannot be created.
    """
    import jax

    told: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
    if folder is None and told is not None:
        return Path(told)
    path = default_folder() if folder is None else Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        if folder is not None:
            raise
        return None  # training works without, for example with a read-only home
    jax.config.update("jax_compilation_cache_dir", str(path))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    return path


def default_folder() -> Path:
    """Return the cache folder of this user and type of processor.

    Programs are compiled for the instructions of one CPU, so machines that share a home directory must not share them.
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
