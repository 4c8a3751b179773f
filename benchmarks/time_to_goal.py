"""Time from the launch of a script to a policy that reaches a goal: ours, RSL-RL's and Brax's PPO on the same robots.

Run ``python benchmarks/time_to_goal.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine. It takes
hours, and can be stopped and resumed.

Every run is a process of its own that starts and compiles everything (no compilation cache). After every few iterations
its clock is stopped, and the policy without noise plays the same 64 episodes as everyone's; the run is over when their
mean return reaches the goal, or when it has taken too long.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import json
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import tyro
import yaml
from reporting import RESULTS, rotating, show_table, write_json

PRESETS = Path(__file__).parent.parent / "rsl_jax" / "presets"
EPISODES, INTERVAL = 64, 5  # of an evaluation, and iterations between two
LIMIT = 600.0
Policy = Callable[[Any], Any]


@dataclass(frozen=True)
class Goal:
    """A task, and when it is solved.

    Attributes:
        env: name of the environment.
        mean_return: of an episode without noise.
        env_options: options of the environment.
    """

    env: str
    mean_return: float
    env_options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def preset(self) -> dict[str, Any]:
        """``num_envs``, and ``runner``, RSL-RL's config: what ``rsl-jax train`` starts from."""
        return yaml.safe_load((PRESETS / f"{self.env.replace('/', '-')}.yaml").read_text(encoding="utf-8"))

    def make_env(self, num_envs: int | None = None) -> Any:
        """Create the environment, as many as the preset says if not said here."""
        from rsl_jax import make_env

        return make_env(self.env, num_envs=num_envs or self.preset["num_envs"], **self.env_options)


GOALS = {
    "CartpoleBalance": Goal("playground/CartpoleBalance", 900.0),
    "reacher": Goal("brax/reacher", -25.0, {"max_episode_length": 200}),
}


class Over(Exception):  # noqa: N818 (not an error)
    """Exception that ends a run: the goal is reached, or the time is up."""


@dataclass
class Clock:
    """Clock of a run, which stands still while policies are evaluated.

    Attributes:
        launch: when the process was launched, as ``time.time()``.
        goal: what ends the run.
        limit: seconds after which it ends without.
        waited: seconds spent on evaluations.
        returns: ``(seconds, mean return)`` of each evaluation.
    """

    launch: float
    goal: Goal
    limit: float
    waited: float = 0.0
    returns: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    def check(self, policy: Policy) -> None:
        """Evaluate ``policy``, which gives actions ``[N, A]`` for groups of observations.

        Raises:
            Over: where the run has come to its end.
        """
        now = time.time()
        seconds = now - self.launch - self.waited
        self.returns.append((round(seconds, 2), round(self._mean_return(policy), 2)))
        self.waited += time.time() - now
        if self.returns[-1][1] >= self.goal.mean_return or seconds > self.limit:
            raise Over

    def _mean_return(self, policy: Policy) -> float:
        import jax
        import jax.numpy as jnp

        env, reset, step = self._players
        state, observations = reset(jax.random.key(1))
        returns, running = jnp.zeros(EPISODES), jnp.ones(EPISODES)
        for _ in range(env.max_episode_length):
            state, timestep = step(state, policy(observations))
            observations = timestep.observations
            returns, running = returns + running * timestep.rewards, running * ~timestep.dones
        return float(returns.mean())

    @functools.cached_property
    def _players(self) -> tuple[Any, Any, Any]:
        import jax

        env = self.goal.make_env(EPISODES)
        return env, jax.jit(env.reset), jax.jit(env.step)


# --- the contestants --------------------------------------------------------------------------------------------------


def rsl_jax(goal: Goal, clock: Clock, seed: int) -> None:
    """Train by rsl_jax's runner."""
    import jax

    from rsl_jax.runners import OnPolicyRunner

    runner = OnPolicyRunner(goal.make_env(), {**goal.preset["runner"], "seed": seed}, console=False)
    runner.learn(INTERVAL, init_at_random_ep_len=True)
    policy = runner.get_inference_policy()
    while True:
        jax.block_until_ready(runner.state)
        clock.check(policy.with_state(runner.state))
        runner.learn(INTERVAL)


def rsl_rl(goal: Goal, clock: Clock, seed: int) -> None:
    """Train by RSL-RL's runner in the same compiled environment, with as many threads as PyTorch chooses."""
    import jax
    import torch
    from rsl_rl.runners import OnPolicyRunner
    from rsl_rl_env import RslRlEnv
    from tensordict import TensorDict

    torch.manual_seed(seed)
    cfg = copy.deepcopy(goal.preset["runner"])
    env = RslRlEnv(goal.make_env(), seed=seed, num_steps_per_env=cfg["num_steps_per_env"])
    with contextlib.redirect_stdout(io.StringIO()):
        runner = OnPolicyRunner(env, cfg, log_dir=None, device="cpu")
        runner.learn(INTERVAL, init_at_random_ep_len=True)

    def policy(observations: Any) -> Any:
        groups = {name: torch.from_dlpack(group) for name, group in observations.items()}
        with torch.inference_mode():
            return jax.dlpack.from_dlpack(act(TensorDict(groups, batch_size=[EPISODES])).clone())

    while True:
        act = runner.get_inference_policy()
        clock.check(policy)
        runner.alg.train_mode()
        with contextlib.redirect_stdout(io.StringIO()):
            runner.learn(INTERVAL)


def brax(goal: Goal, clock: Clock, seed: int, *, tuned: bool) -> None:
    """Train by Brax's PPO: with the others' sizes, rates and networks, or with its own."""
    import jax
    from brax_training import same_settings, train, tuned_settings

    env, preset = goal.make_env(), goal.preset
    settings = tuned_settings(goal.env) if tuned else same_settings(preset["runner"], preset["num_envs"])

    make: Any = None
    act = jax.jit(lambda params, groups: make(params, deterministic=True)(groups["policy"], jax.random.key(0))[0])

    def check(steps: int, make_policy: Any, params: Any) -> None:
        nonlocal make
        make = make_policy  # the same in every call, so that nothing is compiled again
        if steps:
            clock.check(functools.partial(act, params))

    train(env, settings, interval=1 if tuned else INTERVAL, on_interval=check, seed=seed)


CONTESTANTS: dict[str, Callable[[Goal, Clock, int], None]] = {
    "rsl_jax": rsl_jax,
    "RSL-RL": rsl_rl,
    "Brax PPO, same settings": functools.partial(brax, tuned=False),
    "Brax PPO, its settings": functools.partial(brax, tuned=True),
}


# --- the race ---------------------------------------------------------------------------------------------------------


def run(name: str, goal: Goal, seed: int, launched: float, limit: float, line: Connection) -> None:
    """Train in this process, and send what was measured."""
    warnings.simplefilter("ignore")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    clock = Clock(launched, goal, limit)
    with contextlib.suppress(Over):
        CONTESTANTS[name](goal, clock, seed)
    seconds, last_return = clock.returns[-1]
    line.send(
        {"seconds": seconds, "reached": last_return >= goal.mean_return, "limit": limit, "returns": clock.returns}
    )


def launch(name: str, goal: Goal, seed: int, limit: float) -> dict[str, Any]:
    """Run in a process of its own."""
    context = multiprocessing.get_context("spawn")
    line, theirs = context.Pipe()
    process = context.Process(target=run, args=(name, goal, seed, time.time(), limit, theirs))
    process.start()
    theirs.close()
    result = line.recv()
    process.join()
    return result


def outcome(result: dict[str, Any]) -> str:
    """Format the seconds of a run, or how far it got."""
    seconds = f"{result['seconds']:.0f}"
    return seconds if result["reached"] else f"{result['returns'][-1][1]:.0f} after {seconds}"


def show(results: dict[str, Any]) -> None:
    """Print a table for each task."""
    columns = ("", "seconds of each seed", "median", "to the first evaluation")
    for task, result in results.items():
        rows = [
            (
                name,
                ", ".join(outcome(r) for r in runs),
                f"{statistics.median(r['seconds'] for r in runs):.0f}",
                f"{statistics.median(r['returns'][0][0] for r in runs):.0f}",
            )
            for name, runs in result["runs"].items()
        ]
        show_table(f"{task} to a return of {result['mean_return']:.0f}", columns, rows)


def main(
    seeds: int = 3,
    tasks: tuple[str, ...] = tuple(GOALS),
    only: tuple[str, ...] = tuple(CONTESTANTS),
    limit: float = LIMIT,
    smoke: bool = False,
) -> None:
    """Measure what has not been measured yet; delete the file of the results to begin anew.

    Args:
        seeds: runs of each.
        tasks: the tasks.
        only: the contestants.
        limit: seconds after which a run is given up.
        smoke: one seed, given up at its first evaluation; nothing is written.
    """
    if smoke:
        seeds, limit = 1, 0.0
    path = RESULTS / "time_to_goal.json"
    results: dict[str, Any] = json.loads(path.read_text())["tasks"] if path.exists() and not smoke else {}
    for task in tasks:
        result = results.setdefault(task, {**dataclasses.asdict(GOALS[task]), "runs": {}})
        for number, name in enumerate(rotating(only, seeds)):
            runs = result["runs"].setdefault(name, [])
            seed = number // len(only)
            if seed == len(runs):
                runs.append(launch(name, GOALS[task], seed, limit))
                print(f"{task}, {name}, seed {seed}: {outcome(runs[-1])}", flush=True)
                if not smoke:
                    write_json("time_to_goal", {"episodes": EPISODES, "interval": INTERVAL, "tasks": results})
    show(results)


if __name__ == "__main__":
    tyro.cli(main)
