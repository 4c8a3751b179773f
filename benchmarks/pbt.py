"""Population-based training against random search of the same size, on gymnax's Pendulum.

Run ``python benchmarks/pbt.py``: about ten minutes on two cores, of which most is training. Both train as many members
for as many iterations, from the same numbers, drawn from the same wide ranges; random search keeps its numbers. What is
compared is the best member at the end, by its mean reward over the last iterations, in repetitions with other seeds.
``--smoke`` is a tiny size that only shows that it runs.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from reporting import show_table, write_json
from scipy import stats

import rsl_jax
from rsl_jax.sweeps import SweepResult

ENV = "gymnax/Pendulum-v1"
MODEL = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "tanh", "obs_normalization": True}
CONFIG = {
    "num_steps_per_env": 32,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution"}},
    "critic": MODEL,
    "algorithm": {
        "class_name": "PPO",
        "schedule": "fixed",
        "num_learning_epochs": 4,
        "num_mini_batches": 4,
        "use_clipped_value_loss": False,
    },
}
RANGES = {
    "learning_rate": (1e-5, 1e-1),
    "entropy_coef": (1e-5, 1e-1),
    "gamma": (0.8, 0.9999),
    "lam": (0.8, 0.999),
    "clip_param": (0.05, 0.5),
}

EPISODES, EPISODE_LENGTH = 256, 200
PICTURES = Path(__file__).parents[1] / "docs" / "images"


@dataclass(frozen=True)
class Size:
    """What is trained.

    Attributes:
        num_envs: environments of a member.
        iterations: of a member.
        members: of a population, and of a random search.
        interval: iterations between two exchanges.
        last: iterations whose mean reward counts.
        repetitions: of everything, with other seeds.
    """

    num_envs: int = 32
    iterations: int = 200
    members: int = 16
    interval: int = 10
    last: int = 10
    repetitions: int = 5


def train(env: Any, size: Size, seed: int) -> dict[str, SweepResult]:
    """Train a population, and a random search over the numbers that it starts with."""
    shared: dict[str, Any] = {"iterations": size.iterations, "console": False}
    options = {"members": size.members, "interval": size.interval, "ranges": RANGES, "seed": seed}
    population = rsl_jax.population_based_training(env, CONFIG, **options, **shared)
    first = population.exchange.draw_settings(size.members)
    return {"PBT": population, "random search": rsl_jax.sweep(env, CONFIG, settings=first, seeds=[seed], **shared)}


def play(env: Any, result: SweepResult, seed: int) -> float:
    """Mean return of the best member without its noise, over episodes that nobody was chosen by."""
    policy = result.best().runner(env, console=False).get_inference_policy()
    fresh = rsl_jax.make_env(ENV, num_envs=EPISODES)
    state, observations = jax.jit(fresh.reset)(jax.random.key(seed + 777))
    step, returns = jax.jit(fresh.step), np.zeros(EPISODES)
    for _ in range(EPISODE_LENGTH):
        state, timestep = step(state, policy(observations))
        observations, returns = timestep.observations, returns + np.asarray(timestep.rewards)
    return float(returns.mean())


def main(size: Size, *, smoke: bool = False) -> None:
    """Repeat and report."""
    if smoke:
        size = Size(num_envs=4, iterations=60, members=4, interval=10, repetitions=2)
    began = time.perf_counter()
    env = rsl_jax.make_env(ENV, num_envs=size.num_envs)
    figures: dict[str, dict[str, list[float]]] = {}
    for repetition in range(size.repetitions):
        seed = 1000 * repetition
        results = train(env, size, seed)
        for name, result in results.items():
            own = figures.setdefault(name, {"training": [], "played": [], "median": [], "failed": [], "seconds": []})
            scores = result.scores(last=size.last)
            own["training"].append(float(np.nanmax(scores)))
            own["median"].append(float(np.nanmedian(scores)))
            own["played"].append(play(env, result, seed))
            own["failed"].append(int((result.failed >= 0).sum()))
            own["seconds"].append(result.seconds)
        shown = ", ".join(
            f"{name} {own['training'][-1]:.0f} (played {own['played'][-1]:.0f})" for name, own in figures.items()
        )
        print(f"repetition {repetition + 1} of {size.repetitions}: {shown}", flush=True)
        if not smoke and repetition == 0:
            results["PBT"].plot(PICTURES / "pbt_curves.png", title=ENV)
            results["PBT"].plot_lineage(PICTURES / "pbt_lineage.png", title=ENV)
    report(figures, size, seconds=time.perf_counter() - began, write=not smoke)


def report(figures: dict[str, dict[str, list[float]]], size: Size, *, seconds: float, write: bool) -> None:
    """Print and write what it comes to."""
    differences, tests = {}, {}
    for what in ("training", "played", "median"):
        ours, theirs = (np.array(figures[name][what]) for name in ("PBT", "random search"))
        differences[what] = (ours - theirs).tolist()
        tests[what] = {"wins": int((ours > theirs).sum()), "p_paired_t": float(stats.ttest_rel(ours, theirs).pvalue)}
    rows = [
        (
            name,
            *(
                f"{np.mean(own[what]):.0f} ± {np.std(own[what], ddof=1):.0f}"
                for what in ("training", "played", "median")
            ),
            f"{np.mean(own['failed']):.1f}",
            f"{np.mean(own['seconds']):.0f}",
        )
        for name, own in figures.items()
    ]
    columns = ["", "best, in training", "best, played", "median member", "failed members", "s"]
    show_table(f"{size.members} members on {ENV}, {size.repetitions} repetitions, mean ± sd", columns, rows)
    print(f"PBT is better in {tests['training']['wins']} of {size.repetitions} (played: {tests['played']['wins']})")
    result = {
        "env": ENV,
        "size": dataclasses.asdict(size),
        "config": CONFIG,
        "ranges": RANGES,
        "figures": figures,
        "differences": differences,
        "tests": tests,
        "seconds": seconds,
    }
    if write:
        print(f"written: {write_json('pbt', result)}")


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:  # all repetitions are the same two programs
        jax.config.update("jax_compilation_cache_dir", folder)
        tyro.cli(main)
