"""Cost of domain randomization: steps of a MuJoCo Playground environment with and without it, alternately.

    python benchmarks/randomization.py [--env playground/Go1JoystickFlatTerrain] [--num-envs 64]

Both step the same environments with the same actions. The results are the fastest of many blocks of steps, and the
median of the ratios of consecutive blocks, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from rsl_jax.env import make_env


def stretch(step, state, actions, num_steps):
    """Measure the seconds of ``num_steps`` steps; also returns the state after them."""
    start = time.perf_counter()
    for _ in range(num_steps):
        state, timestep = step(state, actions)
    jax.block_until_ready(timestep.rewards)
    return time.perf_counter() - start, state


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="playground/Go1JoystickFlatTerrain")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="of a stretch")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    randomized = make_env(args.env, num_envs=args.num_envs, randomize=True)
    same = make_env(args.env, num_envs=args.num_envs)
    start = time.perf_counter()
    state, _ = jax.jit(randomized.reset)(jax.random.key(0))
    actions = jnp.zeros((args.num_envs, randomized.num_actions))
    print(f"reset: compiled and run in {time.perf_counter() - start:.0f} s")
    plain = state.replace(env=state.env.env, pool=(state.pool[0].env, state.pool[1]), models=())
    states, steps = {"none": plain, "randomized": state}, {}
    for name, env in (("none", same), ("randomized", randomized)):
        start = time.perf_counter()
        steps[name] = jax.jit(env.step)
        _, states[name] = stretch(steps[name], states[name], actions, 1)
        print(f"step, {name}: compiled and run in {time.perf_counter() - start:.0f} s", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.repeats):
        for name, step in steps.items():
            spent, states[name] = stretch(step, states[name], actions, args.steps)
            seconds[name].append(spent)
    done = args.num_envs * args.steps
    for name, spent in seconds.items():
        print(f"{name}: {done / min(spent):,.0f} steps/s at best, {done / statistics.median(spent):,.0f} as a rule")
    ratios = [r / n for r, n in zip(seconds["randomized"], seconds["none"], strict=True)]
    drawn = sum(leaf.size for leaf in jax.tree.leaves(state.env.model)) // args.num_envs
    print(f"{drawn} numbers differ from robot to robot; a step takes {statistics.median(ratios):.3f} times as long")


if __name__ == "__main__":
    main()
