"""Which checkpoint a run goes on from."""

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
        resume: a checkpoint or log folder, :data:`LATEST`, or None where nothing is said.
        from_last_good: whether another checkpoint of the run may take the place of a damaged one.
        or_start: whether there need not be any.

    Returns:
        the checkpoint, whose files are as they were written; None to start from the beginning.

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
    """Keep a run from writing into the folder of another one.

    Raises:
        CommandError: if it would.
    """
    from rsl_jax.checkpoint import latest_checkpoint

    if log_dir is None or (checkpoint is not None and checkpoint.parent.resolve() == log_dir.resolve()):
        return
    if any(log_dir.glob("model_*")) or latest_checkpoint(log_dir):
        raise CommandError(
            f"'{log_dir}' holds the checkpoints of another run. Add --resume to go on with it, or give another "
            "--log-dir."
        )


def _intact(checkpoint: Path, *, from_last_good: bool) -> Path:
    from rsl_jax.checkpoint import DamagedCheckpointError, check_checkpoint, last_good_checkpoint

    try:
        check_checkpoint(checkpoint)
    except DamagedCheckpointError as error:
        good = last_good_checkpoint(checkpoint.parent)
        if good is None:
            other = f" To go on from '{error.intact}': --resume {error.intact}." if error.intact else ""
            raise CommandError(f"{error}{other}") from error
        if not from_last_good:
            raise CommandError(f"{error} Add --resume-from-last-good to go on from '{good}'.") from error
        return good
    return checkpoint
