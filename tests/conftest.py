"""Fixtures and settings of all tests."""

from __future__ import annotations

import contextlib
import logging
import os

import pytest

# Nearly all of the suite's time goes into compiling; programs that are left unoptimised compile in less than half of
# it. RSL_JAX_TEST_OPTIMIZED=1 compiles all as users run them; parity in float32 always compiles some of them so.
if os.environ.get("RSL_JAX_TEST_OPTIMIZED") != "1":
    quick = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{quick} {os.environ.get('XLA_FLAGS', '')}".strip()

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

# Four devices out of one CPU, for the tests of what is spread over several; everything else uses the first.
jax.config.update("jax_num_cpu_devices", 4)

# Mixed dtypes and silent broadcasting of ranks are refused everywhere: our own formulas must never need them.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Compile a program once for all tests: many build the same small run anew, in more than one process.

    ``JAX_COMPILATION_CACHE_DIR`` names a folder that outlives them, for those who run single tests again and again.
    """
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(shared / "compilations"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module", autouse=True)
def enabled_compilation_cache(compilation_cache):
    """Enable the cache again where an earlier module has trained on several devices, which disables it."""
    if not jax.config.jax_enable_compilation_cache:
        jax.config.update("jax_enable_compilation_cache", True)
        reset_cache()


@pytest.fixture
def x64():
    """Compute in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compilations():
    """A context that collects the names of all functions XLA compiles within it."""

    @contextlib.contextmanager
    def collect():
        names: list[str] = []

        class Collector(logging.Handler):
            def emit(self, record):
                message = record.getMessage()
                if message.startswith("Finished XLA compilation of"):
                    names.append(message.split()[4])

        logger, handler = logging.getLogger("jax._src.dispatch"), Collector()
        logger.addHandler(handler)
        try:
            with jax.log_compiles():
                yield names
        finally:
            logger.removeHandler(handler)

    return collect
