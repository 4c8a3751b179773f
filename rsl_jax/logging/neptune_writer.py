"""Writer for Neptune."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsl_jax.logging.tracker import (
    TrackerWriter,
    files_of,
    folder_for,
    import_tracker,
    own_run_id,
    project_of,
    require_arguments,
    run_name_of,
)
from rsl_jax.logging.writer import config_as_plain

_WITHOUT_SERVICE = ("offline", "debug")


class NeptuneLogWriter(TrackerWriter):
    """Writer to a run of Neptune, with the fields of RSL-RL's writer.

    A log folder is one run, however often it is opened. A scalar over the elapsed time is called
    ``Train/mean_reward_time`` there, since a field cannot also be a folder.
    """

    def __init__(
        self,
        log_dir: str,
        project_name: str | None = None,
        *,
        tags: Sequence[str] = (),
        stop_timeout: float = 15.0,
        **init_arguments: Any,
    ) -> None:
        """Open a run.

        Args:
            log_dir: folder of the run, whose last part is stored as ``log_dir``.
            project_name: the project: ``workspace/project``, or the project alone with the workspace in
                ``NEPTUNE_USERNAME``; None leaves it to ``NEPTUNE_PROJECT``.
            tags: tags of the run.
            stop_timeout: seconds that the package may take for the last uploads.
            init_arguments: any other argument of ``neptune.init_run``, such as ``mode`` or ``with_id``. The token is
                ``NEPTUNE_API_TOKEN`` if it is not given.
        """
        neptune = import_tracker("neptune", "init_run", "neptune")
        if not {"with_id", "custom_run_id"} & init_arguments.keys() and not os.environ.get("NEPTUNE_CUSTOM_RUN_ID"):
            init_arguments["custom_run_id"] = own_run_id(log_dir, "neptune")
        self._run = neptune.init_run(project=_full_name(project_name), tags=list(tags), **init_arguments)
        self._run["log_dir"].append(run_name_of(log_dir))
        self._stop_timeout = stop_timeout
        self._seconds: dict[str, int] = {}

    @classmethod
    def arguments_from(cls, train_cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return RSL-RL's ``neptune_project``, or else the name of the experiment."""
        return {"project_name": project_of(train_cfg, "neptune_project", "NEPTUNE_PROJECT")}

    @classmethod
    def check(
        cls,
        *,
        project_name: str | None = None,
        tags: Sequence[str] = (),
        mode: str | None = None,
        api_token: str | None = None,
        **init_arguments: Any,
    ) -> None:
        """Check that the package is installed, and a token and a workspace are given where they are needed."""
        neptune = import_tracker("neptune", "init_run", "neptune")
        require_arguments(neptune.init_run, init_arguments, "neptune.init_run")
        if (mode or os.environ.get("NEPTUNE_MODE")) in _WITHOUT_SERVICE:
            return
        offline = "to log without the service, set NEPTUNE_MODE=offline and send the run later by 'neptune sync'."
        if not (api_token or os.environ.get("NEPTUNE_API_TOKEN")):
            raise ValueError(f"Neptune has no API token. Set NEPTUNE_API_TOKEN; {offline}")
        name = _full_name(project_name) or os.environ.get("NEPTUNE_PROJECT")
        if not name or "/" not in name:
            raise ValueError(
                f"Neptune needs a project with its workspace; got {name!r}. Set NEPTUNE_USERNAME to the workspace, or "
                f"write neptune_project as 'workspace/project'; {offline}"
            )

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Append one scalar to its series."""
        if tag.endswith("/time"):
            tag = f"{tag.removesuffix('/time')}_time"
            if global_step <= self._seconds.get(tag, -1):
                return  # more than one iteration in a second; steps of a series must rise
            self._seconds[tag] = global_step
        self._run[tag].append(value, step=global_step)

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Save both configs as fields."""
        from neptune.utils import stringify_unsupported

        for key, cfg in (("train_cfg", train_cfg), ("env_cfg", env_cfg)):
            if cfg is not None:
                self._run[key] = stringify_unsupported(config_as_plain(cfg))

    def save_model(self, path: str, it: int) -> None:
        """Upload a checkpoint; the files must stay until they are sent."""
        field = f"model/saved_model_{it}"
        for file in files_of(path):
            inner = file.relative_to(path).as_posix() if file != Path(path) else ""
            self._run[f"{field}/{inner}" if inner else field].upload(str(file), wait=False)

    def save_file(self, path: str) -> None:
        """Upload a file: the state of the code to ``git_diff``, policies to ``policy``, others to ``files``."""
        name = Path(path).stem if folder_for(path) == "git_diff" else Path(path).name
        for file in files_of(path):
            self._run[f"{folder_for(path)}/{name}"].upload(str(file), wait=False)

    def save_video(self, path: Path, it: int) -> None:
        """Upload a video."""
        self._run[f"videos/{path.stem}"].upload(str(path), wait=False)

    def stop(self) -> None:
        """Send what is left and close the run."""
        self._run.stop(seconds=self._stop_timeout)


def _full_name(project: str | None) -> str | None:
    """Return the project with its workspace, as far as it is known."""
    workspace = os.environ.get("NEPTUNE_USERNAME")
    return f"{workspace}/{project}" if project and workspace and "/" not in project else project
