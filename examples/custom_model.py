"""A custom model and a custom distribution, given in the config by their import paths; trained and exported to ONNX.

The robot does not measure its velocity. It observes its last eight positions, and a small attention encoder extracts
what matters. ``python examples/custom_model.py``, or in this folder: ``rsl-jax train custom_model:BlindCart
--config my_config.yaml`` with the sections of ``CONFIG``. docs/custom_parts.md explains the interfaces.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

from rsl_jax.distributions import gaussian
from rsl_jax.env import Transition, make_vec_env, vectorize
from rsl_jax.models import MLPModel
from rsl_jax.runners import OnPolicyRunner

LENGTH = 8
"""Length of the history of positions."""


class AttentionModel(MLPModel):
    """Attention over the observations as a sequence of tokens, with the last one as the query; then an MLP."""

    num_tokens: int = LENGTH
    num_features: int = 16
    num_heads: int = 2

    def setup(self):
        """Create the layers; MLPModel creates its normaliser, its MLP and the distribution's parameters."""
        super().setup()
        self.embed = nn.Dense(self.num_features, dtype=self.dtype)
        self.places = self.param("places", nn.initializers.normal(0.5), (self.num_tokens, self.num_features))
        self.attend = nn.MultiHeadDotProductAttention(self.num_heads, dtype=self.dtype)

    def latent(self, observations, carry):
        """Compute the MLP's input ``[..., num_features]`` from observations ``[..., num_tokens * D]``."""
        x = self.normalized(observations)
        tokens = jnp.reshape(x, (-1, self.num_tokens, self.obs_dim // self.num_tokens))
        tokens = self.embed(tokens) + self.places[None]
        newest = tokens[:, -1:]
        features = (newest + self.attend(newest, tokens, tokens))[:, 0]
        return (features if x.ndim == 2 else jnp.reshape(features, (*x.shape[:-1], -1))), carry


def squashed_gaussian(output_dim, *, init_std=1.0):
    """Build a Gaussian squashed into (-1, 1) by tanh: a new record, made of the Gaussian's functions."""
    normal = gaussian(output_dim, init_std=init_std)

    def log_prob(params, actions):
        actions = jnp.clip(actions, -1 + 1e-6, 1 - 1e-6)
        return normal.log_prob(params, jnp.arctanh(actions)) - jnp.sum(jnp.log1p(-jnp.square(actions)), -1)

    return normal._replace(
        sample=lambda params, key: jnp.tanh(normal.sample(params, key)),
        mode=lambda params: jnp.tanh(normal.mode(params)),
        log_prob=log_prob,
        # The KL divergence equals the Gaussians', because both are squashed alike; the entropy is the Gaussian's, since
        # there is no closed form.
    )


class BlindCart:
    """A cart on a rail that should come to rest at the origin; it observes past positions, but no velocity."""

    num_actions = 1
    max_episode_length = 100
    step_dt = 0.05

    def reset(self, key):
        """Place the cart anywhere on the rail, at rest."""
        position = jax.random.uniform(key, minval=-1.0, maxval=1.0)
        history = jnp.full(LENGTH, position)
        return (position, jnp.zeros(()), history), history

    def step(self, state, action):
        """Push the cart for one step of ``step_dt`` seconds; it cannot leave the rail."""
        position, velocity, history = state
        velocity += self.step_dt * 5.0 * action[0]
        position = jnp.clip(position + self.step_dt * velocity, -1.5, 1.5)
        history = jnp.append(history[1:], position)
        reward = jnp.exp(-8.0 * position**2) - 0.1 * velocity**2
        return (position, velocity, history), Transition(history, reward, terminated=jnp.zeros((), bool))


CONFIG = {
    "num_steps_per_env": 24,
    "algorithm": {"class_name": "PPO", "learning_rate": 1e-3, "entropy_coef": 0.0},
    "actor": {
        "class_name": "custom_model:AttentionModel",
        "num_features": 16,
        "hidden_dims": [32],
        "distribution_cfg": {"class_name": "custom_model:squashed_gaussian", "init_std": 0.5},
    },
    "critic": {"class_name": "custom_model:AttentionModel", "hidden_dims": [32]},
}


def main(num_envs=256, num_iterations=150, folder="logs/custom_model"):
    """Train, export, and act with the exported policy for an episode; return the returns of both."""
    runner = OnPolicyRunner(vectorize(BlindCart(), num_envs), CONFIG, console=False)
    runner.learn(num_iterations)
    path = runner.export_policy_to_onnx(folder)

    env = make_vec_env("custom_model:BlindCart", num_envs=32)
    session = onnxruntime.InferenceSession(path)
    returns = np.zeros(env.num_envs)
    for _ in range(BlindCart.max_episode_length):
        (actions,) = session.run(["actions"], {"obs": np.asarray(env.get_observations()["policy"])})
        returns += np.asarray(env.step(actions)[1])
    return runner.metrics["Train/mean_reward"], float(returns.mean())


if __name__ == "__main__":
    trained, exported = main()
    print(f"mean return of at most 100: {trained:.1f} in training, {exported:.1f} of the exported policy")
