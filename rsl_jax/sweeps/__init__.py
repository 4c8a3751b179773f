"""Sweeps over settings and seeds: one program where only numbers differ, resumable, on all devices."""

from rsl_jax.sweeps.progress import Progress
from rsl_jax.sweeps.results import SweepResult, Trained, interquartile_mean
from rsl_jax.sweeps.running import SweepStopped, sweep
from rsl_jax.sweeps.settings import Member

__all__ = ["Member", "Progress", "SweepResult", "SweepStopped", "Trained", "interquartile_mean", "sweep"]
