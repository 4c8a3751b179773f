"""What Isaac Lab's scripts do with RSL-RL, step by step, with a simulator that needs no GPU.

Run by test_isaac_lab.py as ``python -m rsl_jax.as_rsl_rl tests/clients/isaac_lab.py FOLDER``; prints what it saw.
The facts are those of the public scripts ``scripts/reinforcement_learning/rsl_rl/{train,play}.py``,
``isaaclab_rl/rsl_rl/{vecenv_wrapper,exporter,rl_cfg}.py`` and ``isaaclab_tasks/utils/parse_cfg.py``.
"""

import copy
import dataclasses
import importlib.metadata
import inspect
import json
import os
import re
import sys
from dataclasses import MISSING

seen = {"version": importlib.metadata.version("rsl-rl-lib")}  # refused below 5.0.1, before anything else

import torch  # noqa: E402
from rsl_rl.algorithms import PPO  # noqa: E402
from rsl_rl.runners import DistillationRunner, OnPolicyRunner  # noqa: E402
from torch_env import Simulation, Wrapper  # noqa: E402

FOLDER = sys.argv[1]
LOG_ROOT = os.path.join(FOLDER, "logs", "rsl_rl", "point_mass")


@dataclasses.dataclass
class ModelCfg:
    """A model's section."""

    class_name: str = "MLPModel"
    hidden_dims: list = dataclasses.field(default_factory=lambda: [8])
    activation: str = "elu"
    obs_normalization: bool = True
    distribution_cfg: dict | None = None


@dataclasses.dataclass
class AlgorithmCfg:
    """The algorithm's section."""

    class_name: str = "PPO"
    num_learning_epochs: int = 2
    num_mini_batches: int = 2
    learning_rate: float = 1.0e-3
    schedule: str = "adaptive"
    gamma: float = 0.99
    lam: float = 0.95
    entropy_coef: float = 0.005
    desired_kl: float = 0.01
    max_grad_norm: float = 1.0
    value_loss_coef: float = 1.0
    use_clipped_value_loss: bool = True
    clip_param: float = 0.2
    normalize_advantage_per_mini_batch: bool = False
    rnd_cfg: dict | None = None
    symmetry_cfg: dict | None = None


@dataclasses.dataclass
class RunnerCfg:
    """The whole config, with Isaac Lab's own keys and its sentinels."""

    seed: int = 42
    device: str = "cpu"
    class_name: str = "OnPolicyRunner"
    num_steps_per_env: int = 8
    max_iterations: int = 2
    empirical_normalization: object = dataclasses.field(default_factory=lambda: MISSING)
    policy: object = dataclasses.field(default_factory=lambda: MISSING)
    obs_groups: dict = dataclasses.field(default_factory=lambda: {"actor": ["policy"], "critic": ["critic"]})
    clip_actions: float | None = None
    save_interval: int = 50
    experiment_name: str = "point_mass"
    run_name: str = ""
    logger: str = "tensorboard"
    neptune_project: str = "isaaclab"
    wandb_project: str = "isaaclab"
    resume: bool = False
    load_run: str = ".*"
    load_checkpoint: str = "model_.*.pt"
    actor: ModelCfg = dataclasses.field(
        default_factory=lambda: ModelCfg(
            distribution_cfg={"class_name": "GaussianDistribution", "init_std": 1.0, "std_type": "scalar"}
        )
    )
    critic: ModelCfg = dataclasses.field(default_factory=ModelCfg)
    algorithm: AlgorithmCfg = dataclasses.field(default_factory=AlgorithmCfg)


def as_dict(cfg):
    """As Isaac Lab's ``to_dict`` does: sentinels stay what they are."""
    return {
        f.name: as_dict(value) if dataclasses.is_dataclass(value := getattr(cfg, f.name)) else value
        for f in dataclasses.fields(cfg)
    }


def get_checkpoint_path(log_path, run_dir=".*", checkpoint=".*"):
    """The last checkpoint of the last run, by regular expressions over names of folders and files."""
    runs = sorted(os.path.join(log_path, run.name) for run in os.scandir(log_path) if re.match(run_dir, run.name))
    files = [file for file in os.listdir(runs[-1]) if re.match(checkpoint, file)]
    files.sort(key=lambda name: f"{name:0>15}")
    return os.path.join(runs[-1], files[-1])


def train(name, resume_path=None):
    """train.py."""
    cfg = RunnerCfg()
    cfg.resume = resume_path is not None
    log_dir = os.path.join(LOG_ROOT, name)
    env = Wrapper(Simulation(), clip_actions=cfg.clip_actions)
    runner = OnPolicyRunner(env, as_dict(cfg), log_dir=log_dir, device=cfg.device)
    runner.add_git_repo_to_log(__file__)
    if cfg.resume:
        runner.load(resume_path)
    first = runner.current_learning_iteration
    runner.learn(num_learning_iterations=cfg.max_iterations, init_at_random_ep_len=True)
    assert runner.device == cfg.device
    assert torch.zeros(1, device=runner.device).device == env.device
    return {"first": first, "last": runner.current_learning_iteration, "files": sorted(os.listdir(log_dir))}


def play(resume_path):
    """play.py, with what its older branches do for an export."""
    cfg = RunnerCfg()
    env = Wrapper(Simulation(), clip_actions=cfg.clip_actions)
    runner = OnPolicyRunner(env, as_dict(cfg), log_dir=None, device=cfg.device)
    runner.load(resume_path)
    policy = runner.get_inference_policy(device=env.unwrapped.device)
    export_dir = os.path.join(os.path.dirname(resume_path), "exported")
    runner.export_policy_to_jit(path=export_dir, filename="policy.pt")
    runner.export_policy_to_onnx(path=export_dir, filename="policy.onnx")
    loaded = torch.jit.load(os.path.join(export_dir, "policy.pt"))

    # Older branches take the policy apart.
    try:
        policy_nn = runner.alg.policy
    except AttributeError:
        policy_nn = runner.alg.actor_critic
    normalizer = policy_nn.actor_obs_normalizer if hasattr(policy_nn, "actor_obs_normalizer") else None
    assert not policy_nn.is_recurrent
    exporter = torch.nn.Sequential(copy.deepcopy(normalizer), copy.deepcopy(policy_nn.actor))

    obs = env.get_observations()
    difference, inputs = 0.0, policy_nn.actor[0].in_features
    for _ in range(10):
        with torch.inference_mode():
            actions = policy(obs)
            for other in (loaded(obs["policy"]), exporter(obs["policy"])):
                difference = max(difference, (actions - other).abs().max().item())
            obs, _, dones, _ = env.step(actions)
            policy.reset(dones)
    return {"exported": sorted(os.listdir(export_dir)), "difference": difference, "in_features": inputs}


def distill(teacher_path):
    """train.py with the agent of a distillation."""
    cfg = as_dict(RunnerCfg())
    student = cfg.pop("actor")
    teacher = {**copy.deepcopy(student), "distribution_cfg": {**student["distribution_cfg"], "init_std": 0.0}}
    cfg.pop("critic")
    cfg |= {
        "class_name": "DistillationRunner",
        "student": student,
        "teacher": teacher,
        "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
        "algorithm": {
            "class_name": "Distillation",
            "num_learning_epochs": 1,
            "gradient_length": 4,
            "learning_rate": 1e-3,
        },
    }
    log_dir = os.path.join(FOLDER, "distilled")
    runner = DistillationRunner(Wrapper(Simulation()), cfg, log_dir=log_dir, device="cpu")
    assert not runner.alg.teacher_loaded
    runner.load(teacher_path)
    assert runner.alg.teacher_loaded
    runner.learn(num_learning_iterations=1, init_at_random_ep_len=True)
    return {"files": sorted(os.listdir(log_dir)), "models": sorted(runner.alg.save())}


seen["mixed_precision"] = "use_mixed_precision" in inspect.signature(PPO.__init__).parameters
seen["train"] = train("2026-01-01_00-00-00")
found = get_checkpoint_path(LOG_ROOT, RunnerCfg.load_run, RunnerCfg.load_checkpoint)
seen["found"] = os.path.basename(found)
seen["any"] = os.path.basename(get_checkpoint_path(LOG_ROOT, ".*", "model_.*"))
seen["play"] = play(found)
seen["resume"] = train("2026-01-01_00-00-01", found)
seen["distill"] = distill(found)
print("SEEN", json.dumps(seen))
