"""Results of population-based training: curves, numbers and lineage of the members."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.logging.curves import label_of_tag
from rsl_jax.logging.populations import Copy, NumberPanel, draw_lineage, draw_population
from rsl_jax.sweeps.exchange import Exchange, Replacement, lineage_from_json, lineage_to_json
from rsl_jax.sweeps.results import SweepResult
from rsl_jax.sweeps.settings import label_of
from rsl_jax.sweeps.statistics import mean_of_last


@dataclass(frozen=True, kw_only=True)
class PopulationResult(SweepResult):
    """Result of population-based training, finished or not.

    A row of the metrics belongs to a slot of the population: where a member was replaced, the row continues with the
    copy. ``members`` have their final numbers.

    Attributes:
        exchange: rules by which members were replaced.
        lineage: replacements, in order.
    """

    exchange: Exchange
    lineage: Sequence[Replacement]

    def values(self, path: str) -> np.ndarray:
        """Return the values of an explored number in each member and iteration, ``[members, iterations]``.

        Raises:
            ValueError: for a number that was not explored.
        """
        values = super().values(path).astype(float)
        for each in reversed(self.lineage):
            values[each.member, : each.iteration] = each.before[path]
        return values

    def summary(self, tag: str | None = None, *, last: int = 10) -> list[dict[str, Any]]:
        """Summarise the members, the best first.

        Returns:
            for each member its index (``member``), ``seed`` and final numbers, its ``score``, and how often it was
            ``replaced``.
        """
        replaced = [each.member for each in self.lineage]
        rows: list[dict[str, Any]] = [
            {
                "member": member.index,
                "seed": member.seed,
                **member.setting,
                "score": float(score),
                "replaced": replaced.count(member.index),
            }
            for member, score in zip(self.members, self.scores(tag, last=last), strict=True)
        ]
        return sorted(rows, key=lambda row: -np.inf if np.isnan(row["score"]) else row["score"], reverse=True)

    def scores(self, tag: str | None = None, *, last: int = 10) -> np.ndarray:
        """Compute the mean of each policy's last iterations, including those of its ancestors, ``[members]``.

        Args:
            tag: tag of the score; the one by which members were ranked if None.
            last: number of iterations to average.
        """
        rows = np.stack([self.ancestral_curve(member.index, tag) for member in self.members])
        return np.where(self.failed < 0, mean_of_last(rows, last), np.nan)

    def describe_failures(self) -> list[str]:
        """Return a line for each time that NaN or infinity occurred: in which member, and when it was replaced."""
        lines = [
            f"member {each.member} ({label_of(each.before)}): replaced after {each.iteration} iterations"
            for each in self.lineage
            if each.failed
        ]
        left = [member for member in self.members if self.failed[member.index] >= 0]
        return lines + [
            f"member {member.index} ({member.label}): in iteration {self.failed[member.index]}, not replaced"
            for member in left
        ]

    def ancestry(self, member: int) -> list[tuple[int, int, int]]:
        """Return the ancestors of a member, itself last: ``(member, first iteration, end)``, without gaps."""
        spans, end = [], self.iterations
        for each in reversed(self.lineage):
            if each.member == member and each.iteration < end:
                spans.append((member, each.iteration, end))
                member, end = each.parent, each.iteration
        return [(member, 0, end), *reversed(spans)]

    def ancestral_curve(self, member: int, tag: str | None = None) -> np.ndarray:
        """Return the curve of a member's policy and its ancestors, ``[iterations]``, instead of that of its slot.

        Raises:
            ValueError: for an unknown tag.
        """
        rows = self._rows(tag)
        return np.concatenate([rows[index, start:end] for index, start, end in self.ancestry(member)])

    def lineage_table(self) -> list[dict[str, Any]]:
        """Return a row for each replacement: iteration, member, parent, scores, and each number before and after.

        ``pandas.DataFrame(result.lineage_table())`` is a table.
        """
        rows = []
        for each in self.lineage:
            numbers = {
                f"{path} {when}": setting[path]
                for path in self.exchange.ranges
                for when, setting in (("before", each.before), ("after", each.after))
            }
            scores = {"score": each.score, "parent_score": each.parent_score, "failed": each.failed}
            rows.append(
                {"iteration": each.iteration, "member": each.member, "parent": each.parent, **scores, **numbers}
            )
        return rows

    def save_lineage(self, path: str | Path) -> Path:
        """Write :meth:`lineage_table` as a CSV file; returns its path."""
        path, rows = Path(path), self.lineage_table()
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["iteration", "member", "parent"])
            writer.writeheader()
            writer.writerows(rows)
        return path

    def plot(self, path: str | Path | None = None, *, tag: str | None = None, title: str = "", axes: Any = None) -> Any:
        """Plot the curves of all members over the environment steps, and that of the finally best policy.

        Args:
            path: file to also write the plot to.
            tag: tag to plot; that of the score if None.
            title: title of the plot.
            axes: axes of matplotlib to draw into; None for a new figure.

        Returns:
            the figure, matplotlib's.
        """
        tag, best = tag or self.score, self._best_index()
        figure = draw_population(
            self._rows(tag),
            None if best is None else self.ancestral_curve(best, tag),
            steps_per_iteration=self.steps_per_iteration,
            y_label=label_of_tag(tag),
            title=title,
            axes=axes,
        )
        return _written(figure, path)

    def plot_lineage(self, path: str | Path | None = None, *, title: str = "") -> Any:
        """Plot the lineage of the members and the course of their numbers, coloured by score.

        Args:
            path: file to also write the plot to.
            title: title of the plot.

        Returns:
            the figure, matplotlib's.
        """
        best = self._best_index()
        figure = draw_lineage(
            self._rows(self.score),
            [Copy(each.iteration, each.member, each.parent, each.failed) for each in self.lineage],
            [
                NumberPanel(path.rsplit(".", 1)[-1], self.values(path), allowed.kind)
                for path, allowed in self.exchange.ranges.items()
            ],
            [] if best is None else self.ancestry(best),
            interval=self.exchange.interval,
            score=label_of_tag(self.score),
            title=title,
        )
        return _written(figure, path)

    def to_json(self) -> dict[str, Any]:
        """Return its description without the arrays, as JSON values."""
        return {
            **super().to_json(),
            "exchange": self.exchange.to_json(),
            "lineage": lineage_to_json(self.lineage),
        }

    @classmethod
    def _others(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        if "exchange" not in content:
            raise ValueError("The file holds a sweep, not a population. Read it by SweepResult.load.")
        exchange, lineage = Exchange.from_json(content["exchange"]), lineage_from_json(content["lineage"])
        return {"exchange": exchange, "lineage": lineage}

    def _best_index(self) -> int | None:
        scores = self.scores()
        return None if np.isnan(scores).all() else int(np.nanargmax(scores))


def _written(figure: Any, path: str | Path | None) -> Any:
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure
