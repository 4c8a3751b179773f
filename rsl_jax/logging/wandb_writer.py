"""Writer for Weights & Biases."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rsl_jax.logging.tracker import (
    TrackerWriter,
    files_of,
    import_tracker,
    own_run_id,
    project_of,
    require_arguments,
    run_name_of,
)
from rsl_jax.logging.writer import config_as_plain


class WandbLogWriter(TrackerWriter):
    """Writer to a run of Weights & Biases: scalars, configs, checkpoints, files and videos, as RSL-RL's writer.

    A log folder is one run, however often it is opened: by further calls of ``learn``, by an export after them, or by
    ``--resume``. Scalars over the elapsed time are left out, since steps of W&B only rise; its dashboards show every
    scalar over the time.
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
            log_dir: folder of the run, whose last part is the run's name.
            project_name: the project; None leaves it to ``WANDB_PROJECT``.
            tags: of the run, beside those in ``WANDB_TAGS``.
            stop_timeout: seconds that the package may take for the last uploads.
            init_arguments: any other argument of ``wandb.init``, such as ``entity``, ``group``, ``mode`` or ``id``. The
                entity is ``WANDB_USERNAME`` where it is not given, or W&B's choice.
        """
        wandb = import_tracker("wandb", "init", "wandb")
        all_tags = [*tags, *filter(None, os.environ.get("WANDB_TAGS", "").split(","))]
        known = getattr(wandb.Settings, "model_fields", ())
        limits = {key: stop_timeout for key in ("finish_timeout", "login_timeout") if key in known}
        arguments: dict[str, Any] = {
            "project": project_name,
            "entity": os.environ.get("WANDB_USERNAME"),
            "name": run_name_of(log_dir),
            "tags": list(dict.fromkeys(all_tags)) or None,
            "config": {"log_dir": log_dir},
            **_run_to_go_on_with(log_dir, init_arguments),
            "settings": wandb.Settings(**limits),
            **init_arguments,
        }
        self._wandb = wandb
        self._run = wandb.init(**arguments)
        self._videos: set[str] = set()

    @classmethod
    def arguments_from(cls, train_cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return RSL-RL's ``wandb_project`` and mjlab's ``wandb_tags``; else the experiment's name as project."""
        project = project_of(train_cfg, "wandb_project", "WANDB_PROJECT")
        return {"project_name": project, "tags": tuple(train_cfg.get("wandb_tags") or ())}

    @classmethod
    def check(
        cls,
        *,
        project_name: str | None = None,
        tags: Sequence[str] = (),
        mode: str | None = None,
        **init_arguments: Any,
    ) -> None:
        """Check that the package is installed, and a key is given where one is needed."""
        wandb = import_tracker("wandb", "init", "wandb")
        require_arguments(wandb.init, init_arguments, "wandb.init")
        settings = _settings(wandb)
        if (mode or settings.mode) in ("online", "shared") and not _has_key(settings):
            raise ValueError(
                "Weights & Biases has no API key. Run 'wandb login', or set WANDB_API_KEY; to log without the service, "
                "set WANDB_MODE=offline and send the run later by 'wandb sync'."
            )

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Log one scalar."""
        if not tag.endswith("/time"):
            self._run.log({tag: value}, step=global_step)

    def add_iteration(self, scalars: Mapping[str, float], it: int, seconds: int) -> None:
        """Log an iteration as one row."""
        self._run.log(dict(scalars), step=it)

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Save both configs in the run's config."""
        for key, cfg in (("train_cfg", train_cfg), ("env_cfg", env_cfg)):
            if cfg is not None:
                self._run.config.update({key: config_as_plain(cfg)}, allow_val_change=True)

    def save_model(self, path: str, it: int) -> None:
        """Upload a checkpoint under its name; the files must stay until they are sent."""
        self._upload(path)

    def save_file(self, path: str) -> None:
        """Upload a file under its name."""
        self._upload(path)

    def save_video(self, path: Path, it: int) -> None:
        """Show a video, once for each name."""
        if path.name not in self._videos:
            self._run.log({"video": self._wandb.Video(str(path), format="mp4")}, step=it)
            self._videos.add(path.name)

    def stop(self) -> None:
        """Send what is left and finish the run."""
        self._run.finish()

    def _upload(self, path: str) -> None:
        whole = Path(path).absolute()
        depths = {len(file.absolute().relative_to(whole).parts) for file in files_of(path)}
        for depth in sorted(depths):  # one call for each depth of a folder: each says on the console what it did
            pattern = glob.escape(str(whole)) + "/*" * depth
            self._run.save(pattern, base_path=str(whole.parent), policy="now")


def _run_to_go_on_with(log_dir: str, init_arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the run of the folder, unless the caller or the environment names one."""
    if {"id", "resume"} & init_arguments.keys() or os.environ.get("WANDB_RUN_ID"):
        return {}
    return {"id": own_run_id(log_dir, "wandb"), "resume": "allow"}


def _settings(wandb: Any) -> Any:
    """Return W&B's current settings of a run, from its files and the environment."""
    settings = wandb.Settings()
    if not hasattr(settings, "update_from_system_settings"):  # before 0.31
        return wandb.setup().settings
    settings.update_from_system_settings()
    settings.update_from_env_vars(os.environ)
    return settings


def _has_key(settings: Any) -> bool:
    """Return whether there may be a key; False only if there certainly is none."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if getattr(settings, "api_key", None):
        return True
    host = urlsplit(settings.base_url).netloc
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for file in files:
        try:
            text = Path(file).expanduser().read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if any(name in text for name in (host, "wandb", "coreweave")):
            return True
    return False
