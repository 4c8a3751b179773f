"""Many seeds of many settings: :func:`sweep`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.sweeps.folder import SweepFolder
from rsl_jax.sweeps.program import Program
from rsl_jax.sweeps.progress import Progress, SweepConsole
from rsl_jax.sweeps.results import SweepResult
from rsl_jax.sweeps.running import LONGEST_STRETCH, Run, check_iterations
from rsl_jax.sweeps.settings import Member, Setting, list_seeds, list_settings, numeric_paths, shapes_of
from rsl_jax.sweeps.tracing import traceable_paths
from rsl_jax.training.sharding import Devices


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
    init_at_random_ep_len: bool = False,
    console: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    **varied: Iterable[Any],
) -> SweepResult:
    """Train many seeds of many settings, as many at once as fit into memory.

    Keys are given by their path in the config, or by its end where that is enough: ``learning_rate=[1e-4, 1e-3]``,
    ``vary={"actor.distribution_cfg.init_std": [0.5, 1.0]}``. Lists of values are combined. Members that differ in real
    numbers alone are one program, vectorised over them; each value of what shapes the program (sizes, epochs, names)
    is a program of its own. Each member is the run of an ``OnPolicyRunner`` of its config and seed, up to the rounding
    of vectorised matrix products.

    Args:
        env: the environments of one member, or a name for :func:`rsl_jax.env.make_env`.
        cfg: the config, or RSL-RL's dict of it.
        iterations: of each member.
        seeds: how many seeds of each setting, or which.
        settings: the settings as a list of mappings, values by key, instead of lists of values.
        vary: lists of values by key, as ``varied``, for keys that contain a dot.
        num_envs: environments of one member, where ``env`` is a name.
        folder: where checkpoints of all members are written, every ``save_interval`` iterations; None writes nothing.
        resume: continue the sweep in ``folder``, with as many members at once as it began with.
        devices: devices to spread the members over, or their number; all of JAX's if None.
        members_at_once: maximum number of members that one call trains; as many as fit into memory if None.
        init_at_random_ep_len: start every environment at a random step of its episode.
        console: whether to show progress.
        on_progress: called with the progress after every block of iterations.
        **varied: lists of values by key.

    Returns:
        curves by setting and seed, and the trained members.

    Raises:
        ValueError: if something does not fit together, or is out of range.
        TypeError: for a value of the wrong type.
        SweepStopped: when Ctrl-C or SIGTERM stopped it; what was trained is in its ``result``, and in the folder.
    """
    env = pure_environment(env, num_envs)
    cfg = BaseRunnerConfig.from_dict(cfg)
    check_iterations(iterations)
    chosen_settings = list_settings(cfg, {**(vary or {}), **varied}, settings)
    chosen_seeds = list_seeds(seeds)
    chosen_devices = Devices.choose(len(jax.devices()) if devices is None else devices).devices
    members = [
        Member(index, setting, seed)
        for index, (setting, seed) in enumerate((s, seed) for s in chosen_settings for seed in chosen_seeds)
    ]
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
    if folder is not None:
        run.folder = SweepFolder(folder, run.description(), resume=resume)
    elif resume:
        raise ValueError("resume=True goes on with the sweep in a folder; give folder=PATH.")
    title = f"Sweep of {len(members)} runs (settings: {len(chosen_settings)}, seeds of each: {len(chosen_seeds)})"
    return run.train(programs, SweepConsole(title) if console else None)


def pure_environment(env: Any, num_envs: int | None) -> Env[Any]:
    """Return the environment of a name, or the given one, if a program can contain it.

    Raises:
        TypeError: if it is outside JAX.
        ValueError: if it has another number of environments.
    """
    if isinstance(env, str):
        from rsl_jax.env import make_env

        env = make_env(env, **({} if num_envs is None else {"num_envs": num_envs}))
    elif num_envs is not None and num_envs != env.num_envs:
        raise ValueError(f"num_envs is {num_envs}, but the environment that is given has {env.num_envs}.")
    if not isinstance(env, Env):
        raise TypeError(
            f"A sweep compiles its environments, so it needs a rsl_jax.env.Env; got {type(env).__name__}. Train an "
            "environment outside JAX by one OnPolicyRunner after another."
        )
    return env
