"""A teacher that sees everything, and students that see what a robot would: joint angles without speeds, or pixels.

``python examples/distill.py`` in the root of the repository trains teachers and students and draws a picture;
``python examples/distill.py pendulum`` or ``cheetah`` does one task alone.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rsl_jax
from rsl_jax.env import WithCamera, draw_segments, regroup, vectorize
from rsl_jax.logging import read_scalars
from rsl_jax.ops import reset_carry
from rsl_jax.runners import DistillationRunner, OnPolicyRunner

LOGS, PICTURE = Path("logs/distill"), Path("docs/images/distillation.png")


# --- what is seen of the robots ---------------------------------------------------------------------------------------


def pendulum(num_envs, *, filmed=False):
    """A pole that a weak motor swings up: its angle is measured, its speed is privileged."""
    env = rsl_jax.make_env("playground/PendulumSwingup", num_envs=num_envs, config_overrides={"action_repeat": 4})
    groups = {"privileged": "policy", "measured": ("policy", [0, 1])}
    if filmed:
        env, groups = vectorize(WithCamera(env.single_env, draw, frames=2), num_envs), {**groups, "camera": "camera"}
    return regroup(env, groups)


def draw(state):
    """What a camera sees of the pole, ``[1, 20, 20]``."""
    angle = state.data.qpos[0]
    tip = jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    return draw_segments(jnp.zeros((1, 2)), tip[None], size=(20, 20), radius=0.15)


def cheetah(num_envs):
    """A running robot: eight positions are measured, nine speeds are privileged."""
    env = rsl_jax.make_env("brax/halfcheetah", num_envs=num_envs)
    return regroup(env, {"privileged": "policy", "measured": ("policy", list(range(8)))})


# --- who learns -------------------------------------------------------------------------------------------------------

NOISE = {"class_name": "GaussianDistribution", "init_std": 0.1}
GRU = {
    "class_name": "RNNModel",
    "rnn_type": "gru",
    "rnn_hidden_dim": 64,
    "hidden_dims": [64],
    "obs_normalization": True,
    "distribution_cfg": NOISE,
}
CNN = {
    "class_name": "CNNModel",
    "hidden_dims": [64],
    "cnn_cfg": {"output_channels": [8, 16], "kernel_size": [5, 3], "stride": 2, "padding": "zeros"},
    "distribution_cfg": NOISE,
}


def mlp(*hidden_dims, **changes):
    """A feed-forward model."""
    return {"class_name": "MLPModel", "hidden_dims": list(hidden_dims), "obs_normalization": True, **changes}


TASKS = {
    "pendulum": {
        "title": "PendulumSwingup (MuJoCo Playground)",
        "env": pendulum,
        "network": mlp(64, 64),
        "ppo": {"gamma": 0.97, "entropy_coef": 0.005},
        "iterations": 500,
        "students": {
            "GRU, angle alone": (GRU, "measured", 250),
            "CNN, two frames of 20x20": (CNN, "camera", 200),
            "MLP, angle alone": (mlp(64, 64, distribution_cfg=NOISE), "measured", 250),
        },
    },
    "cheetah": {
        "title": "halfcheetah (Brax)",
        "env": cheetah,
        "network": mlp(128, 128),
        "ppo": {"gamma": 0.97, "entropy_coef": 0.0},
        "iterations": 150,
        "students": {
            "GRU, positions alone": ({**GRU, "rnn_hidden_dim": 128}, "measured", 150),
            "MLP, positions alone": (mlp(128, 128, distribution_cfg=NOISE), "measured", 150),
        },
    },
}


def train_teacher(name):
    """PPO on all there is to see; gives the last checkpoint."""
    task, log_dir = TASKS[name], LOGS / name / "teacher"
    config = {
        "num_steps_per_env": 32,
        "save_interval": 1000,
        "obs_groups": {"actor": ["privileged"], "critic": ["privileged"]},
        "algorithm": {"class_name": "PPO", **task["ppo"]},
        "actor": {**task["network"], "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.7}},
        "critic": task["network"],
    }
    runner = OnPolicyRunner(task["env"](256), config, log_dir)
    runner.learn(task["iterations"], init_at_random_ep_len=True)
    return log_dir / f"model_{task['iterations'] - 1}", mean_return(runner)


def distill(name, student, teacher):
    """Let a student learn from a checkpoint of PPO; gives its mean return over the iterations, and in the end."""
    task = TASKS[name]
    model, group, iterations = task["students"][student]
    config = {
        "num_steps_per_env": 24,
        "save_interval": 1000,
        "obs_groups": {"student": [group], "teacher": ["privileged"]},
        "algorithm": {  # 24 steps of the optimiser an iteration
            "class_name": "Distillation",
            "gradient_length": 4,
            "num_learning_epochs": 4,
            "loss_type": "huber",
            "max_grad_norm": 1.0,
        },
        "student": model,
        "teacher": task["network"],
    }
    env = task["env"](128, filmed=True) if group == "camera" else task["env"](256)
    log_dir = LOGS / name / student.replace(" ", "_")
    runner = DistillationRunner(env, config, log_dir)
    runner.load(teacher)
    runner.learn(iterations, init_at_random_ep_len=True)
    return read_scalars(log_dir)["Train/mean_reward"].values, mean_return(runner)


def mean_return(runner, seed=1):
    """What a policy earns without noise, in one whole episode of each environment."""
    env, algorithm, state = runner.env, runner.algorithm, runner.state

    def step(current, _):
        env_state, observations, carry, alive, earned = current
        actions, carry = algorithm.policy(state, carry, observations)
        env_state, timestep = env.step(env_state, actions)
        earned = earned + alive * timestep.rewards
        carry = reset_carry(carry, timestep.dones)
        return (env_state, timestep.observations, carry, alive & ~timestep.dones, earned), None

    @jax.jit
    def play(key):
        env_state, observations = env.reset(key)
        alive, earned = jnp.ones(env.num_envs, bool), jnp.zeros(env.num_envs)
        start = (env_state, observations, algorithm.initial_carry(env.num_envs), alive, earned)
        return jax.lax.scan(step, start, None, env.max_episode_length)[0][-1]

    return float(np.mean(play(jax.random.key(seed))))


def run(name):
    """Train the teacher of a task and its students."""
    checkpoint, teacher = train_teacher(name)
    results = {student: distill(name, student, checkpoint) for student in TASKS[name]["students"]}
    print(f"{name}: the teacher earns {teacher:.0f}")
    for student, (_, earned) in results.items():
        print(f"  {student:30s} {earned:6.0f}, {100 * earned / teacher:.0f} %")
    return teacher, results


def plot(axes, name, teacher, results):
    """Returns of the students while they learn, and what the teacher earns."""
    for student, (curve, earned) in results.items():
        axes.plot(np.arange(1, len(curve) + 1), curve, label=f"{student}: {100 * earned / teacher:.0f} %")
    axes.axhline(teacher, color="black", linewidth=1, label="teacher")
    axes.axhline(0.9 * teacher, color="0.5", linewidth=1, linestyle=":", label="90 % of it")
    axes.set(title=TASKS[name]["title"], xlabel="iterations of 24 steps in 256 environments (128 if filmed)")
    axes.set_ylim(min(0, axes.get_ylim()[0]))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="lower right")


if __name__ == "__main__":
    names = sys.argv[1:] or list(TASKS)
    figure, panels = plt.subplots(1, len(names), figsize=(5.5 * len(names), 4), squeeze=False, layout="constrained")
    for axes, name in zip(panels[0], names, strict=True):
        plot(axes, name, *run(name))
    panels[0, 0].set_ylabel("mean return of the last 100 episodes")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    print(f"picture: {PICTURE}")
