import logging
import random
import warnings

import jax
import numpy as np
import pytest

from rsl_jax.export import export_onnx

from .models import mlp_model, variables_of


def process_state():
    """What an export must leave alone: global random generators, log handlers, warning filters."""
    return {
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "handlers": list(logging.getLogger().handlers),
        "level": logging.getLogger("onnx_ir").level,
        "filters": list(warnings.filters),
    }


@pytest.fixture(scope="session")
def first_export(tmp_path_factory):
    """The first export of the process, which loads jax2onnx; the state of the process before and after it."""
    path = tmp_path_factory.mktemp("first") / "policy.onnx"
    # pytest's own handlers would hide one that is installed where there is none.
    handlers, logging.getLogger().handlers = logging.getLogger().handlers, []
    try:
        before = process_state()
        export_onnx(mlp_model(), variables_of(mlp_model()), path)
        after = process_state()
    finally:
        logging.getLogger().handlers = handlers
    return path, before, after


@pytest.fixture
def x64_everywhere():
    """JAX set to 64 bits, for the whole process."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
