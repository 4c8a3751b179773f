"""One run on many devices, data-parallel over environments.

Each device steps an equal part of the environments and learns from their data; gradients and statistics are
averaged over all, so that every device holds the same parameters. The functions that collect and learn know nothing of
this but the name of the axis to average over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsl_jax.env.base import Env, equal_part
from rsl_jax.training.episodes import EpisodeStatistics
from rsl_jax.training.iteration import LoopState
from rsl_jax.trees import leaves_by_path
from rsl_jax.types import Rollout, Spec, TrainState

AXIS = "devices"
"""Name of the mesh axis over which environments are spread."""

# How pytrees are spread: prefixes of them, as jax.shard_map expects.
EVERYWHERE: Any = P()
EACH_ENV: Any = P(AXIS)
EACH_STEP: Any = P(None, AXIS)

STATE_SPECS = TrainState(
    params=EVERYWHERE,
    statistics=EVERYWHERE,
    opt_state=EVERYWHERE,
    learning_rate=EVERYWHERE,
    extensions=EVERYWHERE,
    iteration=EVERYWHERE,
    memory=EACH_ENV,
)
LOOP_SPECS = LoopState(
    env_state=EACH_ENV,
    observations=EACH_ENV,
    carry=EACH_ENV,
    episodes=EpisodeStatistics(running=EACH_ENV, finished=EVERYWHERE, count=EVERYWHERE),
    key=EVERYWHERE,
)
ROLLOUT_SPECS = Rollout(
    observations=EACH_STEP,
    actions=EACH_STEP,
    log_probs=EACH_STEP,
    distribution_params=EACH_STEP,
    rewards=EACH_STEP,
    dones=EACH_STEP,
    time_outs=EACH_STEP,
    carry=EACH_ENV,
    last_observations=EACH_ENV,
    last_carry=EACH_ENV,
    final_observations=EACH_STEP,
)


@dataclasses.dataclass(frozen=True)
class Devices:
    """Set of devices that the environments of a run are spread over.

    On a single device there is no sharding: functions are compiled as they are, without an axis.

    Attributes:
        devices: all of them, in the order in which they take their parts.
    """

    devices: tuple[jax.Device, ...]

    @classmethod
    def choose(cls, devices: int | Sequence[jax.Device] | None) -> Devices:
        """Select the first so many devices of JAX, or the given ones; JAX's first one if None.

        Raises:
            ValueError: if there are not as many.
        """
        if devices is None:
            devices = 1
        if not isinstance(devices, int):
            return cls(tuple(devices))
        available = jax.devices()
        if not 1 <= devices <= len(available):
            raise ValueError(
                f"devices is {devices}, but there are {len(available)} here: {', '.join(map(str, available))}. "
                "(XLA_FLAGS=--xla_force_host_platform_device_count=N, set before JAX starts, makes N devices of a CPU.)"
            )
        return cls(tuple(available[:devices]))

    @property
    def axis_name(self) -> str | None:
        """Name of the axis to reduce over, or None on a single device."""
        return AXIS if len(self.devices) > 1 else None

    @property
    def mesh(self) -> Mesh:
        """The one-dimensional mesh of the devices."""
        return Mesh(np.array(self.devices), (AXIS,))

    def part_of_env(self, env: Env[Any]) -> Env[Any]:
        """Return the environments that each device steps.

        Raises:
            ValueError: if the environments cannot be divided equally, or their state has leaves that all of them share.
        """
        if self.axis_name is None:
            return env
        part = env.part(len(self.devices))
        whole_state, part_state = (jax.eval_shape(batch.reset, jax.random.key(0))[0] for batch in (env, part))
        leaves = leaves_by_path(whole_state, separator=".")
        for (name, whole), share in zip(leaves.items(), jax.tree.leaves(part_state), strict=True):
            if whole.shape[:1] == share.shape[:1]:
                raise ValueError(
                    f"The environments share '{name}' of their state, so they cannot be spread over devices. Give it "
                    "an axis of num_envs rows, one for each of them (a key: jax.random.split(key, self.num_envs))."
                )
        return part

    def part_of_spec(self, spec: Spec) -> Spec:
        """Return the spec of the algorithm on each device."""
        return dataclasses.replace(spec, num_envs=equal_part("num_envs", spec.num_envs, len(self.devices)))

    def run(self, function: Callable[..., Any], in_specs: Any, out_specs: Any) -> Callable[..., Any]:
        """Return a function on global arrays that runs ``function`` on every device's part of them, for ``jax.jit``.

        Args:
            function: may reduce over :attr:`axis_name`.
            in_specs: how the arguments are spread, as for ``jax.shard_map``.
            out_specs: how the results are sharded; results without sharding must be the same on all devices.
        """
        if self.axis_name is None:
            return function
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    def shard(self, tree: Any, specs: Any) -> Any:
        """Place global arrays on the devices, each device's part on it."""
        if self.axis_name is None:
            return to_device(tree, self.devices[0])
        return jax.device_put(tree, jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), specs))

    def on_first(self, tree: Any) -> Any:
        """Copy arrays to the first device, where they are not spread."""
        return tree if self.axis_name is None else jax.device_put(tree, self.devices[0])


def to_device(tree: Any, device: jax.Device) -> Any:
    """Put a pytree on a device; arrays on JAX's default device stay uncommitted.

    Committing arrays without need would compile functions again wherever committed and uncommitted arrays meet.
    """

    def put(x: jax.Array) -> jax.Array:
        return x if device == jax.devices()[0] and x.devices() == {device} else jax.device_put(x, device)

    return jax.tree.map(put, tree)
