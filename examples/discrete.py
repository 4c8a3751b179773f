"""Discrete actions: CartPole and a MinAtar game, three seeds each, with their presets.

Run it in the root of the repository: ``python examples/discrete.py``.
"""

# %% Tasks, with a return for comparison
import time
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import rsl_jax
from rsl_jax.cli.settings import preset_for
from rsl_jax.training import make_train

GAMES = {"CartPole-v1": ("solved", 475), "Breakout-MinAtar": ("random", 0.4)}
NUM_SEEDS = 3
PICTURE = Path("docs/images/discrete.png")

# %% All seeds of a game in one program
curves = {}
for game in GAMES:
    settings, start = preset_for(f"gymnax/{game}"), time.perf_counter()
    env = rsl_jax.make_env(settings.env, num_envs=settings.num_envs, **settings.env_kwargs)
    train = make_train(env, settings.runner, settings.iterations)
    _, metrics = jax.block_until_ready(jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), NUM_SEEDS)))
    rewards = np.asarray(metrics["Train/mean_reward"])
    curves[game] = np.arange(1, rewards.shape[1] + 1) * env.num_envs * settings.runner.num_steps_per_env, rewards
    print(f"{game}: mean returns {np.round(rewards[:, -1], 1)} in the end, {time.perf_counter() - start:.0f} s")

# %% Plot every seed
figure, panels = plt.subplots(1, len(GAMES), figsize=(9, 3.5), layout="constrained")
for axes, (game, (steps, rewards)) in zip(panels, curves.items(), strict=True):
    label, level = GAMES[game]
    axes.plot(steps / 1e6, rewards.T, label=[f"seed {seed}" for seed in range(NUM_SEEDS)])
    axes.axhline(level, color="0.5", linewidth=1, linestyle="--", label=label)
    axes.set(title=f"gymnax/{game}", xlabel="environment steps of a run (millions)")
    axes.grid(alpha=0.3)
panels[0].set_ylabel("mean return of the last 100 episodes")
for axes in panels:
    axes.legend(frameon=False, loc="best")
PICTURE.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(PICTURE, dpi=110)
print(f"picture: {PICTURE}")
