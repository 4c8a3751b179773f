"""A sweep on disk: its description, and the newest checkpoint of each of its parts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rsl_jax.checkpoint import latest_checkpoint, read_checkpoint, save_checkpoint
from rsl_jax.metadata import Metadata
from rsl_jax.sweeps.program import Population
from rsl_jax.trees import restore

DESCRIPTION = "sweep.json"

PARTS = "parts"
"""Key of the description: how many members of each program are trained at once, which depends on the machine."""


class Saved(NamedTuple):
    """Saved part of a sweep.

    Attributes:
        population: its members.
        metrics: by tag, ``[members, iterations]``.
        iterations: number of completed iterations.
        infos: additional data that was saved with it, or None.
    """

    population: Population
    metrics: dict[str, np.ndarray]
    iterations: int
    infos: Mapping[str, Any] | None


class SweepFolder:
    """Folder with the checkpoints of a sweep, from which it resumes.

    A part is the set of members that one program trains at once. All of them are one checkpoint, ``parts/K/model_IT``,
    next to the metrics up to it.

    Attributes:
        path: the folder.
        description: the sweep, as JSON values.
    """

    def __init__(self, path: str | Path, description: Mapping[str, Any], *, resume: bool) -> None:
        """Create the folder, or check that it holds the same sweep.

        Args:
            path: the folder.
            description: the sweep, as JSON values.
            resume: whether to continue the sweep in it.

        Raises:
            FileExistsError: if it already contains a sweep and ``resume`` is False.
            FileNotFoundError: if it contains no sweep and ``resume`` is True.
            ValueError: if it contains a different sweep; says how they differ.
        """
        self.path = Path(path)
        self._parts: list[int] = []
        file, self.description = self.path / DESCRIPTION, json.loads(json.dumps(description))
        if file.exists():
            if not resume:
                raise FileExistsError(
                    f"'{self.path}' already contains a sweep. Continue it with resume=True, or give another folder."
                )
            there = json.loads(file.read_text(encoding="utf-8"))
            self._parts = there.pop(PARTS, [])
            here = self.description
            differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
            if differing:
                raise ValueError(
                    f"'{self.path}' contains a different sweep: {', '.join(sorted(differing))} differ. "
                    "Give the same environment, config, settings, seeds and iterations, or another folder."
                )
            return
        if resume:
            raise FileNotFoundError(f"'{self.path}' contains no sweep to resume ({DESCRIPTION} is missing).")
        self.path.mkdir(parents=True, exist_ok=True)
        _write_whole(file, json.dumps(self.description, indent=1).encode())

    def part_size(self, program: int, choose: Callable[[], int]) -> int:
        """Return how many members of a program are trained at once: as many as when the sweep was started.

        Args:
            program: index of the program.
            choose: called for the number if the folder does not store one yet.
        """
        if program >= len(self._parts):
            self._parts = [*self._parts, choose()]
            content = {**self.description, PARTS: self._parts}
            _write_whole(self.path / DESCRIPTION, json.dumps(content, indent=1).encode())
        return self._parts[program]

    def save(self, part: int, population: Population, metrics: Mapping[str, np.ndarray], run: Metadata) -> Path:
        """Save a part; its earlier checkpoints are removed once this one is complete.

        Args:
            part: index of the part.
            population: its members.
            metrics: all metrics so far, ``[members, iterations]``.
            run: the checkpoint's metadata.
        """
        folder = self.path / "parts" / str(part)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {**metrics, "failed": np.asarray(population.failed)}
        with open(folder / "metrics.tmp", "wb") as file:
            np.savez(file, **arrays)
        os.replace(folder / "metrics.tmp", folder / f"metrics_{run.iteration}.npz")
        path = save_checkpoint(folder / f"model_{run.iteration}", population.state, population.loop, run.to_dict())
        for old in [*folder.glob("model_*"), *folder.glob("metrics_*.npz")]:
            if old.stem.rsplit("_", 1)[-1] != str(run.iteration):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        return path

    def load(self, part: int, population: Population) -> Saved | None:
        """Load the newest complete checkpoint of a part; None if there is none.

        Args:
            part: index of the part.
            population: gives structure, shapes and types.
        """
        folder = self.path / "parts" / str(part)
        path = latest_checkpoint(folder) if folder.exists() else None
        if path is None:
            return None
        checkpoint = read_checkpoint(path)
        iteration = checkpoint.run.iteration
        with np.load(folder / f"metrics_{iteration}.npz", allow_pickle=False) as file:
            metrics = {name: file[name] for name in file.files}
        failed = jnp.asarray(metrics.pop("failed"))
        state = restore(population.state, checkpoint.state, what="sweep's checkpoint")
        loop = restore(population.loop, checkpoint.loop, what="sweep's checkpoint")
        return Saved(Population(state, loop, failed), metrics, iteration + 1, checkpoint.run.infos)


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
