"""Ranges in which population-based training explores numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.paths import find_path, is_float, value_at
from rsl_jax.sweeps.settings import apply_setting

Scale = Literal["linear", "log", "discount"]

WIDE = 10.0
"""Ratio of the bounds at and above which a range is logarithmic by default."""


@dataclass(frozen=True)
class Range:
    """Range of a number.

    Attributes:
        low: lower bound.
        high: upper bound.
        scale: ``"linear"``: drawn uniformly, perturbed by fractions of the width; ``"log"``: uniform in the logarithm,
            perturbed by factors; ``"discount"``: as ``"log"``, of the distance from 1 (``gamma``, ``lam``). If None, it
            is ``"log"`` if the bounds are positive and one is at least ten times the other, ``"discount"`` if that
            holds for their distances from 1 and both are between 0.5 and 1, and ``"linear"`` otherwise.
    """

    low: float
    high: float
    scale: Scale | None = None

    @property
    def kind(self) -> Scale:
        """The scale, or the default for these bounds."""
        if self.scale is not None:
            return self.scale
        if self.low > 0 and self.high >= WIDE * self.low:
            return "log"
        # Rounded: 1 - 0.9 is not quite ten times 1 - 0.99.
        if self.low >= 0.5 and self.high < 1 and round((1 - self.low) / (1 - self.high), 6) >= WIDE:
            return "discount"
        return "linear"

    def check(self, name: str) -> None:
        """Reject empty ranges, and bounds that the scale does not allow.

        Raises:
            ValueError: for invalid bounds; says what is allowed.
            TypeError: for bounds that are not numbers.
        """
        for bound in (self.low, self.high):
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise TypeError(f"The bounds of '{name}' must be numbers; got {bound!r}.")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"The lower bound of '{name}' must be below the upper one, both finite; got {self.low} and {self.high}."
            )
        if self.scale is not None and self.scale not in get_args(Scale):
            raise ValueError(f"The scale of '{name}' must be {', '.join(get_args(Scale))} or None; got {self.scale!r}.")
        if self.kind == "log" and self.low <= 0:
            raise ValueError(f"A logarithmic range must be above 0; that of '{name}' starts at {self.low}.")
        if self.kind == "discount" and self.high >= 1:
            raise ValueError(f"A range of discounts must be below 1; that of '{name}' ends at {self.high}.")

    def draw(self, generator: np.random.Generator) -> float:
        """Sample a number, uniformly on the scale."""
        if self.kind == "linear":
            value = generator.uniform(self.low, self.high)
        elif self.kind == "log":
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = 1 - math.exp(generator.uniform(math.log(1 - self.high), math.log(1 - self.low)))
        return self._clipped(value)

    def move(self, value: float, factor: float) -> float:
        """Perturb a number by a factor, clipped to the bounds."""
        if self.kind == "log":
            return self._clipped(value * factor)
        if self.kind == "discount":
            return self._clipped(1 - (1 - value) * factor)
        return self._clipped(value + (factor - 1) * (self.high - self.low))

    def _clipped(self, value: float) -> float:
        return float(min(max(value, self.low), self.high))


def list_ranges(cfg: BaseRunnerConfig, given: Mapping[str, Range | Sequence[float]]) -> dict[str, Range]:
    """Return ranges by the full paths of their keys, checked against the config.

    Args:
        cfg: the config with these keys.
        given: a range, or its two bounds, by key; a key is a path, or the end of one if that is unambiguous.

    Raises:
        ValueError: for an unknown key or one without a float, no ranges, an empty or reversed range, or bounds that the
            config does not allow.
        TypeError: for anything else than a range.
    """
    if not given:
        raise ValueError(
            "Population-based training needs a number to explore, with its bounds: learning_rate=(1e-4, 1e-2)."
        )
    ranges: dict[str, Range] = {}
    for name, bounds in given.items():
        path, chosen = find_path(cfg, name), _as_range(name, bounds)
        if path in ranges:
            raise ValueError(f"Two ranges are given for {path}.")
        if not is_float(cfg, path):
            raise ValueError(
                f"{path} is not a float, so it cannot be explored in a range. Compare its values with rsl_jax.sweep."
            )
        low, high = (
            value_at(apply_setting(cfg, {path: bound}), path.split(".")) for bound in (chosen.low, chosen.high)
        )
        ranges[path] = Range(low, high, chosen.scale)
        ranges[path].check(name)
    return ranges


def _as_range(name: str, bounds: Any) -> Range:
    if isinstance(bounds, Range):
        return bounds
    if isinstance(bounds, (str, bytes, Mapping)) or not isinstance(bounds, (Sequence, np.ndarray)) or len(bounds) != 2:
        raise TypeError(f"'{name}' needs two bounds, (low, high), or a Range; got {bounds!r}.")
    low, high = (bound.item() if hasattr(bound, "item") else bound for bound in bounds)
    return Range(low, high)
