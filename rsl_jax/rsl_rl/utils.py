"""RSL-RL's helpers and log writers."""

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

_OF_EPISODES = "statistics of episodes are computed on the device; runner.metrics has them ('Train/mean_reward', ...)."
_OF_WRITING = (
    "runner.learn() opens the writers, logs and closes them. logger.writer.add_scalar(tag, value, it) adds to it."
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
"""What RSL-RL's logger has and ours has not, with the reason."""


class Logger(_Logger):
    """:class:`rsl_jax.logging.Logger` with what else RSL-RL's has.

    Attributes:
        device: the runner's.
        gpu_world_size: how many processes train: one.
        disable_logs: False.
    """

    device: Any = None
    gpu_world_size = 1
    disable_logs = False

    def __getattr__(self, name: str) -> Any:
        """Say why something of RSL-RL's is not there.

        Raises:
            AttributeError: always.
        """
        if name in NOT_OF_LOGGERS:
            raise AttributeError(f"logger.{name} is not there: {NOT_OF_LOGGERS[name]}")
        raise AttributeError(f"The logger has no '{name}'.")


def __getattr__(name: str) -> Any:
    """Import the writer of a tracker when it is asked for."""
    if name == "WandbLogWriter":
        from rsl_jax.logging.wandb_writer import WandbLogWriter

        return WandbLogWriter
    if name == "NeptuneLogWriter":
        from rsl_jax.logging.neptune_writer import NeptuneLogWriter

        return NeptuneLogWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def resolve_callable(callable_or_name: Callable[..., Any] | str) -> Callable[..., Any]:
    """What a path ``"module:Attr"`` or ``"module.Attr"`` means; a callable is what it is.

    Raises:
        TypeError: if neither is given.
        ImportError: if the path leads nowhere.
    """
    return load(callable_or_name, "callable")


def resolve_class(cfg: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The callable that ``class_name`` of a section means, and the rest of the section."""
    rest = {key: value for key, value in cfg.items() if key != "class_name"}
    return resolve_callable(cfg["class_name"]), rest


def resolve_obs_groups(
    obs: Mapping[str, Any], obs_groups: Mapping[str, Sequence[str]], default_sets: Sequence[str]
) -> dict[str, list[str]]:
    """Which observation groups each set looks at; see :func:`rsl_jax.models.resolve_obs_groups`."""
    resolved = _resolve_obs_groups(list(obs.keys()), obs_groups, default_sets)
    return {name: list(groups) for name, groups in resolved.items()}


def resolve_nn_activation(act_name: str) -> Any:
    """A PyTorch module of an activation, by the name that a config gives.

    Raises:
        ValueError: if there is none of the name.
    """
    from rsl_jax.export.torch_modules import ACTIVATIONS

    return lookup(act_name.lower(), ACTIVATIONS, "activation")()


def resolve_optimizer(optimizer_name: str) -> Any:
    """The class of one of PyTorch's optimisers, by the name that a config gives.

    Raises:
        ValueError: if there is none of the name.
    """
    from torch import optim

    known = {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop}
    return lookup(optimizer_name.lower(), known, "optimizer")


def get_param(param: Any, idx: int) -> Any:
    """The parameter of a layer, of one for all or a list with one for each."""
    return param[idx] if isinstance(param, (tuple, list)) else param


def check_nan(obs: Mapping[str, Any], rewards: Any, dones: Any) -> None:
    """Refuse NaN in what an environment returned.

    Raises:
        ValueError: names what holds NaN.
    """
    named = {**{f"observations['{name}']": value for name, value in obs.items()}, "rewards": rewards, "dones": dones}
    bad = [name for name, value in named.items() if bool((value != value).any())]
    if bad:
        raise ValueError(f"The environment returned NaN in {', '.join(bad)}. Look at its step() and reset().")


def compile_model(model: Any, mode: str | None = None) -> Any:
    """The model as it is: whatever learns here is compiled by XLA already."""
    del mode
    return model


_PADDING = "recurrent models see whole rollouts in one scan with resets, so nothing is padded (docs/recurrent.md)."
split_and_pad_trajectories = refused("split_and_pad_trajectories", _PADDING)
unpad_trajectories = refused("unpad_trajectories", _PADDING)
reduce_gradients_in_buckets = refused(
    "reduce_gradients_in_buckets", "XLA averages gradients over devices: OnPolicyRunner(..., devices=N)."
)
