"""Writer for MLflow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsl_jax.logging.tracker import (
    TrackerWriter,
    files_of,
    folder_for,
    import_tracker,
    known_run,
    project_of,
    remember_run,
    run_name_of,
)
from rsl_jax.logging.writer import config_as_plain, scalars_one_by_one
from rsl_jax.registry import install_line

_LONGEST_KEY, _LONGEST_VALUE, _LARGEST_BATCH = 250, 500, 100
"""Limits of parameters in every version of MLflow: length of names, length of values, number per request."""


class MlflowLogWriter(TrackerWriter):
    """Writer to a run of MLflow: scalars as metrics, the training config as parameters, everything else as artifacts.

    A log folder is one run, however often it is opened. A scalar over the elapsed time is called
    ``Train/mean_reward_time`` there, since a metric cannot also be a folder.
    """

    def __init__(
        self,
        log_dir: str,
        project_name: str | None = None,
        *,
        tracking_uri: str | None = None,
        tags: Mapping[str, str] | None = None,
        stop_timeout: float = 15.0,
    ) -> None:
        """Open a run.

        Args:
            log_dir: folder of the run, whose last part is the run's name.
            project_name: MLflow's experiment, created if it is missing; by default ``MLFLOW_EXPERIMENT_NAME``, else
                ``"rsl_jax"``.
            tracking_uri: where to log; by default ``MLFLOW_TRACKING_URI``, else MLflow's default.
            tags: tags of the run.
            stop_timeout: has no effect; MLflow buffers nothing.
        """
        mlflow = import_tracker("mlflow", "MlflowClient", "mlflow")
        name = project_name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "rsl_jax"
        self._entities = mlflow.entities
        self._client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        self._run_id = self._reopened(known_run(log_dir, "mlflow"), experiment_id)
        if not self._run_id:
            run_tags = {"log_dir": str(log_dir), **(tags or {})}
            run = self._client.create_run(experiment_id, run_name=run_name_of(log_dir), tags=run_tags)
            self._run_id = remember_run(log_dir, "mlflow", run.info.run_id)

    @classmethod
    def arguments_from(cls, train_cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``mlflow_project``, or else the name of the experiment."""
        return {"project_name": project_of(train_cfg, "mlflow_project", "MLFLOW_EXPERIMENT_NAME")}

    @classmethod
    def check(cls, *, tracking_uri: str | None = None, **arguments: Any) -> None:
        """Check that the package is installed, and that it can log to a place on this machine."""
        mlflow = import_tracker("mlflow", "MlflowClient", "mlflow")
        uri = tracking_uri or mlflow.get_tracking_uri()
        if uri.startswith(("http:", "https:")):
            return  # not to be waited for here
        try:
            mlflow.MlflowClient(tracking_uri=uri)
        except Exception as error:
            raise ValueError(
                f"MLflow cannot log to '{uri}' (MLFLOW_TRACKING_URI): {error} Where a package is missing: "
                f"{install_line('mlflow')}."
            ) from error

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Log one scalar."""
        self._client.log_batch(self._run_id, metrics=[self._metric(tag, value, global_step)])

    def add_iteration(self, scalars: Mapping[str, float], it: int, seconds: int) -> None:
        """Log an iteration in one request."""
        self._client.log_batch(
            self._run_id, metrics=[self._metric(*call) for call in scalars_one_by_one(scalars, it, seconds)]
        )

    def store_config(self, env_cfg: object, train_cfg: Mapping[str, Any]) -> None:
        """Save both configs as JSON, and the training's as parameters, by which runs can be compared.

        MLflow never changes a parameter: if a run continues with another config, the JSON shows it.
        """
        for key, cfg in (("train_cfg", train_cfg), ("env_cfg", env_cfg)):
            if cfg is not None:
                self._client.log_dict(self._run_id, config_as_plain(cfg), f"config/{key}.json")
        there = self._client.get_run(self._run_id).data.params
        params = [
            self._entities.Param(name, str(value)[:_LONGEST_VALUE])
            for key, value in _flatten("", config_as_plain(train_cfg))
            if (name := _allowed(key)[:_LONGEST_KEY]) not in there
        ]
        for start in range(0, len(params), _LARGEST_BATCH):
            self._client.log_batch(self._run_id, params=params[start : start + _LARGEST_BATCH])

    def save_model(self, path: str, it: int) -> None:
        """Upload a checkpoint to ``model``."""
        for file in files_of(path):
            inner = file.parent.relative_to(Path(path).parent).as_posix()
            self._client.log_artifact(self._run_id, str(file), "model" if inner == "." else f"model/{inner}")

    def save_file(self, path: str) -> None:
        """Upload a file: the state of the code to ``git_diff``, policies to ``policy``, others to ``files``."""
        for file in files_of(path):
            self._client.log_artifact(self._run_id, str(file), folder_for(path))

    def save_video(self, path: Path, it: int) -> None:
        """Upload a video to ``videos``."""
        self._client.log_artifact(self._run_id, str(path), "videos")

    def stop(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run_id)

    def _reopened(self, run_id: str | None, experiment_id: str) -> str | None:
        """Reopen the run, if it is still in this experiment."""
        from mlflow.exceptions import MlflowException

        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException:
            return None
        if run.info.experiment_id != experiment_id or run.info.lifecycle_stage != "active":
            return None
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _metric(self, tag: str, value: float, step: int) -> Any:
        tag = f"{tag.removesuffix('/time')}_time" if tag.endswith("/time") else tag
        return self._entities.Metric(_allowed(tag), value, int(time.time() * 1000), step)


def _allowed(name: str) -> str:
    """Return a name with only characters that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _flatten(prefix: str, cfg: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(cfg, Mapping) and cfg:
        for key, value in cfg.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), value)
    else:
        yield prefix, cfg
