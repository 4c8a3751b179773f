"""Speed of a whole training run: ours, RSL-RL's and Brax's PPO, and the environment alone, on CartpoleBalance.

Run ``python benchmarks/training_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine. Each
candidate has a separate process (for its peak memory), which waits for its turn; one runs at a time. Turns alternate,
so that a temporary slowdown of the machine affects all of them; the result is the ratio of medians.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import multiprocessing
import os
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import tyro
from reporting import show_table, write_json

ENV = "playground/CartpoleBalance"
MODEL = {"class_name": "MLPModel", "hidden_dims": [128, 128, 128], "activation": "elu", "obs_normalization": True}


@dataclass(frozen=True)
class Size:
    """Work of every candidate in a turn.

    Attributes:
        num_envs: environments.
        num_steps: steps of a rollout.
        iterations: rollouts, each with its update, of a turn.
        num_epochs: passes over a rollout.
        num_mini_batches: mini-batches of a pass.
    """

    num_envs: int = 256
    num_steps: int = 32
    iterations: int = 5
    num_epochs: int = 5
    num_mini_batches: int = 4

    @property
    def steps_per_turn(self) -> int:
        """Steps of all environments together."""
        return self.num_envs * self.num_steps * self.iterations

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's config, for both libraries."""
        return {
            "num_steps_per_env": self.num_steps,
            "save_interval": 1_000_000,
            "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
            "actor": {**MODEL, "distribution_cfg": {"class_name": "GaussianDistribution"}},
            "critic": MODEL,
            "algorithm": {
                "class_name": "PPO",
                "num_learning_epochs": self.num_epochs,
                "num_mini_batches": self.num_mini_batches,
            },
        }


class NoMoreTurns(Exception):  # noqa: N818 (not an error)
    """Exception for a candidate that has had all its turns."""


class Turns:
    """A candidate's end of the connection."""

    def __init__(self, line: Connection):
        self._line = line

    def wait(self) -> None:
        """Wait for the next turn.

        Raises:
            NoMoreTurns: if there is none any more.
        """
        if not self._line.recv():
            raise NoMoreTurns

    def done(self, seconds: float) -> None:
        """End a turn, with its duration."""
        self._line.send(seconds)

    def take(self, work: Callable[[], Any]) -> None:
        """Run ``work`` at each turn, until there are no more turns."""
        while True:
            self.wait()
            start = time.perf_counter()
            work()
            self.done(time.perf_counter() - start)


# --- the contestants: each takes a first turn in which everything is compiled ----------------------------------------


def our_runner(size: Size, turns: Turns) -> None:
    """Run rsl_jax's runner: one compiled call per iteration, metrics fetched after each."""
    from rsl_jax import make_env
    from rsl_jax.runners import OnPolicyRunner

    turns.wait()
    start = time.perf_counter()
    runner = OnPolicyRunner(make_env(ENV, num_envs=size.num_envs), size.train_cfg(), console=False)
    runner.learn(size.iterations)
    turns.done(time.perf_counter() - start)
    turns.take(lambda: runner.learn(size.iterations))


def our_make_train(size: Size, turns: Turns) -> None:
    """Run rsl_jax's make_train: the whole run, including its initial states, as one compiled call."""
    import jax

    from rsl_jax import make_env, make_train

    turns.wait()
    start = time.perf_counter()
    train = jax.jit(make_train(make_env(ENV, num_envs=size.num_envs), size.train_cfg(), size.iterations))
    keys = iter(jax.random.split(jax.random.key(0), 1000))
    jax.block_until_ready(train(next(keys)))
    turns.done(time.perf_counter() - start)
    turns.take(lambda: jax.block_until_ready(train(next(keys))))


def rsl_rl_runner(size: Size, turns: Turns, *, torch_threads: int) -> None:
    """Run RSL-RL's runner on the same compiled environment."""
    import torch
    from rsl_rl.runners import OnPolicyRunner
    from rsl_rl_env import RslRlEnv

    from rsl_jax import make_env

    torch.set_num_threads(torch_threads)
    turns.wait()
    start = time.perf_counter()
    env = RslRlEnv(make_env(ENV, num_envs=size.num_envs), seed=0, num_steps_per_env=size.num_steps)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = OnPolicyRunner(env, copy.deepcopy(size.train_cfg()), log_dir=None, device="cpu")
        runner.learn(size.iterations)
    turns.done(time.perf_counter() - start)
    turns.take(lambda: runner.learn(size.iterations))


def brax_ppo(size: Size, turns: Turns) -> None:
    """Run Brax's PPO, with its own wrappers around the same robot, equal sizes and its own adaptive learning rate.

    It trains in one call that reports after each of its "epochs", which is where it waits for its next turn.
    """
    from brax_training import same_settings, train

    from rsl_jax import make_env

    turns.wait()
    before = time.perf_counter()
    env = make_env(ENV, num_envs=size.num_envs)

    def next_turn(steps: int, *_: Any) -> None:
        nonlocal before
        if steps:
            turns.done(time.perf_counter() - before)
            turns.wait()
            before = time.perf_counter()

    settings = same_settings(size.train_cfg(), size.num_envs)
    train(env, settings, interval=size.iterations, on_interval=next_turn, seed=0)


def environment_alone(size: Size, turns: Turns) -> None:
    """Step the environment with random actions, in a scan within one compiled call."""
    import jax

    from rsl_jax import make_env

    turns.wait()
    start = time.perf_counter()
    env = make_env(ENV, num_envs=size.num_envs)

    def step(state: Any, key: jax.Array) -> tuple[Any, Any]:
        actions = jax.random.normal(key, (size.num_envs, env.num_actions))
        state, timestep = env.step(state, actions)
        return state, timestep.rewards.mean()

    @jax.jit
    def rollouts(state: Any, key: jax.Array) -> tuple[Any, Any]:
        def rollout(state: Any, key: jax.Array) -> tuple[Any, Any]:
            pool_key, step_key = jax.random.split(key)
            return jax.lax.scan(step, env.begin_iteration(state, pool_key), jax.random.split(step_key, size.num_steps))

        return jax.lax.scan(rollout, state, jax.random.split(key, size.iterations))

    state, _ = jax.jit(env.reset)(jax.random.key(0))
    jax.block_until_ready(rollouts(state, jax.random.key(1)))
    turns.done(time.perf_counter() - start)
    turns.take(lambda: jax.block_until_ready(rollouts(state, jax.random.key(2))))


CONTESTANTS: dict[str, Callable[[Size, Turns], None]] = {
    "rsl_jax, runner": our_runner,
    "rsl_jax, make_train": our_make_train,
    "RSL-RL, 1 thread": functools.partial(rsl_rl_runner, torch_threads=1),
    "RSL-RL, 2 threads": functools.partial(rsl_rl_runner, torch_threads=2),
    "Brax PPO": brax_ppo,
    "environment alone": environment_alone,
}
RIVALS = {"RSL-RL": ("RSL-RL, 1 thread", "RSL-RL, 2 threads"), "Brax PPO": ("Brax PPO",)}
"""Whom the others are compared with; of several settings of one, with the fastest."""


# --- the race --------------------------------------------------------------------------------------------------------


def contestant_process(name: str, size: Size, line: Connection) -> None:
    """Run a candidate's process: its turns, then its peak memory in MiB."""
    warnings.simplefilter("ignore")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # each is to compile for itself
    with contextlib.suppress(NoMoreTurns):
        CONTESTANTS[name](size, Turns(line))
    line.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def race(size: Size, names: list[str], rounds: int, pause: float) -> dict[str, dict[str, Any]]:
    """Measure the seconds of the first turn and of all others, and peak memory, by candidate."""
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for name in names:
        lines[name], theirs = context.Pipe()
        process = context.Process(target=contestant_process, args=(name, size, theirs))
        process.start()
        theirs.close()
        processes.append(process)

    def turn(name: str) -> float:
        time.sleep(pause)  # PyTorch's threads spin for a while after their work
        lines[name].send(True)
        return lines[name].recv()

    first = {name: turn(name) for name in names}
    for name in names:
        turn(name)  # does not count
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            seconds[name].append(turn(name))
    for name in names:
        lines[name].send(False)
    peaks = {name: lines[name].recv() for name in names}
    for process in processes:
        process.join()
    return {
        name: {"first_turn": first[name], "seconds": seconds[name], "peak_memory_mib": round(peaks[name])}
        for name in names
    }


def summary(size: Size, turns: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Compute the figures of each candidate, with ratios to the others."""
    medians = {name: statistics.median(result["seconds"]) for name, result in turns.items()}
    rivals = {rival: min(medians[name] for name in settings) for rival, settings in RIVALS.items()}
    return {
        name: {
            "steps_per_second": round(size.steps_per_turn / medians[name]),
            "quartiles_seconds_per_turn": [round(x, 4) for x in statistics.quantiles(result["seconds"], n=4)],
            "times_faster_than": {rival: round(best / medians[name], 2) for rival, best in rivals.items()},
            "compile_seconds": round(result["first_turn"] - medians[name], 1),
            "peak_memory_mib": result["peak_memory_mib"],
        }
        for name, result in turns.items()
    }


def main(rounds: int = 9, iterations: int = 5, num_envs: int = 256, pause: float = 0.5) -> None:
    """Measure all candidates.

    Args:
        rounds: turns of each that count.
        iterations: iterations of a turn.
        num_envs: environments.
        pause: seconds of rest before each turn.
    """
    size = Size(num_envs=num_envs, iterations=iterations)
    figures = summary(size, race(size, list(CONTESTANTS), rounds, pause))
    rows = [
        (
            name,
            f"{f['steps_per_second']:,}",
            *(f"{f['times_faster_than'][rival]:.2f}" for rival in RIVALS),
            f"{f['compile_seconds']:.0f} s",
            f"{f['peak_memory_mib']:,} MiB",
        )
        for name, f in figures.items()
    ]
    title = f"Training on {ENV}, {size.num_envs} envs x {size.num_steps} steps, medians of {rounds} turns"
    show_table(title, ("", "steps/s", *(f"x {rival}" for rival in RIVALS), "start and compile", "peak memory"), rows)
    write_json(
        "training_speed",
        {
            "env": ENV,
            "num_envs": size.num_envs,
            "iterations_per_turn": size.iterations,
            "rounds": rounds,
            "config": size.train_cfg(),
            "contestants": figures,
        },
    )


if __name__ == "__main__":
    tyro.cli(main)
