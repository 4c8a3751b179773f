"""A mirror for both libraries: JAX arrays or tensors, in dicts or TensorDicts."""

from __future__ import annotations

from typing import Any

MIRROR = {
    "observations": {
        "policy": {"size": 5, "swap": [[0, 3]], "flip": [1, 0, 3]},
        "privileged": {"size": 4, "flip": [2]},
    },
    "actions": {"size": 3, "swap": [[0, 2]], "flip": [1]},
}
"""The same as a ``mirror_spec``."""


def mirror(env: Any, obs: Any = None, actions: Any = None) -> tuple[Any, Any]:
    """Originals, then mirror images; what RSL-RL calls a ``data_augmentation_func``."""
    del env
    return (
        None if obs is None else _both_of_all(obs),
        None if actions is None else _both(actions, [2, 1, 0], [1, -1, 1]),
    )


def _both_of_all(obs: Any) -> Any:
    rules: dict[str, Any] = {
        "policy": ([3, 1, 2, 0, 4], [-1, -1, 1, -1, 1]),
        "privileged": ([0, 1, 2, 3], [1, 1, -1, 1]),
    }
    mirrored = {name: _both(x, *rules[name]) for name, x in obs.items()}
    if isinstance(obs, dict):
        return mirrored
    return type(obs)(mirrored, 2 * obs.batch_size[0])


def _both(x: Any, permutation: list[int], signs: list[int]) -> Any:
    if type(x).__module__.startswith("torch"):
        import torch

        return torch.cat([x, x[:, permutation] * torch.tensor(signs, dtype=x.dtype)])
    import jax.numpy as jnp

    return jnp.concatenate([x, x[:, jnp.array(permutation)] * jnp.array([signs], x.dtype)])
