"""Optional packages of simulators, imported on demand."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

import jax

from rsl_jax.registry import install_line

PYGAME = 'pip install "gymnasium[classic-control]"'
"""Command that installs what gymnasium and gymnax render with."""


def is_installed(module: str) -> bool:
    """Return whether a module could be imported; does not import it."""
    return importlib.util.find_spec(module) is not None


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module of an extra, without its deprecation warnings.

    Raises:
        ImportError: if it is missing; names the line that installs it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        if is_installed(module.partition(".")[0]):
            raise  # The package is installed, but broken: its own message says more than ours.
        raise ImportError(f"{module} is not installed. Install it with: {install_line(extra)}") from error


@contextlib.contextmanager
def simulators_promotion() -> Iterator[None]:
    """Trace a simulator under JAX's lenient promotion rules, whatever the surrounding program uses.

    Simulators mix dtypes and ranks freely, so a program that is strict about its own (``jax_numpy_dtype_promotion``,
    ``jax_numpy_rank_promotion``) could not step any.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Suppress what libraries print about their own models while they build them.

    That is Python's warnings, and MuJoCo's, which it would also write to MUJOCO_LOG.TXT in the working directory.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if is_installed("mujoco"):
            mujoco = importlib.import_module("mujoco")
            stack.callback(mujoco.set_mju_user_warning, mujoco.get_mju_user_warning())
            mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)
        yield


def is_headless() -> bool:
    """Return whether there is no display to open a window on."""
    return sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def without_screen_and_sound() -> None:
    """Let pygame draw in memory, without a sound card and, where there is none, without a display."""
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if is_headless():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
