"""JAX's persistent compilation cache, with which the second run of a task starts in seconds."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax

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
    _look_again()
    return path


def disable_for_several(devices: Sequence[jax.Device]) -> None:
    """Disable the cache in this process if a program runs on several CPU devices that exchange data.

    Such a program is fine when it is compiled, but if it is read from the cache, jaxlib (0.10) mixes up its
    exchanges: it crashes, or computes wrong results. Accelerators are not affected.

    Args:
        devices: the devices of the program.
    """
    import jax

    enabled = getattr(jax.config, "jax_enable_compilation_cache", False)
    if len(devices) < 2 or devices[0].platform != "cpu" or not enabled:
        return
    jax.config.update("jax_enable_compilation_cache", False)
    _look_again()
    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        warnings.warn(
            "JAX's persistent compilation cache is disabled from now on: programs for several CPU devices that are "
            "read from it crash or compute wrong results.",
            stacklevel=4,
        )


def _look_again() -> None:
    """Let JAX read its settings of the cache again, which it does only once."""
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()


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
