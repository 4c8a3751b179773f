"""Exploit and explore: which members of a population are replaced, by copies of which, with which numbers."""

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
    """A member that went on as a copy of another.

    Attributes:
        iteration: number of iterations that both had finished.
        member: index of the member that was replaced.
        parent: index of the member that it is a copy of.
        score: its score, NaN if it failed.
        parent_score: the parent's score.
        failed: whether NaN or infinity had appeared in it.
        before: its numbers until then, by path.
        after: its numbers from then on.
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
        factors: what a number may be moved by.
        resample: probability that a number is drawn anew instead.
        score: tag of the score.
        seed: of all random choices.
    """

    ranges: Mapping[str, Range]
    interval: int
    fraction: float = 0.25
    factors: tuple[float, ...] = (0.8, 1.25)
    resample: float = 0.25
    score: str = "Train/mean_reward"
    seed: int = 0

    def check(self) -> None:
        """Reject rules by which nothing could be replaced or moved.

        Raises:
            ValueError: says what is allowed.
        """
        if not 0 < self.fraction <= 0.5:
            raise ValueError(f"fraction is above 0 and at most 0.5; got {self.fraction}.")
        if not 0 <= self.resample <= 1:
            raise ValueError(f"resample is a probability, from 0 to 1; got {self.resample}.")
        if not self.factors or not all(np.isfinite(factor) and factor > 0 for factor in self.factors):
            raise ValueError(f"factors are numbers above 0, at least one; got {list(self.factors)}.")

    def draw_settings(self, members: int) -> list[dict[str, float]]:
        """Draw the numbers that members start with."""
        generator = np.random.default_rng([self.seed, 0])
        return [{path: allowed.draw(generator) for path, allowed in self.ranges.items()} for _ in range(members)]

    def is_due(self, iteration: int) -> bool:
        """Return whether members are exchanged after so many iterations."""
        return iteration > 0 and iteration % self.interval == 0

    def replacements(
        self, iteration: int, scores: np.ndarray, failed: np.ndarray, settings: Sequence[Setting]
    ) -> list[Replacement]:
        """Choose who is replaced by whom (truncation selection), and the new numbers.

        Those with the lowest scores, and all that failed, become copies of random ones with the highest scores. What is
        drawn depends on the seed and the iteration alone. Members whose score is unknown are left as they are.

        Args:
            iteration: number of finished iterations.
            scores: ``[members]``; NaN where unknown.
            failed: whether NaN or infinity appeared, ``[members]``.
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
        """Move each number of a setting, or draw it anew."""
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
        """Read what :meth:`to_json` gave."""
        ranges = {path: Range(**bounds) for path, bounds in content["ranges"].items()}
        return cls(**{**content, "ranges": ranges, "factors": tuple(content["factors"])})


def lineage_to_json(lineage: Sequence[Replacement]) -> list[dict[str, Any]]:
    """Return replacements as JSON values; an unknown score is null."""
    rows = [dataclasses.asdict(replacement) for replacement in lineage]
    return [{**row, "score": None if np.isnan(row["score"]) else row["score"]} for row in rows]


def lineage_from_json(rows: Sequence[Mapping[str, Any]]) -> list[Replacement]:
    """Read what :func:`lineage_to_json` gave."""
    return [Replacement(**{**row, "score": np.nan if row["score"] is None else row["score"]}) for row in rows]
