"""What a run is made of: environment, sizes and config, read from presets, config files and earlier runs."""

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

_HEADER = "# How this run was made. `rsl-jax {command} {env} --config {file}` makes it again.\n"


@dataclass(frozen=True)
class RunSettings:
    """A run, as a file describes it. None means that the file does not say.

    Attributes:
        runner: the config of RSL-RL.
        env: name of the environment.
        env_kwargs: options to make it with.
        num_envs: how many of it are stepped at once.
        iterations: iterations of the whole run.
        init_at_random_ep_len: whether environments start somewhere within their first episode.
        teacher: checkpoint or log folder of the teacher of distillation.
        source: where all this was read, for people.
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
    """Read a config file: RSL-RL's keys, bare or in a section ``runner`` that may have keys of ours beside it.

    Args:
        path: the file.
        with_runner: whether RSL-RL's keys are wanted; they stay at their defaults otherwise.

    Raises:
        CommandError: if there is no such file, or it is not to be understood.
        UntrustedNameError: if it came with a run, and names what it may not.
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
        CommandError: if there is no such file, or it holds something else.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"The config file '{path}' cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise CommandError(f"The config file '{path}' is not YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise CommandError(f"The config file '{path}' holds {content!r}; it must hold keys and values.")
    return content


def preset_for(env: str) -> RunSettings:
    """The preset of an environment, else the one of its suite, else the one for anything."""
    suite = env.partition("/")[0] if "/" in env else "default"
    for name in (env, suite, "default"):
        settings = named_preset(name)
        if settings is not None:
            return settings
    raise FileNotFoundError("The installation is incomplete: there is no default.yaml in rsl_jax/presets.")


def named_preset(name: str) -> RunSettings | None:
    """The preset of a name: an environment's, a suite's, or ``default``; None where there is none."""
    name = name.replace("/", "-")
    file = resources.files("rsl_jax") / "presets" / f"{name}.yaml"
    if not file.is_file():
        return None
    return _settings(yaml.safe_load(file.read_text(encoding="utf-8")), source=f"preset {name}")


def preset_names() -> list[str]:
    """Environments that have a preset of their own."""
    files = (resources.files("rsl_jax") / "presets").iterdir()
    contents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".yaml")]
    return sorted(content["env"] for content in contents if "env" in content)


def overlay(settings: RunSettings, below: RunSettings) -> RunSettings:
    """``settings``, with what they do not say taken from ``below``; the config is taken whole."""
    missing = [f.name for f in dataclasses.fields(settings) if getattr(settings, f.name) in (None, {})]
    return dataclasses.replace(settings, **{name: getattr(below, name) for name in missing})


def write_settings(settings: RunSettings, folder: Path) -> Path:
    """Write the file that :func:`read_settings` reads back."""
    path = folder / RUN_FILE
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings) if f.name != "source"}
    ours = {name: value for name, value in values.items() if name != "runner" and value is not None}
    content = {**ours, "env_kwargs": dict(settings.env_kwargs), "runner": settings.runner.to_dict()}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    command = "distill" if isinstance(settings.runner, DistillationRunnerConfig) else "train"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")  # a kill must not leave half of a file
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
    iterations = values["runner"].extra.get("max_iterations")  # as Isaac Lab and mjlab call it
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
            raise TypeError(f"{key} is {text}; got {values[key]!r}.")
    if is_reading_run():  # an environment may import what its options name
        for path in names_in(values.get("env_kwargs", {})):
            if ":" in path:
                permit(path, "option of the environment")
