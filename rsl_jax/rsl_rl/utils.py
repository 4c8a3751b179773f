"""RSL-RL's utilities and log writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rsl_jax.logging import Logger as _Logger
from rsl_jax.logging import LogWriter
from rsl_jax.models import resolve_obs_groups as _resolve_obs_groups
from rsl_jax.registry import load, lookup
from rsl_jax.rsl_rl.stand_ins import refused

if TYPE_CHECKING:
    from rsl_jax.logging.neptune_writer import NeptuneLogWriter as NeptuneLogWriter
    from rsl_jax.logging.wandb_writer import WandbLogWriter as WandbLogWriter

__all__ = [
    "LogWriter",
    "Logger",
    "NeptuneLogWriter",
    "WandbLogWriter",
    "check_nan",
    "compile_model",
    "get_param",
    "reduce_gradients_in_buckets",
    "resolve_callable",
    "resolve_class",
    "resolve_nn_activation",
    "resolve_obs_groups",
    "resolve_optimizer",
    "split_and_pad_trajectories",
    "unpad_trajectories",
]

_OF_EPISODES = "episode statistics are computed on the device; runner.metrics has them ('Train/mean_reward', ...)."
_OF_WRITING = (
    "runner.learn() opens the writers, logs and closes them. Add scalars by logger.writer.add_scalar(tag, value, it)."
)

NOT_OF_LOGGERS: Mapping[str, str] = {
    "init_logging_writer": _OF_WRITING,
    "process_env_step": _OF_EPISODES,
    "ep_extras": "the environment's log is averaged over an iteration; runner.metrics has it.",
    "rewbuffer": _OF_EPISODES,
    "lenbuffer": _OF_EPISODES,
    "erewbuffer": _OF_EPISODES,
    "irewbuffer": _OF_EPISODES,
    "cur_reward_sum": _OF_EPISODES,
    "cur_episode_length": _OF_EPISODES,
    "cur_ereward_sum": _OF_EPISODES,
    "cur_ireward_sum": _OF_EPISODES,
}
"""Members of RSL-RL's logger that ours does not have, with the reason."""


class Logger(_Logger):
    """:class:`rsl_jax.logging.Logger` with further members of RSL-RL's.

    Attributes:
        device: the runner's device.
        gpu_world_size: number of training processes, 1.
        disable_logs: False.
    """

    device: Any = None
    gpu_world_size = 1
    disable_logs = False

    def __getattr__(self, name: str) -> Any:
        """Explain why a member of RSL-RL's logger is missing.

        Raises:
            AttributeError: always.
        """
        if name in NOT_OF_LOGGERS:
            raise AttributeError(f"logger.{name} does not exist here: {NOT_OF_LOGGERS[name]}")
        raise AttributeError(f"The logger has no attribute '{name}'.")


def __getattr__(name: str) -> Any:
    """Import the writer of a tracker on first use."""
    if name == "WandbLogWriter":
        from rsl_jax.logging.wandb_writer import WandbLogWriter

        return WandbLogWriter
    if name == "NeptuneLogWriter":
        from rsl_jax.logging.neptune_writer import NeptuneLogWriter

        return NeptuneLogWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def resolve_callable(callable_or_name: Callable[..., Any] | str) -> Callable[..., Any]:
    """Import the callable at a path ``"module:Attr"`` or ``"module.Attr"``; a callable is returned unchanged.

    Raises:
        TypeError: if neither is given.
        ImportError: if the path cannot be imported.
    """
    return load(callable_or_name, "callable")


def resolve_class(cfg: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the callable that ``class_name`` of a section names, and the rest of the section."""
    rest = {key: value for key, value in cfg.items() if key != "class_name"}
    return resolve_callable(cfg["class_name"]), rest


def resolve_obs_groups(
    obs: Mapping[str, Any], obs_groups: Mapping[str, Sequence[str]], default_sets: Sequence[str]
) -> dict[str, list[str]]:
    """Resolve the observation groups of each set; see :func:`rsl_jax.models.resolve_obs_groups`."""
    resolved = _resolve_obs_groups(list(obs.keys()), obs_groups, default_sets)
    return {name: list(groups) for name, groups in resolved.items()}


def resolve_nn_activation(act_name: str) -> Any:
    """Return a PyTorch module of an activation by its name in configs.

    Raises:
        ValueError: if there is no activation of this name.
    """
    from rsl_jax.export.torch_modules import ACTIVATIONS

    return lookup(act_name.lower(), ACTIVATIONS, "activation")()


def resolve_optimizer(optimizer_name: str) -> Any:
    """Return the class of a PyTorch optimiser by its name in configs.

    Raises:
        ValueError: if there is no optimiser of this name.
    """
    from torch import optim

    known = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop}
    return lookup(optimizer_name.lower(), known, "optimizer")


def get_param(param: Any, idx: int) -> Any:
    """Return the parameter of a layer, given one for all layers or a list with one for each."""
    return param[idx] if isinstance(param, (tuple, list)) else param


def check_nan(obs: Mapping[str, Any], rewards: Any, dones: Any) -> None:
    """Check what an environment returned for NaN.

    Raises:
        ValueError: if there is any; says where.
    """
    named = {**{f"observations['{name}']": value for name, value in obs.items()}, "rewards": rewards, "dones": dones}
    bad = [name for name, value in named.items() if bool((value != value).any())]
    if bad:
        raise ValueError(f"The environment returned NaN in {', '.join(bad)}. Check its step() and reset().")


def compile_model(model: Any, mode: str | None = None) -> Any:
    """Return the model unchanged: XLA compiles all training already."""
    del mode
    return model


_PADDING = "recurrent models process whole rollouts in one scan with resets, so nothing is padded (docs/recurrent.md)."
split_and_pad_trajectories = refused("split_and_pad_trajectories", _PADDING)
unpad_trajectories = refused("unpad_trajectories", _PADDING)
reduce_gradients_in_buckets = refused(
    "reduce_gradients_in_buckets", "XLA averages gradients over devices: OnPolicyRunner(..., devices=N)."
)
