"""Robots' models that MuJoCo Playground does not bring along: files of MuJoCo Menagerie."""

from __future__ import annotations

import subprocess
from typing import Any

from rsl_jax.env.extras import import_extra


def load_playground(name: str, config: Any) -> Any:
    """An environment of Playground's registry, which downloads all of Menagerie when it first needs some of it.

    Raises:
        FileNotFoundError: if files of the robot are not there and cannot be downloaded; tells how to get them.
    """
    registry = import_extra("mujoco_playground", "playground").registry
    try:
        return registry.load(name, config=config)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        if isinstance(error, ValueError) and "opening file" not in str(error):
            raise
        mjx_env: Any = import_extra("mujoco_playground._src.mjx_env", "playground")
        path, version = mjx_env.MENAGERIE_PATH, mjx_env.MENAGERIE_COMMIT_SHA
        what = " ".join(str(error).split())
        raise FileNotFoundError(
            f"playground/{name} needs a robot of MuJoCo Menagerie that is not here and was not downloaded ({what}). "
            f"Where GitHub can be reached: rm -rf {path}; "
            f"git clone https://github.com/google-deepmind/mujoco_menagerie {path}; git -C {path} checkout {version}. "
            "Meshes of Go1 and G1 alone are also in the wheel of mjlab; docs/robots.md says how to lay them there."
        ) from error
