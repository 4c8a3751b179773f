"""Comparison of learning curves: RSL-RL and rsl_jax on the same environments with the same config.

Every curve (task, library, seed) is written to a small file when it is complete, so that the benchmark can be stopped
and resumed:

    python benchmarks/learning_curves.py                                # all missing curves, then table and plot
    python benchmarks/learning_curves.py --only reacher --seeds 0 1     # some of them
    python benchmarks/learning_curves.py --draw-only                    # table and plot of the existing curves

Both sides start their environments at random points of an episode and report the same number: the mean return of the
last 100 finished episodes, after each iteration.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from reporting import RESULTS, markdown_table, show_table, write_json

CURVES = RESULTS / "curves"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "learning_curves.png"
LIBRARIES = {"rsl_jax": "rsl_jax", "rsl_rl": "RSL-RL 5.5.1"}
WINDOW = 100


@dataclass(frozen=True)
class Task:
    """A task for both libraries.

    Attributes:
        title: name in picture and table.
        env: name of the environment.
        iterations: length of a curve.
        num_envs: size of the batch.
        env_options: options of the environment.
        algorithm: what differs from the common ``algorithm`` section.
        init_std: initial standard deviation of the actions.
        num_steps: steps of a rollout.
        hidden_dims: of both models.
        actor: observation group of the actor.
        critic: observation group of the critic.
        highest: no return can be higher; None where there is no such limit.
    """

    title: str
    env: str
    iterations: int
    num_envs: int = 256
    env_options: Mapping[str, Any] = field(default_factory=dict)
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    init_std: float = 1.0
    num_steps: int = 32
    hidden_dims: tuple[int, ...] = (128, 128, 128)
    actor: str = "policy"
    critic: str = "policy"
    highest: float | None = None

    def config(self) -> dict[str, Any]:
        """RSL-RL's dict, for both libraries."""
        model = {
            "class_name": "MLPModel",
            "hidden_dims": list(self.hidden_dims),
            "activation": "elu",
            "obs_normalization": True,
        }
        distribution = {"class_name": "GaussianDistribution", "init_std": self.init_std}
        return {
            "num_steps_per_env": self.num_steps,
            "save_interval": 1_000_000,
            "obs_groups": {"actor": [self.actor], "critic": [self.critic]},
            "actor": {**model, "distribution_cfg": distribution},
            "critic": model,
            "algorithm": {
                "class_name": "PPO",
                "learning_rate": 1e-3,
                "schedule": "adaptive",
                "desired_kl": 0.01,
                "entropy_coef": 0.005,
                "num_learning_epochs": 5,
                "num_mini_batches": 4,
                **self.algorithm,
            },
        }

    @property
    def steps_per_iteration(self) -> int:
        """Steps of all environments together."""
        return self.num_envs * self.config()["num_steps_per_env"]


TASKS = {
    "cartpole": Task(
        "CartpoleBalance (playground)",
        "playground/CartpoleBalance",
        220,
        algorithm={"gamma": 0.98, "entropy_coef": 0.0},
        init_std=0.5,
        highest=1000.0,
    ),
    "pendulum": Task(
        "PendulumSwingup (playground)",
        "playground/PendulumSwingup",
        400,
        env_options={"config_overrides": {"action_repeat": 4}},
        algorithm={"gamma": 0.97},
        highest=1000.0,
    ),
    "reacher": Task(
        "reacher (brax)", "brax/reacher", 80, env_options={"max_episode_length": 200}, algorithm={"gamma": 0.95}
    ),
    # Playground's parameters for RSL-RL (`--preset rsl_rl`), except for what 256 environments need (it has thousands):
    # an adaptive rate, and less noise, as a robot that falls at once earns nothing. 3 million steps.
    "go1": Task(
        "Go1JoystickFlatTerrain (playground)",
        "playground/Go1JoystickFlatTerrain",
        490,
        algorithm={"gamma": 0.97, "entropy_coef": 0.01},
        init_std=0.5,
        num_steps=24,
        hidden_dims=(512, 256, 128),
        actor="state",
        critic="privileged_state",
    ),
}


# --- the two libraries -----------------------------------------------------------------------------------------------


def curves_of_rsl_jax(task: Task, seeds: list[int], time_out_bootstrap: str) -> Iterator[np.ndarray]:
    """Train a curve ``[iterations]`` for each seed by rsl_jax; compiled once.

    This is what ``OnPolicyRunner.learn(iterations, init_at_random_ep_len=True)`` does, without compiling for each seed.
    """
    import jax

    from rsl_jax import RunnerConfig, make_env
    from rsl_jax.training import spec_of
    from rsl_jax.training.loops import make_loop
    from rsl_jax.training.sharding import Devices
    from rsl_jax.training.train import algorithm_factory

    cfg = task.config()
    cfg["algorithm"]["time_out_bootstrap"] = time_out_bootstrap
    runner_config = RunnerConfig.from_dict(cfg)
    env = make_env(task.env, num_envs=task.num_envs, **task.env_options)
    devices = Devices.choose(None)
    loop = make_loop(env, runner_config, algorithm_factory(runner_config, spec_of(env), devices), devices)
    for seed in seeds:
        key, lengths_key = jax.random.split(jax.random.key(seed))
        state, loop_state = loop.init(key)
        loop_state = loop.randomize_episode_lengths(loop_state, lengths_key)
        curve = np.full(task.iterations, np.nan)
        for it in range(task.iterations):
            outcome = loop.iterate(state, loop_state)
            state, loop_state = outcome.state, outcome.loop
            curve[it] = outcome.metrics["Train/mean_reward"]
        yield curve


def curves_of_rsl_rl(task: Task, seeds: list[int], torch_threads: int) -> Iterator[np.ndarray]:
    """Train a curve ``[iterations]`` for each seed by RSL-RL's runner in the same compiled environment."""
    import torch
    from rsl_rl.runners import OnPolicyRunner
    from rsl_rl_env import RslRlEnv

    from rsl_jax import make_env

    class Recorded(RslRlEnv):
        """RSL-RL's runner that records the returns of finished episodes also without logs."""

        def follow(self, seed: int) -> None:
            self.reset(seed)
            self.sums, self.returns, self.curve = torch.zeros(self.num_envs), deque(maxlen=WINDOW), []

        def step(self, actions: torch.Tensor) -> tuple:
            observations, rewards, dones, extras = super().step(actions)
            self.sums = self.sums + rewards
            ended = dones > 0
            self.returns.extend(self.sums[ended].tolist())
            self.sums = torch.where(ended, 0.0, self.sums)
            if self._count % self._num_steps_per_env == 0:
                self.curve.append(np.mean(self.returns) if self.returns else np.nan)
            return observations, rewards, dones, extras

    torch.set_num_threads(torch_threads)
    cfg = task.config()
    pure = make_env(task.env, num_envs=task.num_envs, **task.env_options)
    env = Recorded(pure, seed=0, num_steps_per_env=cfg["num_steps_per_env"])
    for seed in seeds:
        torch.manual_seed(seed)
        env.follow(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            runner = OnPolicyRunner(env, copy.deepcopy(cfg), log_dir=None, device="cpu")
            runner.learn(task.iterations, init_at_random_ep_len=True)
        yield np.array(env.curve)


# --- what has been done already --------------------------------------------------------------------------------------


def identity(task: Task, library: str, time_out_bootstrap: str) -> str:
    """Return the settings that a stored curve must have been trained with to be reused."""
    own = {"time_out_bootstrap": time_out_bootstrap} if library == "rsl_jax" else {}
    options = {"env": task.env, "num_envs": task.num_envs, "env_options": dict(task.env_options)}
    return json.dumps({**options, "iterations": task.iterations, "config": task.config(), **own}, sort_keys=True)


def curve_path(name: str, library: str, seed: int) -> Path:
    """Return the path of a curve's file."""
    return CURVES / f"{name}-{library}-{seed}.npz"


def load_curve(name: str, library: str, seed: int, wanted: str) -> np.ndarray | None:
    """Load a stored curve ``[iterations]``; None if there is none with this config."""
    path = curve_path(name, library, seed)
    if not path.exists():
        return None
    with np.load(path) as stored:
        return stored["returns"] if str(stored["identity"]) == wanted else None


def train_missing(name: str, library: str, args: argparse.Namespace) -> None:
    """Train and store the missing curves of a task and a library."""
    task = TASKS[name]
    wanted = identity(task, library, args.time_out_bootstrap)
    seeds = [seed for seed in args.seeds if load_curve(name, library, seed, wanted) is None]
    if not seeds:
        return
    if library == "rsl_jax":
        curves = curves_of_rsl_jax(task, seeds, args.time_out_bootstrap)
    else:
        curves = curves_of_rsl_rl(task, seeds, args.torch_threads)
    CURVES.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    for seed, curve in zip(seeds, curves, strict=True):
        np.savez_compressed(curve_path(name, library, seed), returns=curve.astype(np.float32), identity=wanted)
        seconds, start = time.perf_counter() - start, time.perf_counter()
        print(f"{name} {library} seed {seed}: {curve[0]:.1f} -> {curve[-1]:.1f} in {seconds:.0f} s", flush=True)


# --- what comes out --------------------------------------------------------------------------------------------------


def band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean of curves ``[seeds, iterations]`` and half of its 95 % confidence interval (Student's t)."""
    from scipy.stats import t

    count = len(curves)
    error = curves.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(curves.shape[1])
    return curves.mean(axis=0), t.ppf(0.975, max(count - 1, 1)) * error


def compare(curves: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Compute the figures of one task; ``curves`` by library, each ``[seeds, iterations]``."""
    from scipy.stats import ttest_ind

    bands = {library: band(stack) for library, stack in curves.items()}
    (ours, our_width), (theirs, their_width) = bands["rsl_jax"], bands["rsl_rl"]
    overlap = np.abs(ours - theirs) <= our_width + their_width
    known = np.isfinite(ours) & np.isfinite(theirs)
    return {
        "seeds": {library: len(stack) for library, stack in curves.items()},
        "final_mean": {library: float(mean[-1]) for library, (mean, _) in bands.items()},
        "final_ci95": {library: float(width[-1]) for library, (_, width) in bands.items()},
        "final_returns": {library: stack[:, -1].round(2).tolist() for library, stack in curves.items()},
        "final_bands_overlap": bool(overlap[-1]),
        "final_welch_p": float(ttest_ind(*(stack[:, -1] for stack in curves.values()), equal_var=False).pvalue),
        "overlap_fraction": float(overlap[known].mean()),
        "mean": {library: mean.round(3).tolist() for library, (mean, _) in bands.items()},
        "ci95": {library: width.round(3).tolist() for library, (_, width) in bands.items()},
    }


def collect(args: argparse.Namespace) -> dict[str, dict[str, np.ndarray]]:
    """Collect all stored curves by task and library, of the tasks that both libraries have learned."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, task in TASKS.items():
        wanted = {library: identity(task, library, args.time_out_bootstrap) for library in LIBRARIES}
        stacks = {
            library: [c for seed in args.seeds if (c := load_curve(name, library, seed, wanted[library])) is not None]
            for library in LIBRARIES
        }
        if all(stacks.values()):
            found[name] = {library: np.stack(stack) for library, stack in stacks.items()}
    return found


def report(curves: Mapping[str, Mapping[str, np.ndarray]], time_out_bootstrap: str) -> None:
    """Write the figures and print them."""
    results = {
        name: {
            "env": TASKS[name].env,
            "env_options": dict(TASKS[name].env_options),
            "steps_per_iteration": TASKS[name].steps_per_iteration,
            "iterations": TASKS[name].iterations,
            **compare(stacks),
            "config": TASKS[name].config(),
        }
        for name, stacks in curves.items()
    }
    columns = (
        "task",
        "steps",
        "seeds",
        "rsl_jax",
        "RSL-RL 5.5.1",
        "bands overlap at the end",
        "... of iterations",
        "p",
    )
    rows = [
        (
            TASKS[name].title,
            f"{r['steps_per_iteration'] * r['iterations'] / 1000:.0f}k",
            " / ".join(str(n) for n in r["seeds"].values()),
            *(f"{r['final_mean'][lib]:.1f} ± {r['final_ci95'][lib]:.1f}" for lib in LIBRARIES),
            "yes" if r["final_bands_overlap"] else "no",
            f"{100 * r['overlap_fraction']:.0f} %",
            f"{r['final_welch_p']:.2f}",
        )
        for name, r in results.items()
    ]
    write_json("learning_curves", {"time_out_bootstrap": time_out_bootstrap, "window": WINDOW, "tasks": results})
    (RESULTS / "learning_curves.md").write_text(markdown_table(columns, rows) + "\n", encoding="utf-8")
    show_table("Return of the last 100 episodes after training (mean ± 95 % confidence interval)", columns, rows)


def draw(curves: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Plot one panel per task: mean and 95 % band of each library over environment steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    styles = {"rsl_jax": ("#0b6e99", "-"), "rsl_rl": ("#d9730d", "--")}
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.8 * columns, 3.3 * rows), squeeze=False)
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    for axis, (name, stacks) in zip(axes.flat, curves.items(), strict=False):
        task = TASKS[name]
        steps = np.arange(1, task.iterations + 1) * task.steps_per_iteration / 1e3
        for library, label in LIBRARIES.items():
            color, line = styles[library]
            mean, width = band(stacks[library])
            axis.fill_between(steps, mean - width, mean + width, color=color, alpha=0.18, linewidth=0)
            axis.plot(steps, mean, line, color=color, linewidth=1.8, label=label)
        axis.set_title(f"{task.title}, {min(map(len, stacks.values()))} seeds", fontsize=10)
        axis.set_xlabel("environment steps (thousands)")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(0, steps[-1])
        if task.highest is not None:
            axis.set_ylim(0, min(1.02 * task.highest, axis.get_ylim()[1]))
    axes[0, 0].legend(frameon=False, loc="lower right", fontsize=9)
    figure.supylabel("mean return of the last 100 episodes", fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), help="tasks to train")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--draw-only", action="store_true", help="train nothing")
    parser.add_argument("--no-report", action="store_true", help="train only, to draw later")
    parser.add_argument(
        "--time-out-bootstrap",
        choices=("final", "current"),
        default="final",
        help="rsl_jax's time-out bootstrap: the final observation (default), or the one before, as in RSL-RL",
    )
    parser.add_argument("--torch-threads", type=int, default=1, help="one is RSL-RL's fastest with networks this small")
    return parser.parse_args()


def main() -> None:
    args = parse()
    if not args.draw_only:
        for name in args.only:
            for library in args.libraries:
                train_missing(name, library, args)
    if not args.no_report:
        curves = collect(args)
        if not curves:
            raise SystemExit("No task has been learned by both libraries yet: there is nothing to draw.")
        report(curves, args.time_out_bootstrap)
        draw(curves, PICTURE)


if __name__ == "__main__":
    main()
