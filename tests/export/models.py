"""Models to export, some of them custom."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.distributions import gaussian
from rsl_jax.models import MLPModel
from rsl_jax.modules import NormalizerState

ACTIONS = 3
GROUPS = {"policy": (5,), "command": (2,)}


def mlp_model(**kwargs: Any) -> MLPModel:
    settings = {"obs_shapes": GROUPS, "obs_groups": tuple(GROUPS), "hidden_dims": (8, 7), "output_dim": ACTIONS}
    return MLPModel(**{"distribution": gaussian(ACTIONS), **settings, **kwargs})


def variables_of(model: Any, seed: int = 0) -> dict[str, Any]:
    """Random variables, drawn by numpy because compiling a draw takes longer; the normaliser has seen something."""
    generator = np.random.default_rng(seed)

    def init() -> Any:
        observations = {group: jnp.zeros((1, *shape)) for group, shape in model.obs_shapes.items()}
        return model.init(jax.random.key(0), observations, model.initial_carry(1))

    variables = dict(
        jax.tree.map(lambda leaf: jnp.asarray(generator.normal(0, 0.5, leaf.shape), leaf.dtype), jax.eval_shape(init))
    )
    if "normalizer" in variables:
        mean, log_var = generator.normal(0, 20, model.obs_dim), generator.normal(0, 2, model.obs_dim)
        dtype = variables["normalizer"]["obs"].mean.dtype
        variables["normalizer"] = {
            "obs": NormalizerState(
                mean=jnp.asarray(mean, dtype),
                var=jnp.asarray(np.exp(log_var), dtype),
                count=jnp.asarray(1000, jnp.int32),
            )
        }
    return variables


def observations_of(model: Any, batch: int, seed: int = 3) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        group: generator.normal(0, 10, (batch, *shape)).astype(np.float32) for group, shape in model.obs_shapes.items()
    }


def actions_of(model: Any, variables: Any, observations: Mapping[str, np.ndarray]) -> jax.Array:
    """The model's own deterministic actions, in the type of its parameters."""
    in_force = {group: jnp.asarray(values, jnp.zeros(()).dtype) for group, values in observations.items()}
    return jax.jit(lambda observations: model.apply(variables, observations, (), method="mode")[0])(in_force)


class Deployable(nn.Module):
    """What an export needs of a model, with an image beside the vectors and memory as the subclass likes it."""

    obs_shapes: Mapping[str, tuple[int, ...]]
    obs_groups: tuple[str, ...]
    output_dim: int = ACTIONS
    hidden: int = 4

    def initial_carry(self, num_envs: int) -> Any:
        del num_envs
        return ()

    @nn.compact
    def __call__(self, observations: Any, carry: Any) -> tuple[jax.Array, Any]:
        features = []
        for group in self.obs_groups:
            x = observations[group]
            if x.ndim == 4:
                x = jnp.transpose(x, (0, 2, 3, 1))
                size = 2 * (x.shape[1] - 2) * (x.shape[2] - 2)
                x = jnp.reshape(nn.relu(nn.Conv(2, (3, 3), padding="VALID")(x)), (-1, size))
            features.append(x)
        x, carry = self.remember(jnp.concatenate(features, -1), carry)
        return nn.Dense(self.output_dim)(x), carry

    def mode(self, observations: Any, carry: Any) -> tuple[jax.Array, Any]:
        return self(observations, carry)

    def remember(self, x: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        return x, carry


class TwoLayerLSTM(Deployable):
    """Hidden states as recurrent models carry them: a tuple over layers of ``(h, c)``, each ``[N, hidden]``."""

    def initial_carry(self, num_envs: int) -> Any:
        return tuple((jnp.zeros((num_envs, self.hidden)), jnp.zeros((num_envs, self.hidden))) for _ in range(2))

    def remember(self, x: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        layers = []
        for h, c in carry:
            i, f, g, o = jnp.split(nn.Dense(4 * self.hidden)(jnp.concatenate([x, h], -1)), 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            x = nn.sigmoid(o) * jnp.tanh(c)
            layers.append((x, c))
        return x, tuple(layers)


class GRULike(Deployable):
    """One layer with one hidden state ``[N, hidden]``."""

    def initial_carry(self, num_envs: int) -> Any:
        return (jnp.zeros((num_envs, self.hidden)),)

    def remember(self, x: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        (h,) = carry
        gate, new = jnp.split(nn.Dense(2 * self.hidden)(jnp.concatenate([x, h], -1)), 2, -1)
        h = h + nn.sigmoid(gate) * (jnp.tanh(new) - h)
        return h, (h,)


class OwnMemory(Deployable):
    """Hidden states in a form of the user's own: a dict, with a window of past observations ``[N, steps, D]``."""

    def initial_carry(self, num_envs: int) -> Any:
        size = sum(shape[0] for shape in self.obs_shapes.values())
        return {"window": jnp.zeros((num_envs, 3, size))}

    def remember(self, x: jax.Array, carry: Any) -> tuple[jax.Array, Any]:
        window = jnp.concatenate([carry["window"][:, 1:], x[:, None]], 1)
        return jnp.mean(window, 1), {"window": window}

    def pack_carry(self, carry: Any) -> dict[str, jax.Array]:
        return {"window": jnp.swapaxes(carry["window"], 0, 1)}

    def unpack_carry(self, arrays: Any) -> Any:
        return {"window": jnp.swapaxes(arrays["window"], 0, 1)}


def deployable(kind: type[Deployable], **groups: tuple[int, ...]) -> Deployable:
    return kind(obs_shapes=groups, obs_groups=tuple(groups))
