"""Privileged teachers, and students with a robot's observations: positions without velocities, or pixels.

``python examples/distill.py`` in the root of the repository trains teachers and students and draws the figure (20
minutes of one core); ``python examples/distill.py pendulum`` or ``cheetah`` runs one task only.
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


# --- observations of the robots ---------------------------------------------------------------------------------------


def pendulum(num_envs, *, filmed=False):
    """A pole that a weak motor swings up: its direction is measured, its velocity is privileged."""
    env = rsl_jax.make_env("playground/PendulumSwingup", num_envs=num_envs, config_overrides={"action_repeat": 4})
    return shown(env, draw_pendulum if filmed else None, num_positions=2)


def cheetah(num_envs, *, filmed=False):
    """A running robot: height, pitch and six joints are measured, nine velocities are privileged."""
    env = rsl_jax.make_env("brax/halfcheetah", num_envs=num_envs)
    return shown(env, draw_cheetah if filmed else None, num_positions=8)


def shown(env, draw, *, num_positions):
    """Return the groups of the teacher, of position sensors and, if the task can be drawn, of three camera frames."""
    groups = {"privileged": "policy", "measured": ("policy", list(range(num_positions)))}
    if draw is not None:
        env, groups["camera"] = vectorize(WithCamera(env.single_env, draw, frames=3), env.num_envs), "camera"
    return regroup(env, groups)


def draw_pendulum(state):
    """Render the camera image of the pole, ``[1, 32, 32]``."""
    angle = state.data.qpos[0]
    tip = jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    return draw_segments(jnp.zeros((1, 2)), tip[None], size=(32, 32), radius=0.15)


LIMBS = (  # of the cheetah: the link, and from where to where (x, z) it reaches in its own frame
    (0, (-0.5, 0.0), (0.5, 0.0)),
    (0, (0.5, 0.0), (0.7, 0.2)),
    (1, (0.0, 0.0), (0.16, -0.25)),
    (2, (0.0, 0.0), (-0.28, -0.14)),
    (3, (0.0, 0.0), (0.06, -0.19)),
    (4, (0.0, 0.0), (-0.14, -0.24)),
    (5, (0.0, 0.0), (0.13, -0.18)),
    (6, (0.0, 0.0), (0.09, -0.14)),
)


def draw_cheetah(state):
    """Render the image of a camera that follows from the side, ``[1, 32, 40]``."""
    links, (link, *ends) = state.pipeline_state.x, (np.array(column) for column in zip(*LIMBS, strict=True))
    w, y = links.rot[link, 0], links.rot[link, 2]  # everything turns about the y axis
    cos, sin = w**2 - y**2, 2 * w * y
    camera = jnp.stack([links.pos[0, 0], 0.6])

    def place(points):
        x, z = points.T
        return links.pos[link, ::2] + jnp.stack([cos * x + sin * z, cos * z - sin * x], -1) - camera

    return draw_segments(*map(place, ends), size=(32, 40), radius=0.06, extent=0.8)


# --- training ---------------------------------------------------------------------------------------------------------

NOISE = {"class_name": "GaussianDistribution", "init_std": 0.1}


def mlp(*hidden_dims, **changes):
    """Return the section of a feed-forward model."""
    return {"class_name": "MLPModel", "hidden_dims": list(hidden_dims), "obs_normalization": True, **changes}


def gru(size):
    """Return the section of a recurrent model."""
    recurrent = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": size}
    return mlp(64, distribution_cfg=NOISE, **recurrent)


def cnn(size):
    """Return the section of a model with image encoders."""
    encoder = {"output_channels": [16, 32, 32], "kernel_size": [5, 3, 3], "stride": 2, "padding": "zeros"}
    return {"class_name": "CNNModel", "hidden_dims": [size], "distribution_cfg": NOISE, "cnn_cfg": encoder}


TASKS = {
    "pendulum": {
        "title": "PendulumSwingup (MuJoCo Playground)",
        "env": pendulum,
        "network": mlp(64, 64),
        "ppo": {"gamma": 0.97, "entropy_coef": 0.005},
        "iterations": 500,
        "students": {  # model, observation group, iterations
            "GRU, direction": (gru(64), "measured", 400),
            "CNN, pixels": (cnn(64), "camera", 80),
            "MLP, direction": (mlp(64, 64, distribution_cfg=NOISE), "measured", 400),
        },
        "scenes": slice(0, 60, 5),
    },
    "cheetah": {
        "title": "halfcheetah (Brax)",
        "env": cheetah,
        "network": mlp(128, 128),
        "ppo": {"gamma": 0.97, "entropy_coef": 0.0},
        "iterations": 200,
        "students": {
            "GRU, positions": (gru(128), "measured", 120),
            "CNN, pixels": (cnn(128), "camera", 120),
            "MLP, positions": (mlp(128, 128, distribution_cfg=NOISE), "measured", 120),
        },
        "scenes": slice(100, 124, 2),
    },
}


def train_teacher(name):
    """Train a teacher by PPO on all observations; return the last checkpoint."""
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
    return log_dir / f"model_{task['iterations'] - 1}", play(runner)[0]


def distill(name, student, teacher):
    """Train a student from a PPO checkpoint; return its mean returns during and after training, and a video."""
    task = TASKS[name]
    model, group, iterations = task["students"][student]
    config = {
        "num_steps_per_env": 24,
        "save_interval": 1000,
        "obs_groups": {"student": [group], "teacher": ["privileged"]},
        "algorithm": {  # 24 optimiser steps per iteration
            "class_name": "Distillation",
            "gradient_length": 4,
            "num_learning_epochs": 4,
            "loss_type": "huber",
            "max_grad_norm": 1.0,
        },
        "student": model,
        "teacher": task["network"],
    }
    env = task["env"](128, filmed=True) if group == "camera" else task["env"](128)
    log_dir = LOGS / name / student.replace(", ", "_")
    runner = DistillationRunner(env, config, log_dir)
    runner.load(teacher)
    runner.learn(iterations, init_at_random_ep_len=True)
    earned, seen = play(runner)
    return read_scalars(log_dir)["Train/mean_reward"].values, earned, seen.get("camera")


def play(runner, seed=1):
    """Play an episode per environment without noise: mean return, first environment's observations ``[T, ...]``."""
    env, algorithm, state = runner.env, runner.algorithm, runner.state

    def step(current, _):
        env_state, observations, carry, alive, earned = current
        actions, carry = algorithm.policy(state, carry, observations)
        env_state, timestep = env.step(env_state, actions)
        earned = earned + jnp.where(alive, timestep.rewards, 0)
        carry = reset_carry(carry, timestep.dones)
        seen = jax.tree.map(lambda x: x[0], observations)
        return (env_state, timestep.observations, carry, alive & ~timestep.dones, earned), seen

    @jax.jit
    def episodes(key):
        env_state, observations = env.reset(key)
        alive, earned = jnp.ones(env.num_envs, bool), jnp.zeros(env.num_envs)
        start = (env_state, observations, algorithm.initial_carry(env.num_envs), alive, earned)
        (*_, earned), seen = jax.lax.scan(step, start, None, env.max_episode_length)
        return jnp.mean(earned), seen

    earned, seen = episodes(jax.random.key(seed))
    return float(earned), seen


# --- the figure -------------------------------------------------------------------------------------------------------


def run(name):
    """Train the teacher of a task and its students."""
    checkpoint, teacher = train_teacher(name)
    results = {student: distill(name, student, checkpoint) for student in TASKS[name]["students"]}
    print(f"{name}: the teacher earns {teacher:.0f}")
    for student, (_, earned, _) in results.items():
        print(f"  {student:30s} {earned:6.0f}, {100 * earned / teacher:.0f} %")
    return teacher, results


def plot(curves, strip, name, teacher, results):
    """Plot the returns of students and teacher and, below, the camera images."""
    strip.axis("off")
    for student, (returns, earned, film) in results.items():
        curves.plot(np.arange(1, len(returns) + 1), returns, label=f"{student}: {100 * earned / teacher:.0f} %")
        if film is not None:
            scenes = np.asarray(film)[TASKS[name]["scenes"], -1]
            strip.imshow(np.hstack([np.pad(scene, 1, constant_values=0.5) for scene in scenes]), cmap="gray")
            strip.set_title(f"what the student sees: {student}", fontsize="medium")
    curves.axhline(teacher, color="black", linewidth=1, label="teacher")
    curves.axhline(0.9 * teacher, color="0.5", linewidth=1, linestyle=":", label="90 % of it")
    curves.set(title=TASKS[name]["title"], xlabel="iterations of 24 steps in 128 environments")
    curves.set_ylim(min(0, curves.get_ylim()[0]))
    curves.grid(alpha=0.3)
    curves.legend(frameon=False, fontsize=9, loc="best")


def main(names):
    """Run the given tasks and draw the figure."""
    outcomes = {name: run(name) for name in names}
    size = {"figsize": (5.5 * len(names), 4.6), "height_ratios": [7, 1]}
    figure, axes = plt.subplots(2, len(names), squeeze=False, layout="constrained", **size)
    for (curves, strip), (name, outcome) in zip(axes.T, outcomes.items(), strict=True):
        plot(curves, strip, name, *outcome)
    axes[0, 0].set_ylabel("mean return of the last 100 episodes")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    print(f"picture: {PICTURE}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(TASKS))
