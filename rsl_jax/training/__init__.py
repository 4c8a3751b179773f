"""Training loops and whole training runs as pure functions."""

from rsl_jax.algorithms.variables import variables_of
from rsl_jax.training.evaluation import Evaluation, make_evaluation
from rsl_jax.training.iteration import LoopState, init_states, make_iteration, spec_of
from rsl_jax.training.reports import Failure, find_failures, warn_of_failures
from rsl_jax.training.train import build_algorithm, make_train

__all__ = [
    "Evaluation",
    "Failure",
    "LoopState",
    "build_algorithm",
    "find_failures",
    "init_states",
    "make_evaluation",
    "make_iteration",
    "make_train",
    "spec_of",
    "variables_of",
    "warn_of_failures",
]
