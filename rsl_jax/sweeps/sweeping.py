"""Many seeds of many settings: :func:`sweep`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.registry import nearest
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import Program
from rsl_jax.sweeps.progress import Progress, SweepConsole
from rsl_jax.sweeps.ray_cluster import RayCluster
from rsl_jax.sweeps.ray_training import RayTraining
from rsl_jax.sweeps.results import SweepResult
from rsl_jax.sweeps.running import LONGEST_STRETCH, Run, check_number
from rsl_jax.sweeps.settings import Member, Setting, list_seeds, list_settings, numeric_paths, shapes_of
from rsl_jax.sweeps.tracing import traceable_paths
from rsl_jax.training.sharding import Devices

BACKENDS = ("local", "ray")


def sweep(
    env: Env[Any] | str,
    cfg: BaseRunnerConfig | Mapping[str, Any],
    *,
    iterations: int,
    seeds: int | Iterable[int] = 16,
    settings: Sequence[Setting] | None = None,
    vary: Mapping[str, Iterable[Any]] | None = None,
    num_envs: int | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    devices: int | Sequence[jax.Device] | None = None,
    members_at_once: int | None = None,
    backend: Literal["local", "ray"] | RayCluster = "local",
    init_at_random_ep_len: bool = False,
    console: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    **varied: Iterable[Any],
) -> SweepResult:
    """Train many seeds of many settings, as many at once as fit into memory.

    Keys are given by their path in the config, or by its end if that is unambiguous: ``learning_rate=[1e-4, 1e-3]``,
    ``vary={"actor.distribution_cfg.init_std": [0.5, 1.0]}``. All combinations of the values are trained. Members
    that differ only in floats share one vectorised program; each value of a key that changes the program (sizes,
    epochs, names) is a separate program. Each member equals the run of an ``OnPolicyRunner`` with its config and seed,
    up to the rounding of vectorised matrix products.

    Args:
        env: the environments of one member, or a name for :func:`rsl_jax.env.make_env`.
        cfg: the config, or RSL-RL's dict of it.
        iterations: number of iterations of each member.
        seeds: number of seeds of each setting, or a list of seeds.
        settings: the settings as a list of mappings, values by key, instead of lists of values.
        vary: lists of values by key, as ``varied``, for keys that contain a dot.
        num_envs: number of environments of one member, if ``env`` is a name.
        folder: folder to which checkpoints of all members are written, every ``save_interval`` iterations; None writes
            nothing. All machines of a cluster must share it.
        resume: continue the sweep in ``folder``, with as many members at once as when it was started.
        devices: devices over which members are distributed, or their number; all devices of JAX if None. Not on a
            cluster, where each worker has its own.
        members_at_once: maximum number of members that are trained at once; as many as fit into memory if None. On a
            cluster, by each worker; equal shares if None.
        backend: ``"local"`` trains in this process, ``"ray"`` on the workers of a Ray cluster; a :class:`RayCluster`
            chooses the cluster and the resources of a worker.
        init_at_random_ep_len: start every environment at a random step of its first episode.
        console: whether to show progress.
        on_progress: called with the progress after every block of iterations.
        **varied: lists of values by key.

    Returns:
        curves by setting and seed, and the trained members.

    Raises:
        ValueError: for arguments that contradict each other, or are out of range.
        TypeError: for a value of the wrong type.
        SweepStopped: if Ctrl-C or SIGTERM stopped it; the results so far are in its ``result``, and in the folder.
        RuntimeError: if another process trains in the folder.
    """
    env = pure_environment(env, num_envs)
    cfg = BaseRunnerConfig.from_dict(cfg)
    cluster = _cluster_of(backend, devices)
    check_number("iterations", iterations)
    if members_at_once is not None:
        check_number("members_at_once", members_at_once)
    chosen_settings = list_settings(cfg, {**(vary or {}), **varied}, settings)
    chosen_seeds = list_seeds(seeds)
    # On a cluster nothing is computed here: programs are only checked.
    number = len(jax.devices()) if cluster is None else 1
    chosen_devices = Devices.choose(number if devices is None else devices).devices
    members = [
        Member(index, setting, seed)
        for index, (setting, seed) in enumerate((s, seed) for s in chosen_settings for seed in chosen_seeds)
    ]
    if cluster is not None and members_at_once is not None and members_at_once > len(members):
        raise ValueError(
            f"members_at_once is {members_at_once}, but the sweep has {len(members)} members, so that one worker would "
            "train all of them. Give a smaller number, or none: workers then get equal shares."
        )
    traced = traceable_paths(env, cfg, numeric_paths(cfg, chosen_settings))
    run = Run(env, cfg, members, iterations, on_progress, members_at_once)
    programs = [
        (
            Program(
                env,
                shape,
                traced,
                stretch=min(iterations, LONGEST_STRETCH),
                devices=chosen_devices[: len(own)],
                init_at_random_ep_len=init_at_random_ep_len,
            ),
            own,
        )
        for shape, own in shapes_of(cfg, members, traced)
    ]
    title = f"Sweep of {len(members)} runs (settings: {len(chosen_settings)}, seeds of each: {len(chosen_seeds)})"
    shown = SweepConsole(title) if console else None
    if folder is None and resume:
        raise ValueError("resume=True continues the sweep in a folder; give folder=PATH.")
    with contextlib.nullcontext() if cluster is None else cluster.connected() as ray:
        if folder is not None:
            run.folder = SweepFolder(folder, run.description(programs[0][0].spec), resume=resume)
        return run.train(programs, shown, None if cluster is None else RayTraining(ray, cluster).train_all)


def _cluster_of(backend: Any, devices: Any) -> RayCluster | None:
    """Return the cluster of a backend; None for this process.

    Raises:
        ValueError: for an unknown backend, or devices that a cluster does not use.
    """
    if backend == "local":
        return None
    if backend != "ray" and not isinstance(backend, RayCluster):
        raise ValueError(
            f"backend must be 'local', 'ray' or a RayCluster; got {backend!r}.{nearest(str(backend), BACKENDS)}"
        )
    if devices is not None:
        raise ValueError(
            "A sweep on Ray uses the devices of its workers, not those of this process. Leave out devices, and give "
            "backend=RayCluster(num_cpus=..., num_gpus=...) where a worker should have more than one CPU."
        )
    return RayCluster() if backend == "ray" else backend


def pure_environment(env: Any, num_envs: int | None) -> Env[Any]:
    """Return the environment of this name, or the given one, if it is a pure JAX environment.

    Raises:
        TypeError: if it is not a pure JAX environment.
        ValueError: if its number of environments is not ``num_envs``.
    """
    if isinstance(env, str):
        from rsl_jax.env import make_env

        env = make_env(env, **({} if num_envs is None else {"num_envs": num_envs}))
    elif num_envs is not None and num_envs != env.num_envs:
        raise ValueError(f"num_envs is {num_envs}, but the given environment has {env.num_envs}.")
    if not isinstance(env, Env):
        raise TypeError(
            f"A sweep compiles its environments, so it needs a rsl_jax.env.Env; got {type(env).__name__}. Train "
            "environments outside JAX with one OnPolicyRunner after another."
        )
    return env
