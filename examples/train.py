"""RSL-RL's training script, with only the imports and the environment changed.

Run it in this folder: ``cd examples && python train.py``. ``policy.pt`` needs PyTorch; a name that ends in
``.jax`` does not.
"""
# ruff: noqa: UP015 (kept as RSL-RL has it)

import yaml

import rsl_jax
from rsl_jax.runners import OnPolicyRunner

# 1) Create your environment (here one of MuJoCo Playground, compiled together with the training)
env = rsl_jax.make_env("playground/CartpoleBalance", num_envs=64)

# 2) Load a YAML configuration and extract the configuration dictionary expected by RSL-RL
with open("config/my_training.yaml", "r", encoding="utf-8") as f:
    full_cfg = yaml.safe_load(f)
train_cfg = full_cfg["runner"]

# 3) Build the runner
runner = OnPolicyRunner(
    env=env,
    train_cfg=train_cfg,
    log_dir="logs/my_experiment",  # Directory for saving checkpoints and logs
    device="cuda:0",  # Device to run the training on; without a GPU the CPU is used, with a warning
)

# 4) Start training
runner.learn(num_learning_iterations=1500)  # Specify the number of desired iterations

# 5) Export the trained policy for deployment
runner.export_policy_to_jit("logs/my_experiment/exported", filename="policy.pt")
runner.export_policy_to_onnx("logs/my_experiment/exported", filename="policy.onnx")
