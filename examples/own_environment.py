"""A custom environment in 20 lines: two pure functions. Trains in seconds on a CPU.

``python examples/own_environment.py``, or from the command line: ``rsl-jax train own_environment:Cart`` in this folder.
"""

import jax
import jax.numpy as jnp

from rsl_jax.env import Transition, vectorize
from rsl_jax.training import make_train


class Cart:
    """A cart on a rail; it should come to rest at the origin. The whole environment is this class."""

    num_actions = 1
    max_episode_length = 100
    step_dt = 0.05

    def reset(self, key):
        """Place the cart anywhere on the rail, at rest; return its state and observations."""
        state = jnp.stack([jax.random.uniform(key, minval=-1.0, maxval=1.0), 0.0])
        return state, state

    def step(self, state, action):
        """Push the cart for one step of ``step_dt`` seconds; leaving the rail terminates the episode."""
        position, velocity = state
        velocity += self.step_dt * (3.0 * jnp.clip(action[0], -1.0, 1.0) - 0.2 * velocity)
        position += self.step_dt * velocity
        state = jnp.stack([position, velocity])
        reward = jnp.exp(-8.0 * position**2) - 0.1 * velocity**2
        return state, Transition(state, reward, terminated=jnp.abs(position) > 1.5, log={"distance": jnp.abs(position)})


CONFIG = {
    "num_steps_per_env": 24,
    "algorithm": {"class_name": "PPO", "learning_rate": 1e-3, "entropy_coef": 0.0},
    "actor": {
        "class_name": "MLPModel",
        "hidden_dims": [32, 32],
        "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
    },
    "critic": {"class_name": "MLPModel", "hidden_dims": [32, 32]},
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
}


def main(num_envs=256, num_iterations=100):
    """Train, and print how the mean return of an episode has grown."""
    env = vectorize(Cart(), num_envs)
    train = jax.jit(make_train(env, CONFIG, num_iterations))
    _, metrics = train(jax.random.key(0))
    rewards = metrics["Train/mean_reward"]
    for iteration in range(9, num_iterations, 10):
        print(f"iteration {iteration + 1:3d}  mean return {rewards[iteration]:6.1f} of at most 100")
    return metrics


if __name__ == "__main__":
    main()
