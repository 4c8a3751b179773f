"""How long an update takes: ours, RSL-RL's, and the bare matrix products that any update of these networks needs.

Run ``python benchmarks/update_speed.py`` with rsl-rl-lib==5.5.1 installed, on a machine that does nothing else. The
three take turns, so that whatever slows the machine down for a while slows all of them; what counts is the ratio of
medians.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from reference_rsl_rl import Arrays, reference_update
from reporting import comparison, show_table, speedup_text, write_json

from rsl_jax.algorithms import PPO
from rsl_jax.config import RunnerConfig
from rsl_jax.types import Array, Key, Rollout, Spec, TrainState


@dataclass(frozen=True)
class Size:
    """A size of problem and what is aimed at.

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


SIZES = {
    "feed_forward": (
        Size(512, 24, (512, 256, 128), speedup=1.3, over_products=1.25),
        Size(256, 32, (128, 128, 128), speedup=2.2),
        Size(32, 32, (64, 64), speedup=6.0),
    ),
    "recurrent": (
        Size(512, 24, (256, 128), speedup=1.6, rnn_type="gru"),
        Size(512, 24, (256, 128), speedup=1.3, rnn_type="lstm"),
    ),
}


def made_up_rollout(size: Size, seed: int = 0) -> Arrays:
    """Observations, rewards and ends of episodes."""
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


def our_update(size: Size, made_up: Arrays, acted: Arrays) -> tuple[Callable[[], None], float]:
    """Our update on the same rollout, with donated buffers as in training; and the seconds it took to compile."""
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
    states, key = [jax.jit(algorithm.init)(jax.random.key(0))], jax.random.key(1)

    def learn(state: TrainState, rollout: Rollout, key: Key) -> tuple[TrainState, Any]:
        state, rollout, _ = algorithm.prepare(state, rollout)
        return algorithm.update(state, rollout, key)[::2]

    start = time.perf_counter()
    compiled = jax.jit(learn, donate_argnums=0).lower(states[0], rollout, key).compile()
    compile_seconds = time.perf_counter() - start

    def update() -> None:
        state, _ = compiled(states.pop(), rollout, key)
        states.append(jax.block_until_ready(state))

    return update, compile_seconds


def matrix_products(size: Size) -> Callable[[], None]:
    """The matrix products of an update and nothing else, over mini-batches that are already cut.

    A layer takes ``h W`` forward, ``h^T g`` for the gradient of its kernel and, if it is not the first, ``g W^T`` for
    that of its input. Those of a recurrent layer that wait for the step before are made one step after the other.
    """
    generator = np.random.default_rng(0)

    def matrix(*shape: int) -> Array:
        return jnp.asarray(generator.normal(size=shape) / np.sqrt(shape[-2]), jnp.float32)

    def network(output: int) -> dict[str, Any]:
        hidden, gates = size.rnn_hidden_dim, {"gru": 3, "lstm": 4, None: 0}[size.rnn_type]
        first = hidden if gates else size.num_obs
        layers = [matrix(*pair) for pair in itertools.pairwise((first, *size.hidden_dims, output))]
        rnn = [matrix(size.num_obs, gates * hidden), matrix(hidden, gates * hidden)] if gates else []
        return {"rnn": rnn, "mlp": layers}

    networks = [network(size.num_actions), network(1)]
    batches = matrix(size.num_mini_batches, size.num_steps, size.num_envs // size.num_mini_batches, size.num_obs)

    def learn(networks: Any, batch: Array) -> tuple[Any, None]:
        # Without some use of the results XLA would leave the products out; to add them is next to nothing.
        changes = [products_of(network, batch) for network in networks]
        return jax.tree.map(lambda kernel, change: kernel + 1e-12 * change, networks, changes), None

    @jax.jit
    def products(networks: Any, batches: Array) -> Any:
        return jax.lax.scan(lambda x, _: jax.lax.scan(learn, x, batches), networks, None, size.num_epochs)[0]

    return lambda: jax.block_until_ready(products(networks, batches)) and None


def products_of(network: dict[str, Any], batch: Array) -> dict[str, Any]:
    """Products of one network on a mini-batch ``[T, n, O]``, as many as it has kernels."""
    h = jnp.reshape(batch, (-1, batch.shape[-1]))
    rnn, inputs, changes = network["rnn"], [], []
    if rnn:
        width = rnn[1].shape[0]
        from_input = jnp.reshape(h @ rnn[0], (*batch.shape[:2], -1))

        def forward(state: Array, x: Array) -> tuple[Array, Array]:
            state = (x + state @ rnn[1])[:, :width]
            return state, state

        h = states = jnp.reshape(jax.lax.scan(forward, from_input[0, :, :width], from_input)[1], (-1, width))
    for kernel in network["mlp"]:
        inputs.append(h)
        h = h @ kernel
    for kernel, x in zip(reversed(network["mlp"]), reversed(inputs), strict=True):
        changes.append(x.T @ h)
        h = h @ kernel.T if rnn or kernel is not network["mlp"][0] else h
    if not rnn:
        return {"rnn": [], "mlp": changes[::-1]}

    def backward(gradient: Array, x: Array) -> tuple[Array, Array]:
        gates = jnp.tile(x + gradient, rnn[1].shape[1] // width)
        return gates @ rnn[1].T, gates

    steps = jnp.reshape(h, (*batch.shape[:2], width))
    gates = jnp.reshape(jax.lax.scan(backward, jnp.zeros_like(steps[0]), steps, reverse=True)[1], (h.shape[0], -1))
    observations = jnp.reshape(batch, (h.shape[0], -1))
    return {"rnn": [observations.T @ gates, states.T @ gates], "mlp": changes[::-1]}


def in_turns(
    functions: dict[str, Callable[[], None]],
    rounds: int,
    pause: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds that each function took in each round, after two rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for index in range(rounds + 2):
        for name, function in functions.items():
            time.sleep(pause)  # PyTorch's threads spin for a while after their work
            start = clock()
            function()
            if index >= 2:
                seconds[name].append(clock() - start)
    return seconds


def measure(size: Size, rounds: int, pause: float) -> dict[str, Any]:
    """Medians and their ratios for a size."""
    made_up = made_up_rollout(size)
    theirs, acted = reference_update(size.train_cfg(), made_up)
    ours, compile_seconds = our_update(size, made_up, acted)
    seconds = in_turns({"rsl_rl": theirs, "rsl_jax": ours, "products": matrix_products(size)}, rounds, pause)
    compared = comparison(seconds)
    medians = compared["median_seconds"]
    return {
        "size": asdict(size),
        **compared,
        "over_products": medians["rsl_jax"] / medians["products"],
        "compile_seconds": compile_seconds,
    }


COLUMNS = ("envs x steps, hidden", "RSL-RL", "rsl_jax", "products", "speed-up", "over products", "compile")


def rows(sizes: tuple[Size, ...], results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What a person reads, under :data:`COLUMNS`."""
    table = []
    for size, result in zip(sizes, results, strict=True):
        medians = [f"{1000 * result['median_seconds'][name]:.1f} ms" for name in ("rsl_rl", "rsl_jax", "products")]
        speedup = speedup_text(result, size.speedup)
        over = f"{result['over_products']:.2f}" + (f" (aim {size.over_products})" if size.over_products else "")
        table.append((size.name, *medians, speedup, over, f"{result['compile_seconds']:.1f} s"))
    return table


def limit_threads(threads: int) -> None:
    """Keep both libraries to the same cores; JAX counts them when its backend starts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def main(
    kinds: tuple[str, ...] = tuple(SIZES), rounds: int = 15, threads: int = 2, pause: float = 0.1, write: bool = True
) -> None:
    """Measure all sizes.

    Args:
        kinds: of networks, out of feed_forward and recurrent.
        rounds: turns of each.
        threads: processor cores to use.
        pause: seconds of rest before each update.
        write: whether to write ``results/update_speed_<kind>.json``.
    """
    limit_threads(threads)
    for kind in kinds:
        results = [measure(size, rounds, pause) for size in SIZES[kind]]
        show_table(f"One PPO update, {kind.replace('_', '-')}, medians", COLUMNS, rows(SIZES[kind], results))
        if write:
            write_json(f"update_speed_{kind}", {"results": results})


if __name__ == "__main__":
    tyro.cli(main)
