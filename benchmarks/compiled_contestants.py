"""The contestants of ``compiled_speed.py``: processes that train when they are told to, and say how long it took.

``python compiled_contestants.py NAME SIZE CORES`` (a JSON object; ``0,1``) answers every line of its input with a line:
the seconds of the first turn, in which everything is compiled, and then of one turn each. It needs JAX and what the
contestant is about, nothing else, so that each may have a Python of its own.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from compiled_size import Size

Train = Callable[[], Any]


def _keys(size: Size, turn: int) -> Any:
    import jax

    key = jax.random.key(turn)
    return key if size.seeds == 1 else jax.random.split(key, size.seeds)


def _compiled(train: Callable[..., Any], size: Size) -> Train:
    """Compile a run, or all seeds as one ``vmap``; every call trains from other keys."""
    import jax

    keys = [_keys(size, turn) for turn in range(8)]
    program = jax.jit(train if size.seeds == 1 else jax.vmap(train)).lower(keys[0]).compile()
    turns = iter(range(1, 1_000_000))
    return lambda: program(keys[next(turns) % len(keys)])


# --- one core: compiled runs ------------------------------------------------------------------------------------------


def _env(size: Size) -> Any:
    import rsl_jax

    return rsl_jax.make_env(f"gymnax/{size.env}", num_envs=size.num_envs)


def _train(size: Size, **options: Any) -> Callable[..., Any]:
    import rsl_jax

    return rsl_jax.make_train(_env(size), size.train_cfg(), size.iterations, **options)


def rsl_jax(size: Size, **options: Any) -> Train:
    """``rsl_jax.make_train`` on gymnax 1.x."""
    return _compiled(_train(size, **options), size)


def rejax(size: Size) -> Train:
    """PPO of rejax on gymnax 0.0.9, without its evaluations: the others have only metrics of training."""
    from rejax import PPO

    steps = size.num_envs * size.num_steps * size.iterations
    algorithm = PPO.create(
        env=size.env,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        num_envs=size.num_envs,
        num_steps=size.num_steps,
        num_epochs=size.num_epochs,
        num_minibatches=size.num_mini_batches,
        learning_rate=size.learning_rate,
        max_grad_norm=1.0,
        agent_kwargs={"hidden_layer_sizes": tuple(size.hidden), "activation": "tanh"},
    ).replace(eval_callback=lambda algorithm, state, key: ())
    return _compiled(algorithm.train, size)


def purejaxrl(size: Size) -> Train:
    """PureJaxRL's loop on gymnax 1.x."""
    from purejaxrl_loop import make_train

    return _compiled(make_train(size), size)


# --- two cores: many seeds, one sharded run ---------------------------------------------------------------------------


def shard_map(size: Size) -> Train:
    """A ``vmap`` of a part of the seeds on each device: one program, the devices exchange nothing."""
    import jax
    from jax.sharding import Mesh, PartitionSpec

    train = jax.vmap(_train(size))
    mesh, members = Mesh(jax.devices(), ("members",)), PartitionSpec("members")
    spread = jax.shard_map(train, mesh=mesh, in_specs=members, out_specs=members, check_vma=False)
    keys = jax.device_put(_keys(size, 0), jax.sharding.NamedSharding(mesh, members))
    program = jax.jit(spread).lower(keys).compile()
    return lambda: program(keys)


def sweep(size: Size) -> Train:
    """``rsl_jax.sweep`` as it trains, with the members spread over the devices."""
    import jax
    from compiled_sweep import compiled_sweep

    return compiled_sweep(
        _env(size), size.train_cfg(), iterations=size.iterations, seeds=size.seeds, devices=jax.devices()
    )


def threads(size: Size) -> Train:
    """A ``vmap`` of a part of the seeds on each device, each called by a thread of its own."""
    import jax

    train = jax.jit(jax.vmap(_train(size)))
    devices = jax.devices()
    parts = [
        jax.device_put(keys, device)
        for keys, device in zip(_keys(size, 0).reshape(len(devices), -1), devices, strict=True)
    ]
    programs = [train.lower(keys).compile() for keys in parts]
    pool = concurrent.futures.ThreadPoolExecutor(len(devices))

    def together() -> Any:
        return list(pool.map(lambda program, keys: jax.block_until_ready(program(keys)), programs, parts))

    return together


def sharded(size: Size) -> Train:
    """One run whose environments are spread over the devices."""
    import jax

    return rsl_jax(size, devices=len(jax.devices()))


CONTESTANTS: dict[str, Callable[[Size], Train]] = {
    contestant.__name__: contestant for contestant in (rsl_jax, rejax, purejaxrl, shard_map, sweep, threads, sharded)
}


# --- starts -----------------------------------------------------------------------------------------------------------


def start(env: str, cache: str) -> None:
    """Train one iteration with a runner and end, as a script does; ``cache`` is the folder of compiled programs."""
    import rsl_jax
    from rsl_jax.runners import OnPolicyRunner

    rsl_jax.use_compilation_cache(cache)
    runner = OnPolicyRunner(rsl_jax.make_env(env, num_envs=32), Size().train_cfg(), console=False)
    runner.learn(1)
    print("done", flush=True)
    os._exit(0)


def main() -> None:
    """Take turns until the input ends."""
    warnings.simplefilter("ignore")
    name, argument, cores = sys.argv[1:]
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})  # before JAX starts its threads
    if name == "start":
        start(*json.loads(argument))
    size = Size(**json.loads(argument))
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    train: Train | None = None
    for _ in sys.stdin:
        before = time.perf_counter()
        import jax

        if train is None:
            train = CONTESTANTS[name](size)
        jax.block_until_ready(train())
        print(time.perf_counter() - before, file=answers, flush=True)


if __name__ == "__main__":
    main()
