"""Choice of the checkpoint to resume from."""

from __future__ import annotations

from pathlib import Path

from rsl_jax.cli.arguments import LATEST
from rsl_jax.cli.output import CommandError
from rsl_jax.cli.runs import find_checkpoint, newest_run


def resumed_checkpoint(
    env: str, log_dir: Path | None, *, resume: str | None, from_last_good: bool, or_start: bool
) -> Path | None:
    """Find the checkpoint that the flags of a command ask for.

    Args:
        env: name of the environment.
        log_dir: folder of the run, if it is given.
        resume: a checkpoint or log folder, :data:`LATEST`, or None if it is not given.
        from_last_good: whether to replace a damaged checkpoint by another one of the run.
        or_start: whether to start a run if there is no checkpoint.

    Returns:
        the checkpoint, whose files are undamaged; None to start a run.

    Raises:
        CommandError: if there is none, or it is damaged.
    """
    if resume is None and not from_last_good and not or_start:
        return None
    try:
        if resume in (None, LATEST):
            found = find_checkpoint(log_dir if log_dir is not None else newest_run(env))
        else:
            found = find_checkpoint(resume)
    except CommandError:
        if or_start and resume in (None, LATEST):
            return None
        raise
    return _intact(found, from_last_good=from_last_good)


def refuse_to_overwrite(log_dir: Path | None, checkpoint: Path | None) -> None:
    """Check that a run does not write to the folder of another one.

    Raises:
        CommandError: if it would.
    """
    from rsl_jax.checkpoint import latest_checkpoint

    if log_dir is None or (checkpoint is not None and checkpoint.parent.resolve() == log_dir.resolve()):
        return
    if any(log_dir.glob("model_*")) or latest_checkpoint(log_dir):
        raise CommandError(
            f"'{log_dir}' contains the checkpoints of another run. Add --resume to continue it, or give another "
            "--log-dir."
        )


def _intact(checkpoint: Path, *, from_last_good: bool) -> Path:
    from rsl_jax.checkpoint import DamagedCheckpointError, check_checkpoint, last_good_checkpoint

    try:
        check_checkpoint(checkpoint)
    except DamagedCheckpointError as error:
        good = last_good_checkpoint(checkpoint.parent)
        if good is None:
            other = f" To resume from '{error.intact}': --resume {error.intact}." if error.intact else ""
            raise CommandError(f"{error}{other}") from error
        if not from_last_good:
            raise CommandError(f"{error} Add --resume-from-last-good to resume from '{good}'.") from error
        return good
    return checkpoint
