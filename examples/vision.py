"""A pendulum swing-up from pixels: the actor observes two frames, the critic the state. Trains on a CPU.

``python examples/vision.py`` in the root of the repository draws the figure and the film (ten minutes on two cores).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from rsl_jax import RunnerConfig
from rsl_jax.env import Transition, WithCamera, draw_segments, vectorize
from rsl_jax.env.camera import Filmed
from rsl_jax.training import build_algorithm, make_train, spec_of

PICTURE = Path("docs/images/vision.png")


class Pendulum:
    """Swing a pole up and keep it there; the state is (angle from upright, speed). The motor is too weak to lift it."""

    num_actions = 1
    max_episode_length = 150
    step_dt = 0.05

    def reset(self, key):
        """Place the pole at a random angle, at rest."""
        state = jnp.stack([jax.random.uniform(key, (), minval=-jnp.pi, maxval=jnp.pi), 0.0])
        return state, self.observe(state)

    def step(self, state, action):
        """Apply a torque of -1 to 1."""
        torque = jnp.clip(action[0], -1.0, 1.0)
        speed = jnp.clip(state[1] + self.step_dt * (15.0 * jnp.sin(state[0]) + 7.0 * torque), -8.0, 8.0)
        state = jnp.stack([state[0] + self.step_dt * speed, speed])
        reward = (1 + jnp.cos(state[0])) / 2 - 0.005 * speed**2
        return state, Transition(self.observe(state), reward, terminated=jnp.zeros((), bool))

    def observe(self, state):
        """Return the position of the tip, and the angular velocity."""
        return {"state": jnp.stack([jnp.sin(state[0]), jnp.cos(state[0]), state[1] / 8.0])}


def draw(state, size=20):
    """Render the camera image of the pendulum, ``[1, size, size]``."""
    tip = jnp.stack([jnp.sin(state[0]), jnp.cos(state[0])])
    return draw_segments(jnp.zeros((1, 2)), tip[None], size=(size, size), radius=0.15)


CONFIG = {
    "num_steps_per_env": 24,
    "algorithm": {
        "class_name": "PPO",
        "learning_rate": 1e-3,
        "num_learning_epochs": 4,
        "num_mini_batches": 4,
        "entropy_coef": 0.0,
        "gamma": 0.97,
    },
    "obs_groups": {"actor": ["camera"], "critic": ["state"]},
    "actor": {
        "class_name": "CNNModel",
        "hidden_dims": [64],
        "cnn_cfg": {"output_channels": [8, 16], "kernel_size": [5, 3], "stride": 2, "padding": "zeros"},
        "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.7},
    },
    "critic": {"class_name": "MLPModel", "hidden_dims": [64, 64]},
}
FROM_STATE = {**CONFIG, "obs_groups": {"actor": ["state"], "critic": ["state"]}}
FROM_STATE["actor"] = {
    "class_name": "MLPModel",
    "hidden_dims": [64, 64],
    "distribution_cfg": CONFIG["actor"]["distribution_cfg"],
}


def make_env(num_envs):
    """Create pendulums with a camera."""
    return vectorize(WithCamera(Pendulum(), draw, frames=2), num_envs)


def train(config, num_iterations, num_seeds, num_envs=128):
    """Train one seed after the other; return the last one's state and all mean returns ``[seeds, iterations]``."""
    run = jax.jit(make_train(make_env(num_envs), config, num_iterations))
    returns = []
    for seed in range(num_seeds):
        state, metrics = run(jax.random.key(seed))
        returns.append(np.asarray(metrics["Train/mean_reward"]))
        print(f"seed {seed}: mean return {returns[-1][-1]:.1f} of at most {Pendulum.max_episode_length}")
    return state, np.stack(returns)


def watch(state, num_steps=100):
    """Let the trained policy swing the pendulum up from hanging down; return all states ``[T, 2]``."""
    env = make_env(4)
    algorithm, pendulum = build_algorithm(RunnerConfig.from_dict(CONFIG), spec_of(env)), env.single_env
    hanging = jnp.array([jnp.pi - 0.05, 0.0])
    robot = Filmed(hanging, jnp.concatenate([draw(hanging)] * 2))
    states = []
    act, step = jax.jit(algorithm.policy), jax.jit(pendulum.step)
    for _ in range(num_steps):
        actions, _ = act(state, (), {"camera": robot.frames[None]})
        robot, _ = step(robot, actions[0])
        states.append(robot.env)
    return jnp.stack(states)


def write_film(states, path, size=200):
    """Write a film of the pendulum, with what its camera sees on the right."""
    sharp, seen = (np.asarray(jax.vmap(lambda s, n=n: draw(s, n)[0])(states)) for n in (size, 20))
    both = np.concatenate([sharp, np.ones((len(states), size, 8)), seen.repeat(size // 20, 1).repeat(size // 20, 2)], 2)
    frames = [Image.fromarray(image) for image in np.uint8(255 * both)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 * Pendulum.step_dt, loop=0)


def main(num_iterations=150, num_seeds=3, picture=PICTURE):
    """Train from pixels and, for comparison, from the state; plot both and the camera images."""
    print("from pixels")
    state, from_pixels = train(CONFIG, num_iterations, num_seeds)
    print("from the state")
    _, from_state = train(FROM_STATE, num_iterations, num_seeds)
    states = watch(state)
    frames = np.asarray(jax.vmap(draw)(states[:48:4, :])[:, 0])

    figure, (curves, strip) = plt.subplots(2, 1, figsize=(8, 5.4), height_ratios=[5, 1], layout="constrained")
    for returns, color, label in ((from_state, "tab:gray", "state"), (from_pixels, "tab:blue", "two frames of pixels")):
        curves.plot(returns.T, color=color, linewidth=0.8, alpha=0.5)
        curves.plot(returns.mean(0), color=color, linewidth=2, label=f"the actor sees: {label}")
    curves.set(xlabel="iterations", ylabel="mean return of the last 100 episodes")
    curves.set_title(f"Pendulum swing-up, {num_seeds} seeds each; the critic sees the state")
    curves.grid(alpha=0.3)
    curves.legend(frameon=False, loc="lower right")
    strip.imshow(np.hstack([np.pad(frame, 1, constant_values=0.5) for frame in frames]), cmap="gray")
    strip.set_title("what the trained robot sees, every 0.2 s", fontsize="medium")
    strip.axis("off")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    write_film(states, picture.with_suffix(".gif"))
    return from_pixels, from_state


if __name__ == "__main__":
    main()
