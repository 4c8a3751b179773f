"""Devices by PyTorch's names."""

from __future__ import annotations

import os
import warnings

import jax


def resolve_device(device: str | jax.Device | None) -> jax.Device:
    """Return the device for a name such as ``"cuda:0"``; JAX's default, with a warning, if it does not exist."""
    if isinstance(device, jax.Device):
        return device
    default = jax.devices()[0]
    if device is None:
        return default
    platform, _, index = str(device).partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, IndexError, ValueError):
        available = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
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
            f"WORLD_SIZE={wanted} asks for a process on each GPU, as torchrun starts them for RSL-RL. Several devices "
            "are one process here: start the script once, without torchrun (or --distributed, --gpu-ids), and give "
            "OnPolicyRunner(..., devices=N); docs/devices.md. If WORLD_SIZE means something else, unset it."
        )
    return jax.process_count(), jax.process_index(), int(os.environ.get("LOCAL_RANK", "0") or 0)
