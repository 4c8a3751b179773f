"""Train a symmetric robot to act symmetrically.

A cart-pole can be swung up on either side. PPO does not know that the sides are alike and learns each separately,
unless it also learns from mirrored samples. Five seeds of each setting, some ten minutes on two cores; run it in the
root of the repository: ``python examples/symmetry.py``.
"""

# %% The mirror: all observations change their sign except the pole's cosine, and so does the force
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

NUM_ITERATIONS = 150
NUM_STEPS = 32
NUM_SEEDS = 5
LEARNED = (400.0, 600.0, 700.0)
PICTURE = Path("docs/images/symmetry.png")

MIRROR = MirrorSpec({"policy": Mirror(5, flip=(0, 2, 3, 4))}, Mirror(1, flip=(0,)))
MODEL = {"class_name": "MLPModel", "hidden_dims": [64, 64], "activation": "elu", "obs_normalization": True}


def config(**symmetry_cfg):
    """Return RSL-RL's config dict; without switches the mirror loss is only logged."""
    return {
        "num_steps_per_env": NUM_STEPS,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {
            "class_name": "PPO",
            "gamma": 0.98,
            "use_clipped_value_loss": False,  # values reach a hundred: value steps of 0.2 take too long
            "entropy_coef": 0.01,
            "symmetry_cfg": {"mirror_spec": MIRROR, **symmetry_cfg},
        },
        "actor": {**MODEL, "distribution_cfg": {"class_name": "BetaDistribution"}},
        "critic": MODEL,
    }


SETTINGS = {
    "without": config(),
    "augmentation": config(use_data_augmentation=True),
    "augmentation and mirror loss": config(use_data_augmentation=True, use_mirror_loss=True, mirror_loss_coeff=1.0),
}
# An action is held for 0.04 seconds; an episode takes 10.
env = rsl_jax.make_env("playground/CartpoleSwingup", num_envs=256, config_overrides={"action_repeat": 4})
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * NUM_STEPS

# %% Verify the mirror; the mirrored states are searched for automatically
print(check_symmetry(env, MIRROR))


# %% Train: one compiled program per setting, which runs the seeds one after the other
def train(cfg, seeds):
    """Train; return returns and mirror errors (mean squares, in units of the action), ``[seeds, iterations]``."""
    run = jax.jit(make_train(env, cfg, NUM_ITERATIONS, init_at_random_ep_len=True))
    metrics = [jax.device_get(run(seed)[1]) for seed in seeds]
    return [np.stack([one[name] for one in metrics]) for name in ("Train/mean_reward", "Loss/symmetry")]


def first_above(level, curve):
    """Count the environment steps, in thousands, until a curve of returns is above a level."""
    return round(steps[curve > level][0] / 1000) if (curve > level).any() else "never"


def when_learned(level, curves, errors):
    """Average the mirror error over ten iterations after the return passes a level, for the seeds that reach it."""
    starts = [(np.argmax(curve > level), seed) for seed, curve in enumerate(curves) if (curve > level).any()]
    return np.mean([errors[seed, start : start + 10].mean() for start, seed in starts]) if starts else np.nan


warnings.filterwarnings("ignore", "symmetry_cfg switches on neither")  # intended here
keys = jax.random.split(jax.random.key(3), NUM_SEEDS)
returns, errors = {}, {}
for name, cfg in SETTINGS.items():
    start = time.perf_counter()
    returns[name], errors[name] = train(cfg, keys)
    last = errors[name][:, -20:].mean(1)
    print(f"{name} ({time.perf_counter() - start:.0f} s):")
    for level in LEARNED:
        print(f"  thousand steps to {level:.0f}: {[first_above(level, curve) for curve in returns[name]]}")
        print(f"    mirror error from then on: {when_learned(level, returns[name], errors[name]):.5f}")
    print(f"  final returns: {returns[name][:, -20:].mean(1).round()}")
    print(
        f"  mirror error: {last.mean():.5f} (its root {np.sqrt(last.mean()):.4f}), by seed {last.round(5)}", flush=True
    )

# %% Plot
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, color in zip(SETTINGS, ("tab:orange", "tab:blue", "tab:green"), strict=True):
    for axes, curves in ((left, returns[name]), (right, errors[name])):
        axes.fill_between(steps / 1e6, curves.min(0), curves.max(0), color=color, alpha=0.2, linewidth=0)
        axes.plot(steps / 1e6, curves.mean(0), color=color, label=name)
left.set(title="mean return", ylabel="of the last 100 episodes")
right.set(title="how far the policy is from its mirror image", ylabel="mean square of actions", yscale="log")
for axes in (left, right):
    axes.set(xlabel="environment steps of a run (millions)")
    axes.grid(alpha=0.3)
left.legend(frameon=False)
figure.suptitle(f"PPO on playground/CartpoleSwingup: mean and range of {NUM_SEEDS} seeds")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")
