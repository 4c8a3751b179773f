"""Many training runs at once, resumable, on all devices: sweeps over settings and seeds, population-based training."""

from rsl_jax.sweeps.exchange import Exchange, Replacement
from rsl_jax.sweeps.pbt import population_based_training
from rsl_jax.sweeps.population import PopulationResult
from rsl_jax.sweeps.progress import Progress
from rsl_jax.sweeps.ranges import Range
from rsl_jax.sweeps.ray_cluster import RayCluster
from rsl_jax.sweeps.results import SweepResult, Trained
from rsl_jax.sweeps.running import SweepStopped
from rsl_jax.sweeps.settings import Member
from rsl_jax.sweeps.statistics import interquartile_mean
from rsl_jax.sweeps.sweeping import sweep

__all__ = [
    "Exchange",
    "Member",
    "PopulationResult",
    "Progress",
    "Range",
    "RayCluster",
    "Replacement",
    "SweepResult",
    "SweepStopped",
    "Trained",
    "interquartile_mean",
    "population_based_training",
    "sweep",
]
