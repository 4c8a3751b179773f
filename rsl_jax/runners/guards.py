"""Turns what a compiled iteration reports into errors and warnings."""

from __future__ import annotations

import warnings

from rsl_jax.ops.guards import PREFIX
from rsl_jax.training.iteration import UNREPORTED_TIME_OUTS

_ENVIRONMENT = "The environment returned it: look at its step() and reset(), or at the actions it was given."
_LEARNING = (
    "Observations and rewards were finite: a smaller learning_rate or max_grad_norm, obs_normalization, or smaller "
    "rewards may help."
)
ADVICE = {
    "observations": _ENVIRONMENT,
    "last_observations": _ENVIRONMENT,
    "rewards": _ENVIRONMENT,
    "loss": _LEARNING,
    "gradient": _LEARNING,
}


class NonFiniteError(FloatingPointError):
    """NaN or infinity where learning needs numbers.

    Attributes:
        iteration: in which it appeared.
        names: what was not finite, the likeliest cause first.
    """

    def __init__(self, iteration: int, counts: dict[str, int], kept: str):
        order = list(ADVICE)
        self.iteration = iteration
        # Names that a custom algorithm reports come last.
        self.names = sorted(counts, key=lambda name: [*order, name.split(".")[0]].index(name.split(".")[0]))
        listing = ", ".join(f"{name} ({counts[name]} values)" for name in self.names)
        advice = ADVICE.get(self.names[0].split(".")[0], _LEARNING)
        super().__init__(
            f"NaN or infinity in iteration {iteration}: {listing}. {advice} The "
            f"parameters are "
            f"those before this iteration{kept}."
        )


def take_reports(metrics: dict[str, float]) -> tuple[dict[str, int], int]:
    """Take the guards' reports out of the metrics.

    Returns:
        how many values were not finite, by name (only those with any), and how many episodes ran into the time limit
        without being flagged.
    """
    reports = {name: int(metrics.pop(name)) for name in list(metrics) if name.startswith(PREFIX)}
    unreported = int(metrics.pop(UNREPORTED_TIME_OUTS, 0))
    return {name.removeprefix(PREFIX): count for name, count in reports.items() if count}, unreported


def warn_of_unreported_time_outs(max_episode_length: object) -> None:
    """Say that time limits look like failures to the learner."""
    warnings.warn(
        f"Episodes end after max_episode_length={max_episode_length} steps, but the environment does not flag them as "
        "time_outs (extras['time_outs'] of a VecEnv, TimeStep.time_outs of an Env). Learning then takes running out "
        "of time "
        "for a failure.",
        stacklevel=3,
    )
