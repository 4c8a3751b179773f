"""Finding runs and their checkpoints on disk."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings, read_settings
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.trusted import RUN_FILE, reading_run

LOGS = Path("logs")

LONGEST_NAME = 150
"""Bytes of an environment's or a run's name that a folder is called after; file systems allow 255 in all."""


def folder_name(env: str) -> Path:
    """Folder of an environment's runs below ``logs``."""
    return Path(*[_as_name(part.replace(":", ".")) for part in env.split("/") if part not in ("", ".", "..")])


def new_log_dir(env: str, run_name: str | None) -> Path:
    """Make a folder ``logs/<env>/<date and time>[_<run_name>]`` that did not exist before.

    Of the name of the run that which a folder cannot be called is replaced by ``-``, and what is too long is cut off.
    """
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{_as_name(run_name)}" if run_name else "")
    parent, count = LOGS / folder_name(env), 0
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = parent / (f"{stem}-{count}" if count else stem)
        try:
            path.mkdir()
            return path
        except FileExistsError:  # several runs were started in the same second
            count += 1


def _as_name(text: str) -> str:
    """A text as the name of one folder, on any system: without separators and control characters, and short enough."""
    name = re.sub(r'[\x00-\x1f\x7f/\\<>:"|?*]+', "-", text)
    return name.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore").rstrip(" .")


def newest_run(env: str) -> Path:
    """The run of an environment below ``logs`` that was started last and has a checkpoint.

    Raises:
        CommandError: if there is none.
    """
    from rsl_jax.checkpoint import latest_checkpoint

    parent = LOGS / folder_name(env)
    runs = [path for path in parent.glob("*") if path.is_dir() and latest_checkpoint(path)]
    if not runs:
        raise CommandError(f"There is no run with a checkpoint in '{parent}' to resume. Give one: --resume PATH.")
    return max(runs, key=lambda path: path.name)


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint that a path means: itself, or the newest one in a log folder.

    Raises:
        CommandError: if there is none.
    """
    from rsl_jax.checkpoint import latest_checkpoint, locate

    path = Path(path)
    if locate(path):
        return path
    if path.is_file() and path.suffix == ".pt":
        raise CommandError(
            f"'{path}' is a checkpoint of RSL-RL's, or an exported policy. Turn the former into one of ours first: "
            f"rsl-jax convert {path} {path.with_suffix('')} --config FILE.yaml."
        )
    found = latest_checkpoint(path) if path.is_dir() else None
    if found is None:
        parent = path if path.is_dir() else path.parent
        beside = sorted(child.name for child in parent.glob("model_*") if locate(child))
        there = f" There are: {', '.join(beside)}." if beside else ""
        what = "holds no checkpoint (model_...)" if path.is_dir() else "does not exist"
        raise CommandError(f"'{path}' {what}.{there} Give a checkpoint or the log folder of a run.")
    return found


def settings_of(checkpoint: Path, *, with_runner: bool = True) -> RunSettings:
    """How the run of a checkpoint was made, as far as the files beside and within it say.

    Args:
        checkpoint: the checkpoint.
        with_runner: whether RSL-RL's keys are wanted; they stay at their defaults otherwise.
    """
    beside = checkpoint.parent / RUN_FILE
    if beside.exists():
        return read_settings(beside, with_runner=with_runner)
    from rsl_jax.checkpoint import read_metadata
    from rsl_jax.metadata import Metadata

    run = Metadata.from_dict(read_metadata(checkpoint))
    with reading_run(checkpoint / "metadata"):
        cfg = run.cfg if with_runner else BaseRunnerConfig.from_dict({})
    return RunSettings(runner=cfg, num_envs=run.spec.num_envs, source=str(checkpoint))
