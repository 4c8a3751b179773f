"""Duration of an update: ours, RSL-RL's, and the bare matrix products that any update of these networks needs.

Run ``python benchmarks/update_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine. The
three alternate, so that a temporary slowdown of the machine affects all of them; the result is the ratio of medians.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from reference_rsl_rl import reference_update
from reporting import comparison, show_table, speedup_text, write_json
from updates import Size, in_turns, made_up_rollout, our_update

from rsl_jax.types import Array

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


def matrix_products(size: Size) -> Callable[[], None]:
    """Build the matrix products of an update and nothing else, over mini-batches that are already split.

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
    """Compute the products of one network on a mini-batch ``[T, n, O]``, one per kernel."""
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


def measure(size: Size, rounds: int, pause: float) -> dict[str, Any]:
    """Measure the medians and their ratios for a size."""
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
    """Format the rows of the table, under :data:`COLUMNS`."""
    table = []
    for size, result in zip(sizes, results, strict=True):
        medians = [f"{1000 * result['median_seconds'][name]:.1f} ms" for name in ("rsl_rl", "rsl_jax", "products")]
        speedup = speedup_text(result, size.speedup)
        over = f"{result['over_products']:.2f}" + (f" (aim {size.over_products})" if size.over_products else "")
        table.append((size.name, *medians, speedup, over, f"{result['compile_seconds']:.1f} s"))
    return table


def limit_threads(threads: int) -> None:
    """Limit both libraries to the same cores; JAX counts them when its backend starts."""
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
