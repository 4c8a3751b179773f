"""Devices by PyTorch's names."""

from __future__ import annotations

import warnings

import jax


def resolve_device(device: str | jax.Device | None) -> jax.Device:
    """The device that a name such as ``"cuda:0"`` means; JAX's default, with a warning, where there is none."""
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
        warnings.warn(f"There is no device '{device}' here (there are: {available}); taking {default}.", stacklevel=3)
        return default
