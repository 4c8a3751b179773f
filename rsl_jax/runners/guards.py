"""Errors and warnings from what a compiled iteration reports."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.ops.guards import PREFIX, likeliest_first
from rsl_jax.training.iteration import REPORTED_TIME_OUTS, UNREPORTED_TIME_OUTS

SKIPPED_UPDATES = f"{PREFIX}skipped_updates"
"""Tag in the log: number of updates that ``on_non_finite: skip`` has skipped so far."""

MOST_SKIPS = 10
"""Consecutive updates that may be skipped; one more stops the run."""

ENOUGH_TIME_OUTS = 10
"""Unreported time-outs that are tolerated: an environment may terminate in the step in which it reaches its limit."""

_ENVIRONMENT = "The environment returned it: check its step() and reset(), or the actions that it was given."
_ADVICE = {
    **dict.fromkeys(
        ("observations", "last_observations", "final_observations", "rewards", "dones", "time_outs"), _ENVIRONMENT
    ),
    "added_rewards": "An extension (rnd_cfg) computed it from the observations: smaller observations may help, or its "
    "state_normalization.",
    "learning_rate": "It follows from algorithm.learning_rate and the schedule (desired_kl): check these.",
    "teacher": "The teacher returned it for the observations: is it the right checkpoint, with its normaliser, on the "
    "observations that it was trained with?",
}
_LEARNING = "a smaller learning_rate or max_grad_norm, obs_normalization, or smaller rewards may help."


class NonFiniteError(FloatingPointError):
    """Error for NaN or infinity in observations, rewards, losses or parameters.

    Attributes:
        iteration: in which it appeared.
        names: which quantities contained NaN or infinity, the likeliest cause first.
    """

    def __init__(self, iteration: int, counts: dict[str, int], kept: str, *, looked: bool = True):
        """Describe the cause.

        Args:
            iteration: in which it appeared.
            counts: number of NaN or infinite values, by name.
            kept: what became of the last good state, as the end of the message.
            looked: whether the environment's outputs were checked (``check_for_nan``).
        """
        self.iteration = iteration
        self.names = likeliest_first(counts)
        super().__init__(
            f"NaN or infinity in iteration {iteration}: {describe(self.names, counts, looked=looked)} The training "
            f"state is the one before this iteration{kept}."
        )


class Guard:
    """Check of each iteration's reports, which decides whether the run goes on."""

    def __init__(self, cfg: BaseRunnerConfig, max_episode_length: object = None):
        """Start with no failure seen.

        Args:
            cfg: the config; its ``on_non_finite`` decides.
            max_episode_length: time limit of the environments, for the warning.
        """
        self._cfg, self._limit = cfg, max_episode_length
        self._skipped = self._in_a_row = 0
        self._late = self._flagged = 0

    def examine(self, iteration: int, metrics: dict[str, float], save: Callable[[], str]) -> None:
        """Check the reports of an iteration and remove them from its metrics.

        Args:
            iteration: its number.
            metrics: as fetched from the device; the reports are removed.
            save: saves the last good state; returns what to say about it.

        Raises:
            NonFiniteError: if something was NaN or infinite, and the config does not say that the update is to be
                skipped, or too many were skipped in a row.
        """
        counts = take_reports(metrics)
        self._look_at_time_outs(metrics)
        skips = self._cfg.on_non_finite == "skip"
        self._in_a_row = self._in_a_row + 1 if counts else 0
        if counts and (not skips or self._in_a_row > MOST_SKIPS):
            raise NonFiniteError(iteration, counts, save(), looked=self._cfg.check_for_nan)
        if counts and not self._skipped:
            text = describe(likeliest_first(counts), counts, looked=self._cfg.check_for_nan)
            warnings.warn(
                f"NaN or infinity in iteration {iteration}, whose update is skipped: {text} Further ones are counted "
                f"in {SKIPPED_UPDATES}; after {MOST_SKIPS} in a row the run stops.",
                stacklevel=4,
            )
        self._skipped += bool(counts)
        if skips:
            metrics[SKIPPED_UPDATES] = float(self._skipped)

    def _look_at_time_outs(self, metrics: dict[str, float]) -> None:
        late, flagged = (int(metrics.pop(tag, 0)) for tag in (UNREPORTED_TIME_OUTS, REPORTED_TIME_OUTS))
        known = self._late >= ENOUGH_TIME_OUTS
        self._late, self._flagged = self._late + late, self._flagged + flagged
        if not known and not self._flagged and self._late >= ENOUGH_TIME_OUTS:
            warnings.warn(
                f"Episodes end after max_episode_length={self._limit} steps, but the environment has not flagged any "
                "of them as time_outs (extras['time_outs'] of a VecEnv, TimeStep.time_outs of an Env). Learning then "
                "treats a time-out as a failure.",
                stacklevel=5,
            )


def take_reports(metrics: dict[str, float]) -> dict[str, int]:
    """Remove the guards' reports from the metrics; returns the non-zero counts of NaN or infinite values by name."""
    reports = {name: int(metrics.pop(name)) for name in list(metrics) if name.startswith(PREFIX)}
    return {name.removeprefix(PREFIX): count for name, count in reports.items() if count}


def describe(names: list[str], counts: dict[str, int], *, looked: bool) -> str:
    """Describe what was NaN or infinite, what to do about the likeliest cause, and what followed."""
    first = names[0].split(".")[0]
    causes = [name for name in names if name.split(".")[0] == first]
    listing = ", ".join(f"{name} ({counts[name]} {'value' if counts[name] == 1 else 'values'})" for name in causes)
    followed = names[len(causes) :]
    checked = "Observations and rewards were finite" if looked else "check_for_nan is off, so it may be the environment"
    advice = _ADVICE.get(first, f"{checked}: {_LEARNING}")
    return f"{listing}. {advice}" + (f" From this followed {', '.join(followed)}." if followed else "")
