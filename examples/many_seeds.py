"""Sixteen training runs in one compiled program, and a sweep of the learning rate in another.

The cells (``# %%``) run in VS Code, PyCharm or Jupyter (by jupytext), and the file as a script in the root of the
repository: ``python examples/many_seeds.py``.
"""

# %% What is trained
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rsl_jax

NUM_ITERATIONS = 200
PICTURE = Path("docs/images/many_seeds.png")

MODEL = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "tanh", "obs_normalization": True}
CONFIG = {
    "num_steps_per_env": 25,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "algorithm": {
        "class_name": "PPO",
        "learning_rate": 3e-3,
        "schedule": "fixed",
        "use_clipped_value_loss": False,  # returns are in the hundreds: value steps of 0.2 would never get there
        "num_learning_epochs": 4,
        "num_mini_batches": 4,
        "entropy_coef": 0.0,
        "gamma": 0.95,
    },
    "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution"}},
    "critic": MODEL,
}

env = rsl_jax.make_env("gymnax/Pendulum-v1", num_envs=32)

# %% Sixteen seeds, and eight of each learning rate: each call is one compiled program
NUM_SEEDS = 16
seeds = rsl_jax.sweep(env, CONFIG, iterations=NUM_ITERATIONS, seeds=NUM_SEEDS)
RATES, SWEEP_SEEDS = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], 8
rates = rsl_jax.sweep(env, CONFIG, iterations=NUM_ITERATIONS, seeds=SWEEP_SEEDS, learning_rate=RATES)

# %% What they gave; the best of them goes on as an OnPolicyRunner by seeds.best().runner(env)
rewards = seeds.curves({})  # [seeds, iterations]
steps = np.arange(1, NUM_ITERATIONS + 1) * seeds.steps_per_iteration
print(f"{NUM_SEEDS} seeds x {steps[-1]:,} steps in {seeds.seconds:.0f} s, compilation included")
print(f"best seed: {seeds.best().member.seed}, worst final mean return: {np.nanmin(rewards[:, -1]):.0f}")
for row in rates.summary():
    rate, iqm, low, high = (row[key] for key in ("algorithm.learning_rate", "iqm", "low", "high"))
    print(f"  learning rate {rate:.0e}: interquartile mean {iqm:7.0f} ({low:.0f} to {high:.0f})")

# %% Plot both
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout="constrained")
left.plot(steps, rewards.T, color="0.8", linewidth=0.7)
seeds.plot(axes=left, title=f"{NUM_SEEDS} seeds of PPO on gymnax/Pendulum-v1")
rates.plot(axes=right, title="five learning rates")
right.set_ylabel("")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"picture: {PICTURE}")
