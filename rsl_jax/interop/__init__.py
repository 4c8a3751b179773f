"""Conversion of checkpoints from and to RSL-RL."""

from rsl_jax.interop.rsl_rl import (
    Loaded,
    from_rsl_rl,
    is_rsl_rl_file,
    params_from_state_dict,
    read_rsl_rl_checkpoint,
    rnd_from_state_dict,
    to_rsl_rl,
    train_state_from_checkpoint,
    write_rsl_rl_checkpoint,
)

__all__ = [
    "Loaded",
    "from_rsl_rl",
    "is_rsl_rl_file",
    "params_from_state_dict",
    "read_rsl_rl_checkpoint",
    "rnd_from_state_dict",
    "to_rsl_rl",
    "train_state_from_checkpoint",
    "write_rsl_rl_checkpoint",
]
