"""One run on many devices, data-parallel over environments.

Each device steps an equal part of the environments and learns from their data; gradients and statistics are
averaged over all, so that every device holds the same parameters. The functions that collect and learn know nothing of
this but the name of the axis to average over.

The devices may belong to several processes (:mod:`rsl_jax.distributed`), each of which runs the same program and holds
its own devices' parts of every array. What is said of "this process" is then said of each; one process is all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsl_jax.compilation_cache import disable_for_several
from rsl_jax.env.base import Env, equal_part
from rsl_jax.training.episodes import EpisodeStatistics
from rsl_jax.training.iteration import LoopState
from rsl_jax.trees import is_key, leaves_by_path
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
        """Select the first so many devices of each process, or the given ones; each process's first one if None.

        Devices of this process stand for the same ones of each process.

        Raises:
            ValueError: if there are not as many.
        """
        here = jax.local_devices()
        if devices is None:
            devices = 1
        if isinstance(devices, int) and not 1 <= devices <= len(here):
            each = "" if jax.process_count() == 1 else f" in each of the {jax.process_count()} processes"
            raise ValueError(
                f"devices is {devices}, but there are {len(here)} here{each}: {', '.join(map(str, here))}. "
                "(XLA_FLAGS=--xla_force_host_platform_device_count=N, set before JAX starts, makes N devices of a CPU.)"
            )
        chosen = here[:devices] if isinstance(devices, int) else [*devices]
        return cls(tuple(_of_each_process(chosen)))

    @property
    def local(self) -> tuple[jax.Device, ...]:
        """The devices of this process."""
        return tuple(device for device in self.devices if device.process_index == jax.process_index())

    @property
    def processes(self) -> int:
        """Number of processes that the devices belong to."""
        return len({device.process_index for device in self.devices})

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
        disable_for_several(self.devices)
        return jax.shard_map(function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)

    def shardings(self, specs: Any) -> Any:
        """Return the shardings of results for ``jax.jit``; None on a single device.

        XLA reports arrays without elements, which simulators' states have, as not sharded, whatever they are. A state
        that a call returns would then not be what the next call was compiled for.
        """
        if self.axis_name is None:
            return None
        return jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), specs)

    def shard(self, tree: Any, specs: Any) -> Any:
        """Place arrays on the devices, each device's part on it.

        Args:
            tree: whole arrays, the same in every process; or arrays that are placed so already.
            specs: how they are spread, a prefix of ``tree``.
        """
        return self._placed(tree, specs, _from_whole)

    def join(self, tree: Any, specs: Any) -> Any:
        """Place arrays on the devices of which each process has the part of its own environments."""
        return self._placed(tree, specs, jax.make_array_from_process_local_data)

    def on_first(self, tree: Any) -> Any:
        """Copy arrays to this process's first device: whole ones as they are, of those that are spread its part."""
        if self.axis_name is None:
            return tree
        return jax.device_put(tree if self.processes == 1 else jax.tree.map(_part_here, tree), self.local[0])

    def key_of_process(self, key: jax.Array) -> jax.Array:
        """Return a random key of this process's own, out of one that all processes share."""
        return key if self.processes == 1 else jax.random.fold_in(key, jax.process_index())

    def _placed(self, tree: Any, specs: Any, place: Callable[[NamedSharding, Any], Any]) -> Any:
        if self.axis_name is None:
            return to_device(tree, self.devices[0])
        shardings = self.shardings(specs)
        if self.processes == 1:
            return jax.device_put(tree, shardings)

        def put(sharding: NamedSharding, x: Any) -> Any:
            if isinstance(x, jax.Array) and not x.is_fully_addressable:  # an array of all processes already
                return jax.device_put(x, sharding)
            if is_key(x):
                return jax.random.wrap_key_data(put(sharding, jax.random.key_data(x)), impl=jax.random.key_impl(x))
            return place(sharding, np.asarray(x))

        return jax.tree.map(put, jax.tree.broadcast(shardings, tree), tree)


def whole(tree: Any) -> Any:
    """Gather arrays that are spread over several processes; all processes call it together.

    They come as numpy arrays, random keys as keys. Arrays of this process alone are returned as they are.
    """

    def gather(x: Any) -> Any:
        if not isinstance(x, jax.Array) or x.is_fully_addressable:
            return x
        if is_key(x):
            return jax.random.wrap_key_data(jnp.asarray(gather(jax.random.key_data(x))), impl=jax.random.key_impl(x))
        return np.asarray(x) if x.is_fully_replicated else multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(gather, tree)


def in_any_process(flag: bool) -> bool:
    """Return whether a flag is set in any process; all processes call it together."""
    return flag if jax.process_count() == 1 else bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def of_first_process(value: float) -> float:
    """Return the first process's value; all processes call it together."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.process_allgather(np.asarray(value, np.float32))[0])


def _of_each_process(devices: Sequence[jax.Device]) -> Sequence[jax.Device]:
    """Replace devices of this process by those in the same places of every process, in the processes' order."""
    if jax.process_count() == 1 or {device.process_index for device in devices} != {jax.process_index()}:
        return devices
    here = jax.local_devices(backend=devices[0].platform)
    places = [here.index(device) for device in devices]
    everywhere = (jax.local_devices(n, devices[0].platform) for n in range(jax.process_count()))
    return [of_process[place] for of_process in everywhere for place in places]


def _from_whole(sharding: NamedSharding, x: Any) -> jax.Array:
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def _part_here(x: Any) -> Any:
    """Return what this process holds of an array: all of it, or the rows of its own environments."""
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
        return x
    if is_key(x):
        return jax.random.wrap_key_data(_part_here(jax.random.key_data(x)), impl=jax.random.key_impl(x))
    if x.is_fully_replicated:
        return x.addressable_data(0)
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start)
    return jnp.asarray(np.concatenate([np.asarray(shard.data) for shard in shards]))


def to_device(tree: Any, device: jax.Device) -> Any:
    """Put a pytree on a device of this process; arrays on JAX's default device stay uncommitted.

    Committing arrays without need would compile functions again wherever committed and uncommitted arrays meet.
    """

    def put(x: jax.Array) -> jax.Array:
        return x if device == jax.local_devices()[0] and x.devices() == {device} else jax.device_put(x, device)

    return jax.tree.map(put, jax.tree.map(_part_here, tree))
