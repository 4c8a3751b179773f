"""Which numbers of a config can be arguments of a program, and which of them affect an iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.interpreters.partial_eval import dce_jaxpr

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.sweeps.program import LEARNING_RATE, Program


def traceable_paths(env: Env[Any], cfg: BaseRunnerConfig, paths: Sequence[str]) -> list[str]:
    """Return the paths of numbers that can be traced: no shape and no branch of the program depends on them.

    The floats of the library's algorithms can, as :func:`rsl_jax.training.make_train` guarantees. Others are tested by
    tracing an iteration, which takes a second or two and compiles nothing.
    """
    known = [path for path in paths if path.count(".") == 1 and path.startswith("algorithm.")]
    return [path for path in paths if path in known or _can_be_traced(env, cfg, path)]


def _can_be_traced(env: Env[Any], cfg: BaseRunnerConfig, path: str) -> bool:
    program = Program(env, cfg, [path], stretch=1, devices=jax.devices()[:1])
    try:
        program.trace()
    except (jax.errors.JAXTypeError, TypeError, ValueError):
        return False
    return True


def numbers_without_effect(program: Program, jaxpr: Any) -> list[str]:
    """Return the traced numbers that only affect the initial states, not an iteration (``init_std``).

    Args:
        program: the program.
        jaxpr: an iteration of it, see :meth:`Program.trace`.
    """
    _, needed = dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))
    numbers = zip(program.traced, needed[len(needed) - len(program.traced) :], strict=True)
    return [path for path, is_needed in numbers if not is_needed and path != LEARNING_RATE]
