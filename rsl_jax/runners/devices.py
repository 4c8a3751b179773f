"""Devices by PyTorch's names."""

from __future__ import annotations

import os
import warnings
import zlib

import jax
import numpy as np
from jax.experimental import multihost_utils


def resolve_device(device: str | jax.Device | None) -> jax.Device:
    """Return the device for a name such as ``"cuda:0"``; JAX's default, with a warning, if it does not exist.

    Of several processes it is a device of this one; ``cuda:2`` is then the host's, whichever of these the process sees.
    """
    if isinstance(device, jax.Device):
        return device
    default = jax.local_devices()[0]
    if device is None:
        return default
    platform, _, index = str(device).partition(":")
    try:
        here = jax.local_devices(backend=platform)
        is_mine = len(here) == 1 and jax.process_count() > 1 and index == os.environ.get("LOCAL_RANK")
        return here[0 if is_mine else int(index or 0)]
    except (RuntimeError, IndexError, ValueError):
        available = ", ".join(f"{d.platform}:{d.id}" for d in jax.local_devices())
        warnings.warn(f"There is no device '{device}' here (there are: {available}); using {default}.", stacklevel=3)
        return default


def processes() -> tuple[int, int, int]:
    """Return the number of training processes, this process's rank, and its rank on this machine, as JAX reports them.

    Raises:
        ValueError: if ``WORLD_SIZE`` says that a launcher (torchrun) started several that JAX does not know of: each
            would train alone, and overwrite the files of the others.
    """
    wanted = os.environ.get("WORLD_SIZE", "1")
    if wanted not in ("", "1", str(jax.process_count())):
        raise ValueError(
            f"WORLD_SIZE={wanted} says that a launcher started {wanted} processes, but JAX knows of "
            f"{jax.process_count()}. Call rsl_jax.distributed.initialize() before anything else, or start `rsl-jax "
            "train` with --distributed. Several GPUs of one host need no launcher: start one process, with "
            "OnPolicyRunner(..., devices=N). If WORLD_SIZE means something else, unset it. See docs/scaling.md."
        )
    return jax.process_count(), jax.process_index(), int(os.environ.get("LOCAL_RANK", "0") or 0)


def check_agreement(**facts: str) -> None:
    """Make sure that all processes train the same; all of them call it together.

    Args:
        facts: what must be the same everywhere, as text, by name.

    Raises:
        ValueError: if something differs; says what.
    """
    if jax.process_count() == 1:
        return
    sums = np.asarray([zlib.crc32(fact.encode()) for fact in facts.values()], np.uint32)
    everywhere = multihost_utils.process_allgather(sums)
    different = [name for name, column in zip(facts, everywhere.T, strict=True) if len({*column.tolist()}) > 1]
    if different:
        here = ", ".join(f"{name}: {facts[name]}" for name in different)
        raise ValueError(
            f"The {jax.process_count()} processes differ in: {', '.join(different)}. All of them must train the same. "
            f"Process {jax.process_index()} has {here}."
        )
