"""Our PPO update on random data, to be timed; does not need PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.algorithms import PPO
from rsl_jax.config import RunnerConfig
from rsl_jax.types import Key, Rollout, Spec, TrainState

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Size:
    """Size of a problem, with a target.

    Attributes:
        num_envs: environments.
        num_steps: steps of a rollout.
        hidden_dims: of actor and critic.
        speedup: how many times faster than RSL-RL we want to be.
        over_products: how many times the bare matrix products we may take, or None where these hardly matter.
        num_obs: size of an observation.
        num_actions: size of an action.
        num_epochs: passes over the rollout.
        num_mini_batches: mini-batches of a pass.
        rnn_type: ``"gru"`` or ``"lstm"`` in front of both networks, or None for none.
        rnn_hidden_dim: size of its hidden state.
    """

    num_envs: int
    num_steps: int
    hidden_dims: tuple[int, ...]
    speedup: float
    over_products: float | None = None
    num_obs: int = 48
    num_actions: int = 12
    num_epochs: int = 5
    num_mini_batches: int = 4
    rnn_type: str | None = None
    rnn_hidden_dim: int = 256

    @property
    def name(self) -> str:
        """For the table."""
        rnn = f"{self.rnn_type.upper()} {self.rnn_hidden_dim}, " if self.rnn_type else ""
        return f"{self.num_envs} x {self.num_steps}, {rnn}{list(self.hidden_dims)}"

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of an environment."""
        return (self.num_obs,)

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's configuration, with its defaults where it has any."""
        model = {"class_name": "MLPModel", "hidden_dims": list(self.hidden_dims), "activation": "elu"}
        if self.rnn_type:
            model |= {"class_name": "RNNModel", "rnn_type": self.rnn_type, "rnn_hidden_dim": self.rnn_hidden_dim}
        return {
            "num_steps_per_env": self.num_steps,
            "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
            "algorithm": {
                "class_name": "PPO",
                "num_learning_epochs": self.num_epochs,
                "num_mini_batches": self.num_mini_batches,
            },
            "actor": {**model, "distribution_cfg": {"class_name": "GaussianDistribution"}},
            "critic": model,
        }


@dataclass(frozen=True)
class ImageSize(Size):
    """Size of a problem with an image as its only observation.

    Attributes:
        channels: of each convolution.
        kernel_size: of all of them.
        stride: of all of them.
        shared: whether the critic uses the actor's encoder.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    kernel_size: int = 3
    stride: int = 2
    shared: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.num_envs} x {self.num_steps}, {'shared encoder' if self.shared else 'an encoder each'}"

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of an environment."""
        return (1, 48, 64)

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's configuration."""
        cfg = super().train_cfg()
        encoder = {"output_channels": list(self.channels), "kernel_size": self.kernel_size, "stride": self.stride}
        cnn = {"class_name": "CNNModel", "cnn_cfg": {**encoder, "padding": "zeros"}}
        cfg["algorithm"]["share_cnn_encoders"] = self.shared
        return {**cfg, "actor": {**cfg["actor"], **cnn}, "critic": {**cfg["critic"], **cnn}}


def made_up_rollout(size: Size, seed: int = 0) -> Arrays:
    """Create random observations, rewards and ends of episodes."""
    generator = np.random.default_rng(seed)
    shape = (size.num_steps, size.num_envs)
    dones = generator.random(shape) < 0.01
    return {
        "observations": generator.normal(size=(size.num_steps + 1, size.num_envs, *size.observation_shape)).astype(
            np.float32
        ),
        "rewards": generator.normal(size=shape).astype(np.float32),
        "dones": dones,
        "time_outs": dones & (generator.random(shape) < 0.5),
        "num_actions": np.array(size.num_actions),
    }


def made_up_actions(size: Size, seed: int = 1) -> Arrays:
    """Compute what acting adds to a rollout, for a newly initialised policy."""
    noise = np.random.default_rng(seed).normal(size=(size.num_steps, size.num_envs, size.num_actions))
    log_probs = -0.5 * np.sum(noise**2 + np.log(2 * np.pi), axis=-1)
    arrays = {"actions": noise, "mean": np.zeros_like(noise), "std": np.ones_like(noise), "log_probs": log_probs}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


class CompiledUpdate(NamedTuple):
    """Our compiled update and its arguments.

    Attributes:
        compiled: ``(state, rollout, key) -> (state, metrics)``; the state is donated, as in training.
        state: where learning starts.
        rollout: what is learned from.
        key: random key.
        seconds: that compiling took.
    """

    compiled: Any
    state: TrainState
    rollout: Rollout
    key: Key
    seconds: float


def compile_update(size: Size, made_up: Arrays, acted: Arrays) -> CompiledUpdate:
    """Compile our update on a rollout."""
    shapes = {"policy": size.observation_shape}
    spec = Spec(shapes, num_envs=size.num_envs, num_actions=size.num_actions, step_dt=0.02)
    algorithm = PPO.build(RunnerConfig.from_dict(size.train_cfg()), spec)
    arrays = {name: jnp.asarray(array) for name, array in {**made_up, **acted}.items()}
    rollout = Rollout(
        observations={"policy": arrays["observations"][:-1]},
        actions=arrays["actions"],
        log_probs=arrays["log_probs"],
        distribution_params=(arrays["mean"], arrays["std"]),
        rewards=arrays["rewards"],
        dones=arrays["dones"],
        time_outs=arrays["time_outs"],
        carry=algorithm.initial_carry(size.num_envs),
        last_observations={"policy": arrays["observations"][-1]},
    )
    state, key = jax.jit(algorithm.init)(jax.random.key(0)), jax.random.key(1)

    def learn(state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Any]:
        state, rollout, _ = algorithm.prepare(state, rollout)
        return algorithm.update(state, rollout, key)[::2]

    start = time.perf_counter()
    compiled = jax.jit(learn, donate_argnums=0).lower(state, rollout, key).compile()
    return CompiledUpdate(compiled, state, rollout, key, time.perf_counter() - start)


def our_update(size: Size, made_up: Arrays, acted: Arrays) -> tuple[Callable[[], None], float]:
    """Compile our update, with donated buffers as in training; return it and the seconds that compiling took."""
    compiled, state, rollout, key, seconds = compile_update(size, made_up, acted)
    states = [state]

    def update() -> None:
        state, _ = compiled(states.pop(), rollout, key)
        states.append(jax.block_until_ready(state))

    return update, seconds


def in_turns(
    functions: dict[str, Callable[[], None]],
    rounds: int,
    pause: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Measure the seconds of each function in each round, after two rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for index in range(rounds + 2):
        for name, function in functions.items():
            time.sleep(pause)  # PyTorch's threads spin for a while after their work
            start = clock()
            function()
            if index >= 2:
                seconds[name].append(clock() - start)
    return seconds
