"""Mini-batches of a rollout, for the update.

A mini-batch is a block of time: leaves ``[T', n, ...]`` and the hidden states ``[n, ...]`` before it. Feed-forward
models learn from single samples, which are blocks with ``T' = 1``, so no other code depends on the kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rsl_jax.types import Array, Carry, DistributionParams, Key, Observations


@struct.dataclass
class Batch:
    """Training data of PPO.

    Attributes:
        observations: leaves ``[T', n, ...]``.
        actions: ``[T', n, A]``; discrete ones ``[T', n]``.
        log_probs: log-probabilities of the actions under the policy that collected them, ``[T', n]``.
        distribution_params: the distributions they came from, leaves ``[T', n, A]``.
        values: values of the critic at collection, ``[T', n]``.
        advantages: ``[T', n]``.
        returns: ``[T', n]``.
        dones: whether the episode ended with the step, ``[T', n]``.
        carry: hidden states before the first step, leaves ``[n, ...]``.
    """

    observations: Observations
    actions: Array
    log_probs: Array
    distribution_params: DistributionParams
    values: Array
    advantages: Array
    returns: Array
    dones: Array
    carry: Carry


MOST_BITS_OF_INDEX = 20
"""Number of bits that :func:`shuffle` leaves to the index; the other 12 are random, which is 4096 places to go to."""


def shuffle(key: Key, size: int) -> Array:
    """Return the indices below ``size`` in random order, int32 ``[size]``.

    They are sorted as the last bits of random numbers. ``jax.random.permutation`` sorts pairs of a random number and an
    index, which takes four times as long on a CPU (1024 samples): a twentieth of a small iteration.
    """
    bits = (size - 1).bit_length()
    if bits > MOST_BITS_OF_INDEX:
        return jax.random.permutation(key, size)
    index = jnp.arange(size, dtype=jnp.uint32)
    numbers = jax.random.bits(key, (size,), jnp.uint32) << bits | index
    return (jnp.sort(numbers) & (2**bits - 1)).astype(jnp.int32)


def mini_batches(
    batch: Batch, key: Key, *, num_mini_batches: int, permute: Callable[[Key, int], Array] = shuffle
) -> Batch:
    """Split a rollout into mini-batches; leaves get a leading axis ``num_mini_batches``.

    Without hidden states samples are shuffled, once, and a remainder is dropped; of a single mini-batch they keep their
    order. With them, each mini-batch is a block
    of environments with their whole rollouts, in order.

    Args:
        batch: leaves ``[T, N, ...]``, the carry's ``[N, ...]``.
        key: random key of the shuffling.
        num_mini_batches: number of mini-batches.
        permute: returns the ``[n]`` indices in shuffled order.

    Returns:
        mini-batches, to be scanned over.
    """
    if jax.tree.leaves(batch.carry):
        return _blocks_of_environments(batch, num_mini_batches)
    return _shuffled_samples(batch, key, num_mini_batches, permute)


def _shuffled_samples(batch: Batch, key: Key, num: int, permute: Callable[[Key, int], Array]) -> Batch:
    size = batch.values.size // num
    if num == 1:  # one mini-batch is the same in any order; sorting and gathering would take a tenth of its step
        return jax.tree.map(lambda x: jnp.reshape(x, (1, 1, size, *x.shape[2:])), batch)
    indices = jnp.reshape(permute(key, num * size), (num, 1, size))

    def gather(x: Array) -> Array:
        return jnp.reshape(x, (-1, *x.shape[2:]))[indices]

    return jax.tree.map(gather, batch)


def _blocks_of_environments(batch: Batch, num: int) -> Batch:
    def split(x: Array, axis: int) -> Array:
        shape = (*x.shape[:axis], num, x.shape[axis] // num, *x.shape[axis + 1 :])
        return jnp.moveaxis(jnp.reshape(x, shape), axis, 0)

    def split_all(tree: Any, axis: int) -> Any:
        return jax.tree.map(lambda x: split(x, axis), tree)

    carry = split_all(batch.carry, 0)
    return dataclasses.replace(split_all(dataclasses.replace(batch, carry=()), 1), carry=carry)


def augmented(batch: Batch, observations: Observations, actions: Array) -> Batch:
    """Return a mini-batch with copies of its samples appended.

    Args:
        batch: the originals, ``[T', n]``.
        observations: those of the originals first, then those of the copies; leaves ``[T', k n, ...]``.
        actions: likewise, ``[T', k n, A]``.

    Returns:
        a mini-batch in which all other data of the originals are repeated for the copies; but for the distributions
        that the actions came from, which are left unchanged.
    """
    copies = actions.shape[1] // batch.actions.shape[1]
    repeated: dict[str, Any] = {
        name: jnp.tile(getattr(batch, name), (1, copies))
        for name in ("log_probs", "values", "advantages", "returns", "dones")
    }
    return dataclasses.replace(batch, observations=observations, actions=actions, **repeated)


def check_batch_sizes(*, num_envs: int, num_steps_per_env: int, num_mini_batches: int, recurrent: bool) -> None:
    """Reject a split that leaves nothing, or splits environments of a recurrent model.

    Raises:
        ValueError: if it is not possible; says which number to change.
    """
    if recurrent and num_envs % num_mini_batches:
        raise ValueError(
            f"A recurrent model learns from whole environments: num_envs ({num_envs}) must be divisible by "
            f"num_mini_batches ({num_mini_batches}). Change one of the two."
        )
    if num_envs * num_steps_per_env < num_mini_batches:
        raise ValueError(
            f"{num_envs} environments x {num_steps_per_env} steps are fewer samples than num_mini_batches "
            f"({num_mini_batches}). Choose fewer mini-batches or longer rollouts."
        )


def check_deviation(*, num_envs: int, num_steps_per_env: int, num_mini_batches: int, each: bool) -> None:
    """Reject the normalisation of a single advantage: its deviation is NaN (in RSL-RL, too).

    Args:
        num_envs: number of environments.
        num_steps_per_env: steps of a rollout.
        num_mini_batches: number of mini-batches.
        each: whether advantages are normalised in each mini-batch, not once a rollout.

    Raises:
        ValueError: if it is not possible; says which number to change.
    """
    samples = num_envs * num_steps_per_env
    if samples == 1:
        raise ValueError(
            "1 environment x 1 step is a single sample, whose advantage cannot be normalised. Choose a "
            "larger num_steps_per_env, or more environments."
        )
    if each and samples // num_mini_batches == 1:
        raise ValueError(
            f"{num_envs} environments x {num_steps_per_env} steps in {num_mini_batches} mini-batches leave 1 sample in "
            "each, whose advantage cannot be normalised. Choose fewer num_mini_batches, longer rollouts, or "
            "normalize_advantage_per_mini_batch: false."
        )
