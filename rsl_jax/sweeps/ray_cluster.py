"""Ray's cluster: which one, how to reach it, and what it has room for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rsl_jax.env.extras import import_extra

ADDRESS = "RAY_ADDRESS"
"""Environment variable with the address of the cluster, which Ray reads too."""

HOW_TO_START = (
    "Start a cluster by `ray start --head` on one machine and `ray start --address=HOST:6379` on the others. Without "
    f"an address and {ADDRESS}, the cluster of this machine is used, or one is started on it for the time of the sweep."
)


@dataclass(frozen=True)
class RayCluster:
    """Ray cluster that trains a sweep, and what each of its workers gets.

    Attributes:
        address: ``"HOST:PORT"`` of the cluster. None: ``RAY_ADDRESS``, else the cluster that this machine belongs to,
            else a new one on this machine for the time of the sweep. Ignored where ``ray.init`` was called before.
        num_cpus: CPU cores of each worker, which has one JAX device.
        num_gpus: GPUs of each worker, which uses them instead; a fraction lets several workers share one.
        time_limit: seconds to wait for the cluster, and for a first worker.
        max_retries: how often the same members may lose their worker without having got any further.
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    time_limit: float = 120
    max_retries: int = 3

    def __post_init__(self) -> None:
        for name, value, least in (("num_gpus", self.num_gpus, 0), ("max_retries", self.max_retries, 0)):
            if not value >= least:
                raise ValueError(f"{name} of a Ray cluster is at least {least}; got {value}.")
        for name, value in (("num_cpus", self.num_cpus), ("time_limit", self.time_limit)):
            if not value > 0:
                raise ValueError(f"{name} of a Ray cluster is above 0; got {value}.")
        if self.num_gpus > 1 and self.num_gpus != int(self.num_gpus):
            raise ValueError(f"num_gpus of a Ray cluster is a whole number, or below 1; got {self.num_gpus}.")

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """Connect to the cluster; gives the module ``ray``. A connection of the user's own is used, and kept.

        Raises:
            ImportError: without Ray; says how to install it.
            ConnectionError: if there is no such cluster; says what was tried.
        """
        ray = import_extra("ray", "ray")
        if ray.is_initialized():
            yield ray
            return
        address = self.address or os.environ.get(ADDRESS)
        if address is not None and ":" in address:
            _wait_for(address, self.time_limit)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's authors unasked
        with _kept_signals():
            try:
                with warnings.catch_warnings():
                    # JAX warns of forks; those of a cluster that is started here run other programs at once.
                    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
                    # Workers' errors reach this process as exceptions; their output would break up the display.
                    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray raises all kinds
                where = f"at '{address}'" if address else "of this machine"
                raise ConnectionError(f"No connection to the Ray cluster {where}: {error}. {HOW_TO_START}") from error
            try:
                yield ray
            finally:
                ray.shutdown()

    def room(self, ray: Any) -> list[int]:
        """Return how many workers each node of the cluster has room for."""
        needs = {"CPU": self.num_cpus, "GPU": self.num_gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [min(int(has.get(name, 0) / need) for name, need in needs.items() if need) for has in nodes]

    def describe_nodes(self, ray: Any) -> str:
        """Describe what a worker needs, and what the nodes of the cluster have, as a sentence for errors."""
        nodes = [
            f"{node['NodeManagerHostname']} with {node['Resources'].get('CPU', 0):g} CPUs and "
            f"{node['Resources'].get('GPU', 0):g} GPUs"
            for node in ray.nodes()
            if node["Alive"]
        ]
        return (
            f"A worker needs {self.num_cpus:g} CPUs and {self.num_gpus:g} GPUs that no other job uses. The cluster "
            f"has: {', '.join(nodes) or 'no nodes'}."
        )


def _wait_for(address: str, time_limit: float) -> None:
    """Wait until something listens at an address: Ray itself may end the process if nothing does."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        raise ConnectionError(f"The address of a Ray cluster is HOST:PORT, such as node1:6379; got '{address}'.")
    end = time.monotonic() + time_limit
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, end - time.monotonic())).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= end:
                raise ConnectionError(
                    f"No Ray cluster answers at '{address}' within {time_limit:g} s ({error}). {HOW_TO_START}"
                ) from error
            time.sleep(0.2)


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Put back the handler of SIGTERM that ``ray.init`` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
