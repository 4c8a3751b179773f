"""The robots' meshes that MuJoCo Playground does not include: those of MuJoCo Menagerie."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from rsl_jax.env.extras import import_extra

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "Aero": ("tetheria_aero_hand_open",),
    "Aloha": ("aloha",),
    "Apollo": ("apptronik_apollo",),
    "Barkour": ("google_barkour_vb",),
    "Berkeley": ("berkeley_humanoid",),
    "G1": ("unitree_g1",),
    "Go1": ("unitree_go1",),
    "H1": ("unitree_h1",),
    "Leap": ("leap_hand",),
    "Op3": ("robotis_op3",),
    "PandaRobotiq": ("franka_emika_panda", "robotiq_2f85_v4"),
    "Panda": ("franka_emika_panda",),
    "Spot": ("boston_dynamics_spot",),
    "T1": ("booster_t1",),
}
"""Folders of MuJoCo Menagerie that Playground's robots need, by prefix of the environments' names."""


def menagerie_path() -> Path:
    """Return the path at which Playground looks for MuJoCo Menagerie."""
    return Path(import_extra("mujoco_playground._src.mjx_env", "playground").MENAGERIE_PATH)


def missing_folders(name: str) -> list[str]:
    """List the missing folders of MuJoCo Menagerie that an environment of Playground needs."""
    path = menagerie_path()
    return [folder for folder in _needed(name) if not (path / folder).is_dir()]


@contextlib.contextmanager
def needing_meshes(name: str) -> Iterator[None]:
    """Explain failures to make an environment of Playground that come from missing meshes of its robot.

    Playground clones all of MuJoCo Menagerie by git, but only where its folder does not exist.

    Raises:
        FileNotFoundError: instead of git's and MuJoCo's errors; says which folders are missing and how to get them.
    """
    try:
        yield
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        missing = missing_folders(name)
        is_download = isinstance(error, subprocess.SubprocessError)
        if not (missing or is_download or "opening file" in str(error)):  # a file of an incomplete folder
            raise
        mjx_env = import_extra("mujoco_playground._src.mjx_env", "playground")
        path, version, what = menagerie_path(), mjx_env.MENAGERIE_COMMIT_SHA, " ".join(str(error).split())
        folders = " and ".join(missing or _needed(name))
        raise FileNotFoundError(
            f"playground/{name} needs the folder {folders} of MuJoCo Menagerie in {path}, where it is not, or not "
            f"whole; Playground did not download it ({what}). Where GitHub can be reached: rm -rf {path}; "
            f"git clone https://github.com/google-deepmind/mujoco_menagerie {path}; git -C {path} checkout {version}. "
            f"Otherwise copy {folders} there. Meshes of Go1 and G1 alone are also in the wheel of mjlab; "
            "docs/robots.md says how to lay them there."
        ) from error


def _needed(name: str) -> tuple[str, ...]:
    return next((folders for start, folders in FOLDERS.items() if name.startswith(start)), ())
