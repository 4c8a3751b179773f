"""One small run of every kind, as several processes and one process train them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import DistillationRunner, OnPolicyRunner
from rsl_jax.trees import plain_leaves
from tests.environments import HalfSeen, PointMass
from tests.helpers import small_config

NUM_ENVS, NUM_STEPS, EPISODE_LENGTH = 16, 6, 7
"""Environments of a run in all processes together, steps of a rollout, steps of an episode."""

ITERATIONS, SEED = 3, 3
"""Checkpoints follow the first iteration and the last."""

CASES = ("mlp", "gru", "rnd", "distillation", "host")
ON_EIGHT = ("lstm", "cnn")
"""Those that train on four devices of each of two processes; with their critics (GRU, MLP) all kinds of models."""

TEACHER = "teacher"
"""Checkpoint of a PPO run whose actor sees what the student of distillation does not."""


class Filmed(HalfSeen):
    """A point mass with a camera that sees a bright column where it is."""

    def _groups(self, state):
        columns = jnp.exp(-jnp.square(jnp.linspace(-2.0, 2.0, 5) - state[0]))
        return {"policy": state, "camera": jnp.broadcast_to(columns, (1, 4, 5))}


def ppo(**changes):
    """One mini-batch and epoch, because nothing here depends on more."""
    cfg = small_config(num_learning_epochs=1, **changes.pop("algorithm", {})).to_dict()
    return {**cfg, "num_steps_per_env": NUM_STEPS, **changes}


def config_of(case):
    """The config of a case."""
    if case in ("gru", "lstm"):
        cfg = ppo()
        for name, kind in (("actor", case), ("critic", "gru")):
            cfg[name] |= {"class_name": "RNNModel", "rnn_type": kind, "rnn_hidden_dim": 5, "hidden_dims": [6]}
        return cfg
    if case == "cnn":
        cfg = ppo(obs_groups={"actor": ["policy", "camera"], "critic": ["policy"]})
        cfg["actor"] |= {"class_name": "CNNModel", "cnn_cfg": {"output_channels": [2], "kernel_size": 3}}
        return cfg
    if case == "rnd":
        sizes = {"num_outputs": 4, "predictor_hidden_dims": [8], "target_hidden_dims": [8]}
        return ppo(algorithm={"rnd_cfg": {**sizes, "state_normalization": True, "reward_normalization": True}})
    if case == TEACHER:
        return ppo(obs_groups={"actor": ["privileged"], "critic": ["privileged"]})
    if case == "distillation":
        models = {"student": {**ppo()["actor"], "obs_normalization": False}, "teacher": ppo()["actor"]}
        return {
            "num_steps_per_env": NUM_STEPS,
            "save_interval": 2,
            "obs_groups": {"student": ["policy"], "teacher": ["privileged"]},
            "algorithm": {"class_name": "Distillation", "gradient_length": 3, "num_learning_epochs": 1},
            **models,
        }
    return ppo()


def make_runner(case, folder, log_dir=None, **options):
    """The runner of a case; ``folder`` holds the teacher."""
    num_envs = NUM_ENVS // jax.process_count() if case == "host" else NUM_ENVS
    robot = {TEACHER: HalfSeen, "distillation": HalfSeen, "cnn": Filmed}.get(case, PointMass)()
    env = vectorize(robot, num_envs, max_episode_length=EPISODE_LENGTH, step_dt=0.5)
    if case == "host":
        env = JaxVecEnv(env, key=jax.random.key(jax.process_index()))
    kind = DistillationRunner if case == "distillation" else OnPolicyRunner
    runner = kind(env, config_of(case), log_dir, seed=SEED, console=False, **options)
    if case == "distillation":
        runner.load(folder / TEACHER)
    return runner


def numbers_of(runner):
    """What this process holds of the parameters and all else that must be the same in every process, by path."""
    state = {**vars(runner.state), "memory": {}}
    kept = {
        "state": state,
        "episodes": vars(runner.loop_state.episodes) | {"running": {}},
        "key": runner.loop_state.key,
    }
    return {path: np.asarray(leaf) for path, leaf in plain_leaves(kept).items()} | {
        f"metrics/{name}": np.asarray(value) for name, value in runner.metrics.items()
    }
