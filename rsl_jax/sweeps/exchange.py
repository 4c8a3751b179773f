"""Exploit and explore: which members of a population are replaced, by copies of which, with which hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsl_jax.sweeps.ranges import Range
from rsl_jax.sweeps.settings import Setting


@dataclass(frozen=True)
class Replacement:
    """Replacement of a member by a copy of another.

    Attributes:
        iteration: number of iterations that both had completed.
        member: index of the replaced member.
        parent: index of the copied member.
        score: score of the replaced member, NaN if it failed.
        parent_score: score of the parent.
        failed: whether NaN or infinity had occurred in the replaced member.
        before: numbers of the replaced member, by path.
        after: numbers of the copy, by path.
    """

    iteration: int
    member: int
    parent: int
    score: float
    parent_score: float
    failed: bool
    before: Setting
    after: Setting


@dataclass(frozen=True)
class Exchange:
    """Rules by which members are replaced.

    Attributes:
        ranges: ranges of the explored numbers, by path.
        interval: number of iterations between two exchanges.
        fraction: fraction of the members that is replaced, and of those that are copied.
        factors: factors by which a number may be perturbed.
        resample: probability that a number is resampled instead.
        score: log tag of the score.
        seed: seed of all random choices.
    """

    ranges: Mapping[str, Range]
    interval: int
    fraction: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.25)
    resample: float = 0.25
    score: str = "Train/mean_reward"
    seed: int = 0

    def check(self) -> None:
        """Reject rules that could not replace or perturb anything.

        Raises:
            ValueError: says what is allowed.
        """
        if not 0 < self.fraction <= 0.5:
            raise ValueError(f"fraction must be above 0 and at most 0.5; got {self.fraction}.")
        if not 0 <= self.resample <= 1:
            raise ValueError(f"resample must be a probability, from 0 to 1; got {self.resample}.")
        if not self.factors or not all(np.isfinite(factor) and factor > 0 for factor in self.factors):
            raise ValueError(f"factors must be one or more numbers above 0; got {list(self.factors)}.")

    def draw_settings(self, members: int) -> list[dict[str, float]]:
        """Draw the initial numbers of all members."""
        generator = np.random.default_rng([self.seed, 0])
        return [{path: allowed.draw(generator) for path, allowed in self.ranges.items()} for _ in range(members)]

    def is_due(self, iteration: int) -> bool:
        """Return whether members are exchanged after this number of iterations."""
        return iteration > 0 and iteration % self.interval == 0

    def replacements(
        self, iteration: int, scores: np.ndarray, failed: np.ndarray, settings: Sequence[Setting]
    ) -> list[Replacement]:
        """Choose the members to replace, their parents (truncation selection), and the new numbers.

        The members with the lowest scores, and all that failed, become copies of random members with the highest
        scores. Random choices depend only on the seed and the iteration. Members with an unknown score are left
        unchanged.

        Args:
            iteration: number of completed iterations.
            scores: ``[members]``; NaN where unknown.
            failed: whether NaN or infinity occurred, ``[members]``.
            settings: current numbers of each member.
        """
        generator = np.random.default_rng([self.seed, iteration])
        scores = np.where(failed, np.nan, scores)
        ranked = [int(i) for i in np.argsort(-scores, kind="stable") if not np.isnan(scores[i])]
        size = max(1, int(self.fraction * len(scores)))
        best = ranked[:size] if len(ranked) > 1 or np.any(failed) else []
        worst = {*ranked[max(len(best), len(ranked) - size) :], *np.flatnonzero(failed).tolist()} if best else set()
        chosen = []
        for member in sorted(worst):
            parent = best[generator.integers(len(best))]
            chosen.append(
                Replacement(
                    iteration=iteration,
                    member=member,
                    parent=parent,
                    score=float(scores[member]),
                    parent_score=float(scores[parent]),
                    failed=bool(failed[member]),
                    before=settings[member],
                    after=self._explored(settings[parent], generator),
                )
            )
        return chosen

    def _explored(self, setting: Setting, generator: np.random.Generator) -> dict[str, float]:
        """Perturb each number of a setting, or resample it."""
        explored = {}
        for path, allowed in self.ranges.items():
            anew, factor = generator.random() < self.resample, generator.choice(self.factors)
            explored[path] = allowed.draw(generator) if anew else allowed.move(setting[path], float(factor))
        return explored

    def to_json(self) -> dict[str, Any]:
        """Return the rules as JSON values."""
        return {**dataclasses.asdict(self), "factors": [*self.factors]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Exchange:
        """Read the result of :meth:`to_json`."""
        ranges = {path: Range(**bounds) for path, bounds in content["ranges"].items()}
        return cls(**{**content, "ranges": ranges, "factors": tuple(content["factors"])})


def lineage_to_json(lineage: Sequence[Replacement]) -> list[dict[str, Any]]:
    """Return replacements as JSON values; an unknown score is null."""
    rows = [dataclasses.asdict(replacement) for replacement in lineage]
    return [{**row, "score": None if np.isnan(row["score"]) else row["score"]} for row in rows]


def lineage_from_json(rows: Sequence[Mapping[str, Any]]) -> list[Replacement]:
    """Read the result of :func:`lineage_to_json`."""
    return [Replacement(**{**row, "score": np.nan if row["score"] is None else row["score"]}) for row in rows]
