"""Choice of the loop that fits an environment: compiled, or around the steps of a host environment."""

from __future__ import annotations

from typing import Any

import jax

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env, VecEnv
from rsl_jax.env.contract import CheckedEnv
from rsl_jax.training.compiled_loop import CompiledLoop, Loop
from rsl_jax.training.host_loop import HostLoop
from rsl_jax.training.iteration import spec_of
from rsl_jax.training.sharding import Devices
from rsl_jax.training.train import AlgorithmFactory
from rsl_jax.types import Spec


def make_loop(env: Env[Any] | VecEnv, cfg: BaseRunnerConfig, build: AlgorithmFactory, devices: Devices) -> Loop:
    """Build the loop for an environment, on these devices, with the algorithms that ``build`` returns."""
    return CompiledLoop(env, cfg, build, devices) if isinstance(env, Env) else HostLoop(env, cfg, build, devices)


def spec_of_any(env: Env[Any] | VecEnv) -> Spec:
    """Return the :class:`Spec` of an environment, pure or not; a host environment is one of several, one a process."""
    if isinstance(env, Env):
        return spec_of(env)
    checked = CheckedEnv(env)
    return Spec(
        observations=checked.shapes,
        num_actions=checked.num_actions,
        num_envs=checked.num_envs * jax.process_count(),
        step_dt=getattr(env, "step_dt", getattr(getattr(env, "unwrapped", None), "step_dt", None)),
        discrete=getattr(env, "discrete", False),
        env=env,
    )
