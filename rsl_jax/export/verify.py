"""Verification of exports against the model that they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import numpy as np

from rsl_jax.export.policy import BATCH, PolicyFunction, Tensor, float32_mode

BATCH_SIZES = (1, 3, 64)
"""The last one is the largest: its hidden states start the next step. It is large because a discrete action shows
little of the numbers that it comes from."""
STEPS = 100
"""Number of steps for which a recurrent policy is verified."""
RESET_PROBABILITY = 0.05
TOLERANCE = 1e-5


class ExportError(RuntimeError):
    """Error for an export whose results differ from the model's."""


def verify(
    policy: PolicyFunction,
    run: Callable[..., Sequence[Any]],
    *,
    runtime: str,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> float:
    """Compare an export with its model on random inputs at several batch sizes.

    With hidden states, a sequence of steps is compared: the export's hidden states are fed back to it, and
    zeroed at random, as at the end of an episode. The model gets the export's hidden states too, so that a step is
    judged by what it computes and not by the accumulated rounding of a hundred others.

    Args:
        policy: the policy.
        run: the export; inputs in their order to outputs in theirs, as numpy arrays.
        runtime: name of the runtime, for the error.
        batch_sizes: the batch sizes, the last one the largest.

    Returns:
        the largest difference found, relative to the magnitude of the output (and to 1 where that is smaller).

    Raises:
        ExportError: if the export fails, or an output differs by more than :data:`TOLERANCE`.
    """
    generator = np.random.default_rng(0)
    size = batch_sizes[-1]
    num_states = len(policy.outputs) - 1
    num_observations = len(policy.inputs) - num_states
    states, worst = random_inputs(policy, size, generator)[num_observations:], 0.0
    with _exact_reference():
        reference = jax.jit(policy.reference)
        for _ in range(STEPS if num_states else 1):
            inputs = random_inputs(policy, size, generator)[:num_observations] + states
            expected = [np.asarray(output) for output in reference(*inputs)]
            for batch in batch_sizes:
                where = f"The export was refused and nothing was written: at batch size {batch}, {runtime}"
                try:
                    actual = [np.asarray(output) for output in run(*_first(batch, policy.inputs, inputs))]
                except Exception as error:
                    raise ExportError(f"{where} fails:\n{error}") from error
                for tensor, a, b in zip(policy.outputs, actual, _first(batch, policy.outputs, expected), strict=True):
                    worst = max(worst, _difference(f"{where} gives '{tensor.name}'", a, b))
            ended = generator.random(size) < RESET_PROBABILITY
            states = [_reset(x, tensor, ended) for x, tensor in zip(actual[1:], policy.outputs[1:], strict=True)]
    return worst


def _first(batch: int, tensors: Sequence[Tensor], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the first rows of a batch."""
    return [
        np.take(array, range(batch), axis=tensor.shape.index(BATCH))
        for tensor, array in zip(tensors, arrays, strict=True)
    ]


def _reset(state: np.ndarray, tensor: Tensor, ended: np.ndarray) -> np.ndarray:
    """Zero a hidden state where an episode has ended, ``[batch]``."""
    shape = [-1 if size == BATCH else 1 for size in tensor.shape]
    return np.where(ended.reshape(shape), np.zeros_like(state), state)


def random_inputs(policy: PolicyFunction, batch: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Draw typical inputs of the policy: normal, with the moments of its normaliser."""
    inputs = []
    for tensor in policy.inputs:
        shape = tuple(batch if size == BATCH else int(size) for size in tensor.shape)
        mean, std = policy.moments.get(tensor.name, (np.float32(0), np.float32(1)))
        inputs.append((mean + std * generator.standard_normal(shape)).astype(tensor.dtype))
    return inputs


def _difference(where: str, actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape:
        raise ExportError(f"{where} the shape {actual.shape}, the model {expected.shape}.")
    magnitude = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    difference = float(np.max(np.abs(actual.astype(np.float64) - expected), initial=0.0)) / magnitude
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{where} with a relative difference of {difference:.1e} from the model; {TOLERANCE:.0e} is allowed. An "
            "operation of the model is translated wrongly: leave parts out to find which, and write it differently."
        )
    return difference


@contextmanager
def _exact_reference() -> Iterator[None]:
    """Compute the reference in full float32, on the CPU if there is one: accelerators use fewer bits by default."""
    with float32_mode(), jax.default_matmul_precision("highest"), _on_cpu():
        yield


def _on_cpu() -> AbstractContextManager[Any]:
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX was configured without the CPU
        return nullcontext()
