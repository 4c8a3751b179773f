"""mjlab's Unitree Go1 learns to walk with rsl_jax, is exported, and walks.

mjlab is unmodified: it imports RSL-RL, and gets rsl_jax. ``pip install mjlab==1.6.0 rsl-jax``, then
``python mjlab_go1.py``. Or, without this program, run mjlab's own scripts::

    python -m rsl_jax.as_rsl_rl mjlab.scripts.train Mjlab-Velocity-Flat-Unitree-Go1 --env.scene.num-envs 4096
    python -m rsl_jax.as_rsl_rl mjlab.scripts.play Mjlab-Velocity-Flat-Unitree-Go1 --checkpoint-file model_500.pt
"""

import argparse
from dataclasses import asdict

import rsl_jax.as_rsl_rl

rsl_jax.as_rsl_rl.install()  # before anything imports rsl_rl

import mjlab.tasks  # noqa: E402, F401 (registers the tasks)
import torch  # noqa: E402
from mjlab.envs import ManagerBasedRlEnv  # noqa: E402
from mjlab.rl import RslRlVecEnvWrapper  # noqa: E402
from mjlab.tasks.registry import load_env_cfg, load_rl_cfg, load_runner_cls  # noqa: E402

TASK = "Mjlab-Velocity-Flat-Unitree-Go1"


def make_env(num_envs, device, play):
    """Wrap the simulation in RSL-RL's interface."""
    cfg = load_env_cfg(TASK, play=play)
    cfg.scene.num_envs = num_envs
    return RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg=cfg, device=device))


def train(num_envs, iterations, log_dir, device):
    """Train and export; return the path of the last checkpoint."""
    env = make_env(num_envs, device, play=False)
    cfg = {**asdict(load_rl_cfg(TASK)), "logger": "tensorboard"}
    runner = load_runner_cls(TASK)(env, cfg, log_dir, device)
    runner.learn(iterations, init_at_random_ep_len=True)
    runner.export_policy_to_jit(log_dir, "policy.pt")  # TorchScript, for C++
    runner.export_policy_to_onnx(log_dir, "policy.onnx")
    env.close()
    return f"{log_dir}/model_{runner.current_learning_iteration}.pt"


def replay(checkpoint, num_envs, steps, device):
    """Run the policy; return the mean reward per step."""
    env = make_env(num_envs, device, play=True)
    runner = load_runner_cls(TASK)(env, asdict(load_rl_cfg(TASK)), device=device)
    runner.load(checkpoint, load_cfg={"actor": True})
    policy = runner.get_inference_policy(device=device)
    obs, total = env.get_observations(), 0.0
    with torch.inference_mode():
        for _ in range(steps):
            obs, rewards, dones, _ = env.step(policy(obs))
            policy.reset(dones)
            total += rewards.mean().item()
    env.close()
    return total / steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--steps", type=int, default=500, help="of the replay")
    parser.add_argument("--log-dir", default="logs/mjlab_go1")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    last = train(options.num_envs, options.iterations, options.log_dir, options.device)
    print(f"{last}: reward of a step {replay(last, min(options.num_envs, 16), options.steps, options.device):.3f}")
