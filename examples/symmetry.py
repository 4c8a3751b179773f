"""A robot that looks the same in the mirror learns to act the same in the mirror.

A pendulum can be swung up on either side. PPO does not know that the sides are alike and learns each for itself, unless
mirrored samples are learned from, too. Five seeds of each setting as one compiled program; run it in the root of the
repository: ``python examples/symmetry.py``.
"""

# %% The mirror: sine and speed change their sign, the cosine stays; so does the torque change its sign
import time
import warnings
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import rsl_jax
from rsl_jax.config import Mirror, MirrorSpec
from rsl_jax.env import check_symmetry
from rsl_jax.training import make_train

NUM_ITERATIONS = 200
NUM_STEPS = 25
NUM_SEEDS = 5
LEARNED = -400.0
PICTURE = Path("docs/images/symmetry.png")

MIRROR = MirrorSpec({"policy": Mirror(3, flip=(1, 2))}, Mirror(1, flip=(0,)))
MODEL = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "tanh", "obs_normalization": True}


def config(**symmetry_cfg):
    """RSL-RL's dict; without switches the mirror loss is only logged."""
    return {
        "num_steps_per_env": NUM_STEPS,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {
            "class_name": "PPO",
            "gamma": 0.95,
            "learning_rate": 1e-3,
            "schedule": "fixed",
            "use_clipped_value_loss": False,  # returns are in the hundreds: steps of 0.2 would never get there
            "num_learning_epochs": 4,
            "entropy_coef": 0.0,
            "symmetry_cfg": {"mirror_spec": MIRROR, **symmetry_cfg},
        },
        "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution"}},
        "critic": MODEL,
    }


SETTINGS = {
    "without": config(),
    "augmentation": config(use_data_augmentation=True),
    "augmentation and mirror loss": config(use_data_augmentation=True, use_mirror_loss=True, mirror_loss_coeff=1.0),
}
env = rsl_jax.make_env("gymnax/Pendulum-v1", num_envs=32)
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * NUM_STEPS

# %% Is it a mirror? The mirrored states are found by themselves
print(check_symmetry(env, MIRROR))

# %% Train
warnings.filterwarnings("ignore", "symmetry_cfg switches on neither")  # as is meant here
keys = jax.random.split(jax.random.key(2), NUM_SEEDS)
returns, errors = {}, {}
for name, cfg in SETTINGS.items():
    start = time.perf_counter()
    _, metrics = jax.block_until_ready(jax.jit(jax.vmap(make_train(env, cfg, NUM_ITERATIONS)))(keys))
    returns[name] = np.asarray(metrics["Train/mean_reward"])  # [seeds, iterations]
    errors[name] = np.asarray(metrics["Loss/symmetry"])  # mean squares, in units of the action
    learned = np.array([steps[curve > LEARNED][0] if (curve > LEARNED).any() else np.inf for curve in returns[name]])
    error = errors[name][:, -20:].mean()
    print(
        f"{name}: above {LEARNED:.0f} after {learned} steps, final returns {np.round(returns[name][:, -1])}, "
        f"mirror error {error:.4f} (its root {np.sqrt(error):.3f}), {time.perf_counter() - start:.0f} s"
    )

# %% Plot
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, color in zip(SETTINGS, ("tab:orange", "tab:blue", "tab:green"), strict=True):
    for axes, curves in ((left, returns[name]), (right, errors[name])):
        axes.fill_between(steps / 1000, curves.min(0), curves.max(0), color=color, alpha=0.2, linewidth=0)
        axes.plot(steps / 1000, curves.mean(0), color=color, label=name)
left.set(title="mean return", ylabel="of the last 100 episodes")
right.set(title="how far the policy is from its mirror image", ylabel="mean square of actions", yscale="log")
for axes in (left, right):
    axes.set(xlabel="environment steps of a run (thousands)")
    axes.grid(alpha=0.3)
left.legend(frameon=False)
figure.suptitle(f"PPO on gymnax/Pendulum-v1: mean and range of {NUM_SEEDS} seeds")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")
