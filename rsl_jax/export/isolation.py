"""Isolation of jax2onnx, so that it leaves no trace in the process.

jax2onnx replaces functions of jax and flax by primitives that exist only for ONNX while it traces. What ``jax.jit``
traces for the first time meanwhile would stay in JAX's caches and fail whenever it is used again ("MLIR translation
rule for primitive ... not found"). Importing it, moreover, seeds the global random generators, and its logging installs
a handler.

A subprocess would isolate it, but it has to import jax2onnx for every export (some 15 s, against 0.3 s for all but the
first export of a process), and models with functions inside cannot be pickled. So the caches are
separated instead: metadata of XLA operations is part of JAX's tracing state, hence of the keys of its caches, and what
is traced under this mark is found by no other code. (``jax.make_user_context`` is made for that, but adds to the keys
of all caches when it is called, so that everything would be compiled again after the first export.)
"""

from __future__ import annotations

import logging
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

LOCK = threading.RLock()
"""Lock held by every export from beginning to end, since they all trace."""

_NOISY_LOGGERS = ("jax2onnx", "onnx_ir", "onnxscript")


@contextmanager
def isolated(*, verbose: bool) -> Iterator[None]:
    """Return a context in which jax2onnx may trace; one thread at a time enters, the others wait.

    The functions that jax2onnx replaces are replaced for all threads, so no other thread may trace JAX functions
    meanwhile; running compiled functions is safe.

    Args:
        verbose: whether to let warnings and log messages through.
    """
    with (
        LOCK,
        _same_random_states(),
        _same_logging(),
        nullcontext() if verbose else _quiet(),
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        set_xla_metadata(rsl_jax_export="onnx"),
    ):
        yield


@contextmanager
def _same_random_states() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the legacy state is what gets seeded
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _same_logging() -> Iterator[None]:
    """Keep ``logging.info`` from installing a handler where there is none, by one that does nothing."""
    root, guard = logging.getLogger(), logging.NullHandler()
    root.addHandler(guard)
    try:
        yield
    finally:
        root.removeHandler(guard)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
