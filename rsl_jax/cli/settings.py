"""Settings of a run: environment, sizes and config, read from presets, config files and earlier runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from rsl_jax.cli.output import CommandError
from rsl_jax.cli.trusting import reading_config
from rsl_jax.config import BaseRunnerConfig, DistillationRunnerConfig
from rsl_jax.config.migration import is_nested
from rsl_jax.config.yaml_files import load_yaml
from rsl_jax.registry import nearest
from rsl_jax.trusted import RUN_FILE, UntrustedNameError, is_reading_run, names_in, permit

_HEADER = "# Settings of this run. Repeat it: rsl-jax {command} {env} --config {file}\n"


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run in a file; None for those that the file does not give.

    Attributes:
        runner: RSL-RL's config.
        env: name of the environment.
        env_kwargs: options of the environment.
        num_envs: number of parallel environments.
        iterations: number of iterations of the whole run.
        init_at_random_ep_len: whether environments start at a random step of their first episode.
        teacher: checkpoint or log folder of the teacher of distillation.
        source: where the settings come from, to show to the user.
    """

    runner: BaseRunnerConfig
    env: str | None = None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    num_envs: int | None = None
    iterations: int | None = None
    init_at_random_ep_len: bool | None = None
    teacher: str | None = None
    source: str = ""


def read_settings(path: str | Path, *, with_runner: bool = True) -> RunSettings:
    """Read a config file: RSL-RL's config at the top level, or in a section ``runner`` with keys of rsl_jax beside it.

    Args:
        path: the file.
        with_runner: whether to read RSL-RL's config; otherwise it has its defaults.

    Raises:
        CommandError: if there is no such file, or it is invalid.
        UntrustedNameError: if it came with a run, and names something that it may not.
    """
    path = Path(path)
    content = read_content(path)
    try:
        with reading_config(path, content):
            return _settings(content, source=str(path), with_runner=with_runner)
    except UntrustedNameError:
        raise
    except (ValueError, TypeError) as error:
        raise CommandError(f"In the config file '{path}': {error}") from error


def read_content(path: Path) -> Mapping[str, Any]:
    """Read the keys and values of a YAML file.

    Raises:
        CommandError: if there is no such file, or it has other content.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"The config file '{path}' cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise CommandError(f"The config file '{path}' is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise CommandError(f"The config file '{path}' contains {content!r}; it must consist of keys and values.")
    return content


def preset_for(env: str) -> RunSettings:
    """Return the preset of an environment, else that of its suite, else the default one."""
    suite = env.partition("/")[0] if "/" in env else "default"
    for name in (env, suite, "default"):
        settings = named_preset(name)
        if settings is not None:
            return settings
    raise FileNotFoundError("The installation is incomplete: there is no default.yaml in rsl_jax/presets.")


def named_preset(name: str) -> RunSettings | None:
    """Return the preset of an environment, of a suite, or ``default``; None if there is none of this name."""
    name = name.replace("/", "-")
    file = resources.files("rsl_jax") / "presets" / f"{name}.yaml"
    if not file.is_file():
        return None
    return _settings(yaml.safe_load(file.read_text(encoding="utf-8")), source=f"preset {name}")


def preset_names() -> list[str]:
    """List the environments that have their own preset."""
    files = (resources.files("rsl_jax") / "presets").iterdir()
    contents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".yaml")]
    return sorted(content["env"] for content in contents if "env" in content)


def overlay(settings: RunSettings, below: RunSettings) -> RunSettings:
    """Return ``settings`` completed by those of ``below``; the config is not merged."""
    missing = [f.name for f in dataclasses.fields(settings) if getattr(settings, f.name) in (None, {})]
    return dataclasses.replace(settings, **{name: getattr(below, name) for name in missing})


def write_settings(settings: RunSettings, folder: Path) -> Path:
    """Write the file that :func:`read_settings` reads."""
    path = folder / RUN_FILE
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.name != "source"}
    ours = {name: value for name, value in values.items() if name != "runner" and value is not None}
    content = {**ours, "env_kwargs": dict(settings.env_kwargs), "runner": settings.runner.to_dict()}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    command = "distill" if isinstance(settings.runner, DistillationRunnerConfig) else "train"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")  # so that a killed process leaves no partial file
    unfinished.write_text(_HEADER.format(command=command, env=settings.env, file=path) + text, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _settings(content: Mapping[str, Any], *, source: str, with_runner: bool = True) -> RunSettings:
    if "runner" not in content or is_nested(content):
        content = {"runner": content}
    allowed = {f.name for f in dataclasses.fields(RunSettings)} - {"source"}
    for key in content:
        if key not in allowed:
            raise ValueError(
                f"Unknown key '{key}' beside 'runner'. Allowed: {', '.join(sorted(allowed))}.{nearest(key, allowed)}"
            )
    values = {key: value for key, value in content.items() if value is not None}
    _check(values)
    values["runner"] = BaseRunnerConfig.from_dict(values.get("runner", {}) if with_runner else {})
    iterations = values["runner"].extra.get("max_iterations")  # the name in Isaac Lab and mjlab
    return RunSettings(**{"iterations": iterations, **values}, source=source)


def _check(values: Mapping[str, Any]) -> None:
    kinds: dict[str, tuple[type, str]] = {
        "env": (str, "a name"),
        "env_kwargs": (Mapping, "a section of keys and values"),
        "num_envs": (int, "a whole number"),
        "iterations": (int, "a whole number"),
        "init_at_random_ep_len": (bool, "true or false"),
        "teacher": (str, "a path"),
    }
    for key, (kind, text) in kinds.items():
        if key in values and (not isinstance(values[key], kind) or (kind is int and isinstance(values[key], bool))):
            raise TypeError(f"{key} must be {text}; got {values[key]!r}.")
    if is_reading_run():  # an environment may import what its options name
        for path in names_in(values.get("env_kwargs", {})):
            if ":" in path:
                permit(path, "option of the environment")
