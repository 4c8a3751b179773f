"""Configs in YAML files: plain values, and tuples as mjlab and Isaac Lab save them; never a Python object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rsl_jax.config.migration import is_nested

RUN_KEYS = ("env", "env_kwargs", "num_envs", "iterations", "init_at_random_ep_len", "teacher")
"""Keys of ``run.yaml`` beside the config; the command line reads them."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader with support for tuples."""


def _construct_tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)


def load_yaml(text: str) -> Any:
    """Read YAML.

    Raises:
        yaml.YAMLError: if it is not YAML.
        ValueError: if a tag asks for a Python object; none is created.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.constructor.ConstructorError as error:
        if error.problem_mark is None or "tag" not in (error.problem or ""):
            raise
        raise ValueError(
            f"Line {error.problem_mark.line + 1} has a tag that is not allowed in a config file: {error.problem}. Only "
            "plain values and tuples are read. Write a plain value, or remove the key."
        ) from error


def config_of(content: Any, *, path: object) -> Mapping[str, Any]:
    """Return the config in the content of a file: at the top level, in a section ``runner``, or in legged_gym's layout.

    Args:
        content: content of the file.
        path: path of the file, for errors.

    Raises:
        TypeError: if it is not a mapping.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{path} does not contain a mapping; a training config must be one.")
    if "runner" not in content or is_nested(content):
        return content
    return {key: value for key, value in content.items() if key not in RUN_KEYS or isinstance(value, Mapping)}
