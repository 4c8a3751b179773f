"""Sixteen training runs in one compiled program, and a sweep of the learning rate in another.

The cells (``# %%``) run in VS Code, PyCharm or Jupyter (by jupytext), and the file as a script in the root of the
repository: ``python examples/many_seeds.py``.
"""

# %% What is trained
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.stats

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
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * CONFIG["num_steps_per_env"]

# %% Sixteen seeds, and eight of each learning rate
NUM_SEEDS = 16
seeds = rsl_jax.sweep(env, CONFIG, iterations=NUM_ITERATIONS, seeds=NUM_SEEDS)
RATES, SWEEP_SEEDS = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], 8
sweep = rsl_jax.sweep(env, CONFIG, iterations=NUM_ITERATIONS, seeds=SWEEP_SEEDS, learning_rate=RATES)

# %% What they gave; the best of them goes on as an OnPolicyRunner by seeds.best().runner(env)
rewards = seeds.curves({})  # [seeds, iterations]
swept_rewards = np.stack([sweep.curves(setting) for setting in sweep.settings])  # [rates, seeds, iterations]
print(f"{NUM_SEEDS} seeds x {steps[-1]:,} steps in {seeds.seconds:.0f} s, compilation included")
print(f"best seed: {seeds.best().member.seed}, worst final mean return: {np.nanmin(rewards[:, -1]):.0f}")
for row in sweep.summary():
    rate, iqm, low, high = (row[key] for key in ("algorithm.learning_rate", "iqm", "low", "high"))
    print(f"  learning rate {rate:.0e}: interquartile mean {iqm:7.0f} ({low:.0f} to {high:.0f})")


# %% Plot both
def plot_band(axes, curves, *, color, label):
    """Plot the mean of curves ``[runs, iterations]`` and its 95 % confidence band (Student's t)."""
    mean = curves.mean(0)
    half_width = scipy.stats.t.ppf(0.975, len(curves) - 1) * curves.std(0, ddof=1) / np.sqrt(len(curves))
    axes.fill_between(steps, mean - half_width, mean + half_width, color=color, alpha=0.25, linewidth=0)
    axes.plot(steps, mean, color=color, label=label)


figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
left.plot(steps, rewards.T, color="0.75", linewidth=0.7, label=[f"each of {NUM_SEEDS} seeds", *["_"] * (NUM_SEEDS - 1)])
plot_band(left, rewards, color="tab:blue", label="mean and its 95 % band")
left.set(title=f"{NUM_SEEDS} seeds in one program", ylabel="mean return of the last 100 episodes")
for color, rate, curves in zip(plt.cm.viridis(np.linspace(0, 0.9, len(RATES))), RATES, swept_rewards, strict=True):
    plot_band(right, curves, color=color, label=f"learning rate {rate:g}")
right.set(title=f"A sweep in one program ({SWEEP_SEEDS} seeds each)")
for axes in (left, right):
    axes.set(xlabel="environment steps of a run")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
figure.suptitle("PPO on gymnax/Pendulum-v1")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=120)
print(f"picture: {PICTURE}")
