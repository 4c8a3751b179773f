"""RSL-RL's play script, with the imports, the environment and the checkpoint's name changed.

Run it in this folder, after ``train.py``: ``cd examples && python play.py``.
"""
# ruff: noqa: UP015 (kept as RSL-RL has it)

import yaml

import rsl_jax
from rsl_jax.runners import OnPolicyRunner

# 1) Create your environment (here a compiled one behind RSL-RL's VecEnv interface)
env = rsl_jax.make_vec_env("playground/CartpoleBalance", num_envs=64)

# 2) Load the YAML configuration used during training
with open("config/my_training.yaml", "r", encoding="utf-8") as f:
    full_cfg = yaml.safe_load(f)
train_cfg = full_cfg["runner"]

# 3) Build the runner
runner = OnPolicyRunner(
    env=env,
    train_cfg=train_cfg,
    device="cuda:0",
)

# 4) Load the trained policy
runner.load("logs/my_experiment/model_1499")

# 5) Get the inference policy
policy = runner.get_inference_policy()

# 6) Run the policy in the environment for 1000 steps
obs = env.get_observations()
for _ in range(1000):
    actions = policy(obs)
    obs, rewards, dones, extras = env.step(actions)
