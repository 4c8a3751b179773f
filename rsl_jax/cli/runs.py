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
"""Maximum number of bytes of an environment's or a run's name in a folder name; file systems allow 255 in all."""


def folder_name(env: str) -> Path:
    """Return the folder of an environment's runs below ``logs``."""
    return Path(*[_as_name(part.replace(":", ".")) for part in env.split("/") if part not in ("", ".", "..")])


def new_log_dir(env: str, run_name: str | None) -> Path:
    """Create a new folder ``logs/<env>/<date and time>[_<run_name>]``.

    Characters of the run's name that a folder name cannot have are replaced by ``-``, and long names are shortened.
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
    """Convert a text to a valid folder name on any system, without separators and control characters."""
    name = re.sub(r'[\x00-\x1f\x7f/\\<>:"|?*]+', "-", text)
    return name.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore").rstrip(" .")


def newest_run(env: str) -> Path:
    """Find the newest run of an environment below ``logs`` that has a checkpoint.

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
    """Return the checkpoint at a path: the path itself, or the newest checkpoint of a log folder.

    Raises:
        CommandError: if there is none.
    """
    from rsl_jax.checkpoint import latest_checkpoint, locate

    path = Path(path)
    if locate(path):
        return path
    if path.is_file() and path.suffix == ".pt":
        raise CommandError(
            f"'{path}' is a checkpoint of RSL-RL, or an exported policy. Convert a checkpoint first: "
            f"rsl-jax convert {path} {path.with_suffix('')} --config FILE.yaml."
        )
    found = latest_checkpoint(path) if path.is_dir() else None
    if found is None:
        parent = path if path.is_dir() else path.parent
        beside = sorted(child.name for child in parent.glob("model_*") if locate(child))
        there = f" Available: {', '.join(beside)}." if beside else ""
        what = "contains no checkpoint (model_...)" if path.is_dir() else "does not exist"
        raise CommandError(f"'{path}' {what}.{there} Give a checkpoint or the log folder of a run.")
    return found


def settings_of(checkpoint: Path, *, with_runner: bool = True) -> RunSettings:
    """Read the settings of a checkpoint's run, from the files beside or within it.

    Args:
        checkpoint: the checkpoint.
        with_runner: whether to read RSL-RL's config; otherwise it has its defaults.
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
