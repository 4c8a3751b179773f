"""Exchange with other libraries."""

from rsl_jax.interop.rsl_rl import params_from_state_dict, rnd_from_state_dict, train_state_from_checkpoint

__all__ = ["params_from_state_dict", "rnd_from_state_dict", "train_state_from_checkpoint"]
