"""Curiosity with sparse rewards: a car must leave a valley, and is rewarded only at the top.

Every push costs, so a policy that has never reached the top learns to stay still. Random network distillation
rewards novel states until the policy has found the top. Five seeds with it and five without, each as one compiled
program; run it in the root of the repository: ``python examples/curiosity.py``.
"""

# %% The same configuration twice, once with a section rnd_cfg
import time
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import rsl_jax
from rsl_jax.training import make_train

NUM_ITERATIONS = 150
NUM_SEEDS = 5
SOLVED = 90.0
PICTURE = Path("docs/images/curiosity.png")

MODEL = {"class_name": "MLPModel", "hidden_dims": [32, 32, 32, 32], "activation": "elu", "obs_normalization": True}
RND = {
    "weight": 50.0,
    "state_normalization": True,
    "reward_normalization": True,
    "num_outputs": 8,
    "predictor_hidden_dims": [32, 32],
    "target_hidden_dims": [32, 32],
    "learning_rate": 1e-4,
}


def config(rnd_cfg):
    """Return RSL-RL's config dict, with or without curiosity."""
    return {
        "num_steps_per_env": 128,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"], "rnd_state": ["policy"]},
        "algorithm": {
            "class_name": "PPO",
            "learning_rate": 1e-3,
            "entropy_coef": 0.0,
            "use_clipped_value_loss": False,  # returns are near a hundred: value steps of 0.2 would never get there
            "rnd_cfg": rnd_cfg,
        },
        "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.3}},
        "critic": MODEL,
    }


# gymnax does not say how long a step takes; with step_dt=1 the weight is per step.
env = rsl_jax.make_env("gymnax/MountainCarContinuous-v0", num_envs=16, step_dt=1.0)
steps = np.arange(1, NUM_ITERATIONS + 1) * env.num_envs * 128

# %% Train; results are judged by the environment's own reward
keys = jax.random.split(jax.random.key(2), NUM_SEEDS)
metrics = {}
for name, rnd_cfg in {"with curiosity": RND, "without": None}.items():
    start = time.perf_counter()
    _, metrics[name] = jax.block_until_ready(jax.jit(jax.vmap(make_train(env, config(rnd_cfg), NUM_ITERATIONS)))(keys))
    tag = "Rnd/mean_extrinsic_reward" if rnd_cfg else "Train/mean_reward"
    metrics[name]["own"] = np.asarray(metrics[name][tag])
    final = metrics[name]["own"][:, -1]
    print(
        f"{name}: {(final > SOLVED).sum()} of {NUM_SEEDS} seeds above {SOLVED:.0f}, final returns "
        f"{np.round(final, 1)}, {time.perf_counter() - start:.0f} s"
    )

# %% Plot
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, color in {"with curiosity": "tab:blue", "without": "tab:orange"}.items():
    curves = metrics[name]["own"]
    left.plot(steps, curves.T, color=color, label=[f"{name} ({NUM_SEEDS} seeds)", *["_"] * (NUM_SEEDS - 1)])
left.axhline(SOLVED, color="0.5", linewidth=0.8, linestyle="--")
left.set(title="the environment's own reward", ylabel="mean return of the last 100 episodes")
right.plot(steps, np.asarray(metrics["with curiosity"]["Rnd/mean_intrinsic_reward"]).T, color="tab:blue")
right.set(title="what curiosity adds", ylabel="mean sum of intrinsic rewards of an episode", yscale="log")
for axes in (left, right):
    axes.set(xlabel="environment steps of a run")
    axes.grid(alpha=0.3)
left.legend(loc="center right", frameon=False)
figure.suptitle("PPO on gymnax/MountainCarContinuous-v0")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")
