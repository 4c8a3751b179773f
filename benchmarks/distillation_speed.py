"""Duration of an update of distillation: ours and RSL-RL's, on the same rollout.

Run ``python benchmarks/distillation_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine.
RSL-RL's teacher labels while collecting, ours in the update; both figures include the labelling.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from reference_rsl_rl import Arrays, reference_distillation
from reporting import comparison, show_table, speedup_text, write_json
from update_speed import limit_threads
from updates import in_turns

from rsl_jax.algorithms import Distillation
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.types import Rollout, Spec

AIM = 1.5
"""How many times faster than RSL-RL we want to be."""

GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.1}
MLP = {"class_name": "MLPModel", "hidden_dims": [512, 256, 128], "activation": "elu"}
GRU = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 256, "hidden_dims": [256, 128]}


@dataclass(frozen=True)
class Problem:
    """A student and its training settings.

    Attributes:
        name: for the table.
        student: its model.
        gradient_length: steps between two steps of the optimiser.
        num_epochs: passes over the rollout.
        num_envs: environments.
        num_steps: steps of a rollout.
        num_obs: size of an observation.
        num_actions: size of an action.
    """

    name: str
    student: dict[str, Any]
    gradient_length: int
    num_epochs: int = 2
    num_envs: int = 512
    num_steps: int = 24
    num_obs: int = 48
    num_actions: int = 12

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's config; the rest has its defaults."""
        return {
            "num_steps_per_env": self.num_steps,
            "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
            "algorithm": {
                "class_name": "Distillation",
                "num_learning_epochs": self.num_epochs,
                "gradient_length": self.gradient_length,
            },
            "student": {**self.student, "distribution_cfg": GAUSSIAN},
            "teacher": MLP,
        }


PROBLEMS = (
    Problem("MLP [512, 256, 128], gradient length 12", MLP, 12),
    Problem("GRU 256 + [256, 128], gradient length 12", GRU, 12),
    # RSL-RL's default, which does not divide the steps: updates and epochs begin at different ones.
    Problem("GRU 256 + [256, 128], gradient length 15", GRU, 15),
)


def made_up_rollout(problem: Problem, seed: int = 0) -> Arrays:
    """Create random observations and ends of episodes."""
    generator = np.random.default_rng(seed)
    shape = (problem.num_steps, problem.num_envs)
    return {
        "observations": generator.normal(size=(*shape, problem.num_obs)).astype(np.float32),
        "dones": generator.random(shape) < 0.01,
    }


def our_update(problem: Problem, made_up: Arrays) -> tuple[Callable[[], None], float]:
    """Compile our update, with donated buffers as in training; return it and the seconds that it took."""
    spec = Spec({"policy": (problem.num_obs,)}, num_envs=problem.num_envs, num_actions=problem.num_actions)
    algorithm = Distillation.build(BaseRunnerConfig.from_dict(problem.train_cfg()), spec)
    carry, actions = (
        algorithm.initial_carry(problem.num_envs),
        jnp.zeros((*made_up["dones"].shape, problem.num_actions)),
    )
    rollout = Rollout(
        observations={"policy": jnp.asarray(made_up["observations"])},
        actions=actions,
        log_probs=None,
        distribution_params=(actions, actions + 0.1),
        rewards=actions[..., 0],
        dones=jnp.asarray(made_up["dones"]),
        time_outs=jnp.zeros(made_up["dones"].shape, bool),
        carry=carry,
        last_observations={"policy": jnp.asarray(made_up["observations"][-1])},
        last_carry=carry,
    )
    states, key = [jax.jit(algorithm.init)(jax.random.key(0))], jax.random.key(1)
    start = time.perf_counter()
    compiled = jax.jit(algorithm.update, donate_argnums=0).lower(states[0], rollout, key).compile()
    compile_seconds = time.perf_counter() - start

    def update() -> None:
        state, _, _ = compiled(states.pop(), rollout, key)
        states.append(jax.block_until_ready(state))

    return update, compile_seconds


def measure(problem: Problem, rounds: int, pause: float) -> dict[str, Any]:
    """Measure the medians and their ratio for a problem."""
    made_up = made_up_rollout(problem)
    theirs = reference_distillation(problem.train_cfg(), made_up, problem.num_actions)
    ours, compile_seconds = our_update(problem, made_up)
    seconds = in_turns({"rsl_rl": theirs, "rsl_jax": ours}, rounds, pause)
    return {"problem": asdict(problem), **comparison(seconds), "compile_seconds": compile_seconds}


COLUMNS = ("student, 512 envs x 24", "RSL-RL", "rsl_jax", "speed-up", "compile")


def rows(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Format the rows of the table, under :data:`COLUMNS`."""
    return [
        (
            result["problem"]["name"],
            *(f"{1000 * result['median_seconds'][name]:.1f} ms" for name in ("rsl_rl", "rsl_jax")),
            speedup_text(result, AIM),
            f"{result['compile_seconds']:.1f} s",
        )
        for result in results
    ]


def main(rounds: int = 11, threads: int = 2, pause: float = 0.1, write: bool = True) -> None:
    """Measure all problems.

    Args:
        rounds: turns of each.
        threads: processor cores to use.
        pause: seconds of rest before each update.
        write: whether to write ``results/distillation_speed.json``.
    """
    limit_threads(threads)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="gradient_length")
        results = [measure(problem, rounds, pause) for problem in PROBLEMS]
    show_table("One update of distillation, labelling included, medians", COLUMNS, rows(results))
    if write:
        write_json("distillation_speed", {"results": results})


if __name__ == "__main__":
    tyro.cli(main)
