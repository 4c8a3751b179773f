"""A sweep in three lines: two keys of the config, eight seeds each, and the best run goes on.

The cells (``# %%``) run in VS Code, PyCharm or Jupyter (by jupytext), and the file as a script in the root of the
repository: ``python examples/sweep.py``.
"""

# %% What is trained: CartPole, with networks so small that many runs share a device well
from pathlib import Path

import rsl_jax

MODEL = {"class_name": "MLPModel", "hidden_dims": [32, 32], "activation": "tanh"}
CONFIG = {
    "num_steps_per_env": 32,
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    "algorithm": {"class_name": "PPO", "schedule": "fixed", "learning_rate": 1e-3, "entropy_coef": 0.0},
    "actor": {**MODEL, "distribution_cfg": {"class_name": "CategoricalDistribution"}},
    "critic": MODEL,
}
FOLDER = Path("logs/sweep")
env = rsl_jax.make_env("gymnax/CartPole-v1", num_envs=16)

# %% The sweep: the learning rate is an argument of one program, the number of epochs makes two of it
result = rsl_jax.sweep(
    env, CONFIG, iterations=60, seeds=8, learning_rate=[3e-4, 1e-3, 3e-3], num_learning_epochs=[2, 5]
)
result.plot(FOLDER / "curves.png", title="PPO on gymnax/CartPole-v1")
result.save(FOLDER / "result.npz")

# %% A row for each setting, the best first: interquartile mean of the seeds, 95 % interval, worst and best seed
for row in result.summary():
    print({key: round(value, 4) for key, value in row.items()})

# %% The best run goes on, as an OnPolicyRunner
best = result.best()
print(f"best: {best.member.label}, seed {best.member.seed}")
runner = best.runner(env, console=False)
runner.save(FOLDER / "best")
