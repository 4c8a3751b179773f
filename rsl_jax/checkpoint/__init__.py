"""Checkpoints: whole states on disk, written by Orbax.

A checkpoint is a folder with the items ``state`` (all that learning changes), ``loop`` (environments, hidden states,
episode statistics and the random key, where there are any) and ``metadata`` (JSON: iteration, config, versions and what
the user adds), and with the SHA-256 of all their files (``SHA256SUMS``, which ``sha256sum -c`` reads too). It appears
under its name only once it is complete, holds plain arrays, is never unpickled, and loads on any number and kind of
devices. docs/security.md says what the config in it may name.
"""

from rsl_jax.checkpoint.folders import latest_checkpoint, locate
from rsl_jax.checkpoint.lock import lock_log_dir
from rsl_jax.checkpoint.reading import (
    Checkpoint,
    DamagedCheckpointError,
    check_checkpoint,
    last_good_checkpoint,
    read_checkpoint,
    read_metadata,
)
from rsl_jax.checkpoint.saving import save_checkpoint

__all__ = [
    "Checkpoint",
    "DamagedCheckpointError",
    "check_checkpoint",
    "last_good_checkpoint",
    "latest_checkpoint",
    "locate",
    "lock_log_dir",
    "read_checkpoint",
    "read_metadata",
    "save_checkpoint",
]
