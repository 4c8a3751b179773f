"""Overhead of a runner on a simulator outside JAX: training in a PyTorch environment whose step has almost no cost.

Run ``python benchmarks/host_env_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine. Both
libraries train in the same environment, alternating after each iteration, on one thread; the result is the ratio of
medians. The update is one step on one mini-batch, so collecting takes most of the time.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import tyro
from reporting import comparison, show_table, speedup_text, write_json
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner as Reference
from tensordict import TensorDict
from update_speed import limit_threads
from updates import in_turns

from rsl_jax.runners import OnPolicyRunner

NUM_OBS, NUM_ACTIONS = 48, 12


@dataclass(frozen=True)
class Size:
    """Size of a run.

    Attributes:
        num_envs: environments.
        num_steps: steps of a rollout.
        hidden_dims: of actor and critic.
    """

    num_envs: int
    num_steps: int = 24
    hidden_dims: tuple[int, ...] = (128, 64)


class Free(VecEnv):
    """Environment with the same observations at every step, and no end of an episode."""

    def __init__(self, num_envs: int, device: str = "cpu"):
        generator = torch.Generator().manual_seed(0)
        self.num_envs, self.num_actions, self.max_episode_length = num_envs, NUM_ACTIONS, 1000
        self.device, self.cfg = torch.device(device), {}
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=device)
        observations = torch.randn(num_envs, NUM_OBS, generator=generator).to(device)
        self._observations = TensorDict({"policy": observations}, batch_size=[num_envs])
        self._rewards = torch.randn(num_envs, generator=generator).to(device)
        self._dones = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._extras = {"time_outs": torch.zeros(num_envs, dtype=torch.bool, device=device)}

    def get_observations(self) -> TensorDict:
        """Return the current observations."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Do nothing."""
        return self._observations, self._rewards, self._dones, self._extras


def config(size: Size) -> dict[str, Any]:
    """Return the config of both libraries."""
    model = {"class_name": "MLPModel", "hidden_dims": list(size.hidden_dims), "activation": "elu"}
    gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0}
    return {
        "num_steps_per_env": size.num_steps,
        "save_interval": 10**9,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {"class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 1},
        "actor": {**model, "distribution_cfg": gaussian},
        "critic": model,
    }


def measure(size: Size, rounds: int, iterations: int, pause: float) -> dict[str, Any]:
    """Measure the seconds that both take for some iterations."""
    ours = OnPolicyRunner(Free(size.num_envs), config(size), console=False)
    theirs = Reference(Free(size.num_envs), config(size), device="cpu")

    def training(runner: Any) -> Callable[[], None]:
        def train() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                runner.learn(iterations)

        return train

    result = comparison(in_turns({"rsl_rl": training(theirs), "rsl_jax": training(ours)}, rounds, pause))
    steps = size.num_steps * iterations
    return {
        "size": asdict(size),
        **result,
        "microseconds_a_step": {name: 1e6 * median / steps for name, median in result["median_seconds"].items()},
    }


COLUMNS = ("environments", "RSL-RL, a step", "rsl_jax, a step", "speed-up")


def main(rounds: int = 15, iterations: int = 5, threads: int = 1, pause: float = 0.05, write: bool = True) -> None:
    """Measure all sizes.

    Args:
        rounds: turns of each.
        iterations: iterations of a turn.
        threads: processor cores to use.
        pause: seconds of rest before each turn.
        write: whether to write ``results/host_env_speed.json``.
    """
    limit_threads(threads)
    results = [measure(Size(num_envs), rounds, iterations, pause) for num_envs in (16, 1024, 4096)]
    table = []
    for result in results:
        times = [f"{result['microseconds_a_step'][name]:,.0f} us" for name in ("rsl_rl", "rsl_jax")]
        table.append((f"{result['size']['num_envs']:,}", *times, speedup_text(result)))
    show_table("Training in a simulator that costs nothing, one update an iteration included", COLUMNS, table)
    if write:
        write_json("host_env_speed", {"results": results})


if __name__ == "__main__":
    tyro.cli(main)
