"""Sections of ``gpu.py``: one function each, run in separate processes.

A section gets a :class:`Scale` and ``note(name, figures)``, which it calls after every measurement, so that a
later lack of time or memory loses nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from updates import ImageSize, Size, compile_update, in_turns, made_up_actions, made_up_rollout, our_update

from rsl_jax.env import Env
from rsl_jax.types import Array, Key, TimeStep

Note = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Scale:
    """Sizes of all problems.

    Attributes:
        update: of the update and the iteration that are compared.
        recurrent: of the update of a GRU.
        images: of the update from images.
        seed: of one of many seeds.
        seeds: how many at once.
        rounds: how often each is measured.
        elements: of the arrays that memory is measured by.
        matrix: rows of the square matrices that products are measured by.
        simulator: environment whose steps and whole iterations are measured.
        simulated: numbers of environments for it.
    """

    update: Size
    recurrent: Size
    images: ImageSize
    seed: Size
    seeds: tuple[int, ...]
    rounds: int
    elements: int
    matrix: int
    simulator: str
    simulated: tuple[int, ...]


FULL = Scale(
    update=Size(4096, 24, (512, 256, 128), speedup=1.0),
    recurrent=Size(4096, 24, (256, 128), speedup=1.0, rnn_type="gru"),
    images=ImageSize(1024, 24, (256, 128), speedup=1.0),
    seed=Size(1024, 24, (512, 256, 128), speedup=1.0),
    seeds=(1, 16, 64),
    rounds=11,
    elements=2**28,
    matrix=8192,
    simulator="playground/Go1JoystickFlatTerrain",
    simulated=(4096, 8192),
)

SMOKE = Scale(
    update=Size(64, 8, (32, 16), speedup=1.0),
    recurrent=Size(16, 8, (16,), speedup=1.0, rnn_type="gru", rnn_hidden_dim=16),
    images=ImageSize(4, 4, (16,), speedup=1.0, channels=(4, 4)),
    seed=Size(16, 8, (16,), speedup=1.0),
    seeds=(1, 2),
    rounds=3,
    elements=2**20,
    matrix=256,
    simulator="gymnax/Pendulum-v1",
    simulated=(8,),
)


class Free(Env[Any]):
    """Environment without cost: the same observations at every step, and no end of an episode."""

    max_episode_length = None
    step_dt = 0.02

    def __init__(self, size: Size):
        self.num_envs, self.num_actions = size.num_envs, size.num_actions
        self._num_obs = size.num_obs

    def reset(self, key: Key) -> tuple[Array, dict[str, Array]]:
        """Draw the observations."""
        observations = jax.random.normal(key, (self.num_envs, self._num_obs))
        return observations, {"policy": observations}

    def step(self, state: Array, actions: Array) -> tuple[Array, TimeStep]:
        """Do nothing."""
        never = jnp.zeros(self.num_envs, bool)
        return state, TimeStep({"policy": state}, actions[:, 0], never, never, None, {})


# --- sections --------------------------------------------------------------------------------------------------------


def roofline(scale: Scale, note: Note) -> None:
    """Compare an update's bytes and operations with the measured maxima of this device."""
    ceilings = measured_ceilings(scale)
    note("ceilings", ceilings)
    size = scale.update
    update, compile_seconds = our_update(size, made_up_rollout(size), made_up_actions(size))
    seconds = statistics.median(in_turns({"rsl_jax": update}, scale.rounds, 0)["rsl_jax"])
    figures = {"seconds": seconds, "compile_seconds": compile_seconds, "flops": flops_of(size)}
    note("update", figures)
    steps = size.num_epochs * size.num_mini_batches
    one = dataclasses.replace(size, num_envs=size.num_envs // size.num_mini_batches, num_epochs=1, num_mini_batches=1)
    cost = cost_of_update(one)
    figures |= {"bytes_by_xla": steps * cost.get("bytes accessed", math.nan)}
    figures |= {"flops_by_xla": steps * cost.get("flops", math.nan)}
    bounds = {
        "flops": figures["flops"] / ceilings["flops_float32"],
        "bytes": figures["bytes_by_xla"] / ceilings["bytes_per_second"],
    }
    figures |= {"bound_seconds": bounds, "share_of_roofline": max(bounds.values()) / seconds}
    note("update", figures)


def update(scale: Scale, note: Note) -> None:
    """Measure an update, ours and RSL-RL's on the same device."""
    _compare_updates("update", scale.update, scale, note)


def recurrent(scale: Scale, note: Note) -> None:
    """Measure an update of a GRU, ours and RSL-RL's."""
    _compare_updates("recurrent", scale.recurrent, scale, note)


def images(scale: Scale, note: Note) -> None:
    """Measure an update from images, ours and RSL-RL's."""
    _compare_updates("images", scale.images, scale, note)


def iteration(scale: Scale, note: Note) -> None:
    """Measure a whole iteration of the runner with environments without cost: collecting, update, metrics."""
    from rsl_jax.runners import OnPolicyRunner

    size, iterations = scale.update, 5
    runner = OnPolicyRunner(Free(size), size.train_cfg(), console=False)
    note("compiled environment", _training(runner, size, iterations, scale.rounds))
    if torch_device() is None:
        return
    from host_env_speed import Free as TorchFree
    from rsl_rl.runners import OnPolicyRunner as Reference

    for name, kind in (("rsl_rl", Reference), ("rsl_jax", OnPolicyRunner)):
        cfg = {**size.train_cfg(), "save_interval": 10**9}
        runner = kind(TorchFree(size.num_envs, torch_device()), cfg, device=torch_device())
        note(f"environment of torch, {name}", _training(runner, size, iterations, scale.rounds))


def seeds(scale: Scale, note: Note) -> None:
    """Measure whole iterations of many seeds at once."""
    from rsl_jax.training import make_train

    size, iterations = scale.seed, 3
    train = jax.vmap(make_train(Free(size), size.train_cfg(), iterations))
    for number in scale.seeds:
        keys = jax.random.split(jax.random.key(0), number)
        start = time.perf_counter()
        compiled = jax.jit(train).lower(keys).compile()
        compile_seconds = time.perf_counter() - start
        seconds = statistics.median(in_turns({"": finished(compiled, keys)}, max(3, scale.rounds // 2), 0)[""])
        steps = number * iterations * size.num_envs * size.num_steps
        note(
            f"{number} seeds",
            {
                "seconds_an_iteration": seconds / iterations,
                "steps_per_second": steps / seconds,
                "compile_seconds": compile_seconds,
                **memory(),
            },
        )


def simulator(scale: Scale, note: Note) -> None:
    """Measure whole iterations with a robot simulator and tuned settings, and the simulator's steps alone."""
    from rsl_jax import make_env
    from rsl_jax.cli.tuned import settings_for
    from rsl_jax.runners import OnPolicyRunner

    for num_envs in scale.simulated:
        env = make_env(scale.simulator, num_envs=num_envs)
        settings = settings_for(scale.simulator)
        steps = settings.runner.num_steps_per_env
        size = dataclasses.replace(scale.update, num_envs=num_envs, num_steps=steps)
        runner = OnPolicyRunner(env, settings.runner, console=False)
        note(f"training, {num_envs} environments", _training(runner, size, 3, max(3, scale.rounds // 3)))
        note(f"{scale.simulator}, {num_envs} environments", _steps_alone(env, steps))


SECTIONS: dict[str, Callable[[Scale, Note], None]] = {
    "roofline": roofline,
    "update": update,
    "iteration": iteration,
    "simulator": simulator,
    "seeds": seeds,
    "recurrent": recurrent,
    "images": images,
}


# --- within ----------------------------------------------------------------------------------------------------------


def torch_device() -> str | None:
    """Return RSL-RL's name of the GPU; None if PyTorch has none, or RSL-RL is not installed."""
    try:
        import rsl_rl  # noqa: F401
        import torch
    except ImportError:
        return None
    return "cuda:0" if torch.cuda.is_available() else None


def finished(function: Callable[..., Any], *args: Any) -> Callable[[], None]:
    """Wrap a function so that it waits for the device."""

    def call() -> None:
        jax.block_until_ready(function(*args))

    return call


def memory() -> dict[str, int]:
    """Return the peak memory of the device, if it reports it."""
    statistics_of_device = jax.local_devices()[0].memory_stats() or {}
    return {name: value for name, value in statistics_of_device.items() if name == "peak_bytes_in_use"}


def flops_of(size: Size) -> float:
    """Count the floating-point operations of an update's matrix products: per weight two forward, four backward.

    The gradient of the observations is not needed; the critic's values of the rollout come on top.
    """
    samples = size.num_envs * size.num_steps
    total = 0.0
    for output in (size.num_actions, 1):
        layers = [size.num_obs, *size.hidden_dims, output]
        weights = [rows * columns for rows, columns in itertools.pairwise(layers)]
        total += size.num_epochs * samples * (6 * sum(weights) - 2 * weights[0])
    return total + 2 * samples * sum(weights)


def cost_of_update(size: Size) -> dict[str, float]:
    """XLA's own count for a compiled update; it counts the body of a loop once, so this one has a single mini-batch."""
    return compile_update(size, made_up_rollout(size), made_up_actions(size)).compiled.cost_analysis() or {}


def measured_ceilings(scale: Scale) -> dict[str, float]:
    """Measure bytes per second of copying, and operations per second of matrix products in three precisions."""

    def best(function: Callable[..., Any], *arrays: Array) -> float:
        return min(in_turns({"": finished(jax.jit(function), *arrays)}, scale.rounds, 0)[""])

    ones = jnp.ones(scale.elements, jnp.float32)
    ceilings = {"bytes_per_second": 2 * ones.nbytes / best(lambda x: x + 1, ones)}
    square = jnp.ones((scale.matrix, scale.matrix), jnp.float32)
    operations = 2 * scale.matrix**3
    for name, precision, dtype in (
        ("flops_float32", "default", jnp.float32),  # as networks are computed; TF32 where the device has it
        ("flops_float32_highest", "highest", jnp.float32),
        ("flops_bfloat16", "default", jnp.bfloat16),
    ):
        matrix = square.astype(dtype)
        ceilings[name] = operations / best(lambda x, p=precision: jnp.matmul(x, x, precision=p), matrix)
    return ceilings


def _compare_updates(name: str, size: Size, scale: Scale, note: Note) -> None:
    made_up = made_up_rollout(size)
    ours, compile_seconds = our_update(size, made_up, made_up_actions(size))
    seconds = in_turns({"rsl_jax": ours}, scale.rounds, 0)["rsl_jax"]
    figures: dict[str, Any] = {"rsl_jax": _summary(seconds), "compile_seconds": compile_seconds, **memory()}
    note(name, figures)
    if torch_device() is None:
        return
    from reference_rsl_rl import reference_update

    theirs, acted = reference_update(size.train_cfg(), made_up, torch_device())
    ours, _ = our_update(size, made_up, acted)
    turns = in_turns({"rsl_rl": theirs, "rsl_jax": ours}, scale.rounds, 0.02)
    summaries = {contestant: _summary(seconds) for contestant, seconds in turns.items()}
    speedup = summaries["rsl_rl"]["median"] / summaries["rsl_jax"]["median"]
    note(name, {**figures, **summaries, "speedup": speedup})


def _training(runner: Any, size: Size, iterations: int, rounds: int) -> dict[str, Any]:
    """Measure seconds per iteration of a runner, in blocks of a few; the first ones, which compile, do not count."""

    def learn() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            runner.learn(iterations)

    start = time.perf_counter()
    learn()
    first = time.perf_counter() - start
    summary = _summary([seconds / iterations for seconds in in_turns({"": learn}, rounds, 0)[""]])
    per_second = size.num_envs * size.num_steps / summary["median"]
    return {"seconds_an_iteration": summary, "steps_per_second": per_second, "first_seconds": first, **memory()}


def _steps_alone(env: Any, num_steps: int) -> dict[str, Any]:
    """Measure steps per second with random actions; the pool of initial states is redrawn as often as in training."""

    def step(state: Any, key: Key) -> tuple[Any, Array]:
        state, timestep = env.step(state, jax.random.normal(key, (env.num_envs, env.num_actions)))
        return state, timestep.rewards.mean()

    @jax.jit
    def rollout(state: Any, key: Key) -> tuple[Any, Array]:
        pool_key, step_key = jax.random.split(key)
        return jax.lax.scan(step, env.begin_iteration(state, pool_key), jax.random.split(step_key, num_steps))

    state, _ = jax.jit(env.reset)(jax.random.key(0))
    seconds = in_turns({"": finished(rollout, state, jax.random.key(1))}, 3, 0)[""]
    return {"steps_per_second": env.num_envs * num_steps / statistics.median(seconds)}


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "fastest": min(seconds), "slowest": max(seconds)}
