"""The robots' meshes that MuJoCo Playground does not bring: those of MuJoCo Menagerie."""

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
"""Folders of MuJoCo Menagerie that Playground's robots need, by how the environments' names start."""


def menagerie_path() -> Path:
    """Where Playground looks for MuJoCo Menagerie."""
    return Path(import_extra("mujoco_playground._src.mjx_env", "playground").MENAGERIE_PATH)


def missing_folders(name: str) -> list[str]:
    """Folders of MuJoCo Menagerie that an environment of Playground's needs and that are not there."""
    needed = next((folders for start, folders in FOLDERS.items() if name.startswith(start)), ())
    path = menagerie_path()
    return [folder for folder in needed if not (path / folder).is_dir()]


@contextlib.contextmanager
def needing_meshes(name: str) -> Iterator[None]:
    """Explain what fails while an environment of Playground's is made because its robot's meshes are not there.

    Playground clones all of MuJoCo Menagerie by git, but only where its folder does not exist.

    Raises:
        FileNotFoundError: instead of git's and MuJoCo's errors; says which folders are missing and how to get them.
    """
    missing = missing_folders(name)
    try:
        yield
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        still_missing = missing_folders(name) if missing else []
        if not still_missing:
            raise
        path, folders = menagerie_path(), " and ".join(still_missing)
        raise FileNotFoundError(
            f"playground/{name} needs the folder {folders} of MuJoCo Menagerie in {path}, where it is not. Playground "
            f"downloads Menagerie when that folder does not exist, for which it needs git and the network; otherwise "
            f"copy {folders} there from https://github.com/google-deepmind/mujoco_menagerie."
        ) from error
