"""Runs that are going to be killed: each continues from the newest checkpoint of its folder.

``python -m tests.chaos.life`` reads ``KIND ITERATIONS LOG_DIR`` from standard input, a line a life, and forks a process
for each. This says on standard output that it is ``born``, when it is ``ready``, and before and after each checkpoint
``saving`` and ``saved``, with its name; in the end it has ``died``, with its exit status. Imports take longer than
training, so they are done once; nothing has been computed by then and there is one thread, so forking is safe.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from pathlib import Path

import jax

from rsl_jax.checkpoint import latest_checkpoint
from rsl_jax.env import vectorize
from rsl_jax.runners import DistillationRunner, OnPolicyRunner, on_policy_runner
from tests.environments import HalfSeen
from tests.helpers import small_config

KINDS = ("ppo", "gru", "rnd", "distillation")
GRU = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 5, "hidden_dims": [6]}


def make_runner(kind, log_dir, seed=3):
    """A run as small as it can be, that saves after each iteration."""
    env = vectorize(HalfSeen(), 8, max_episode_length=7, step_dt=1.0)
    run = {
        "num_steps_per_env": 6,
        "save_interval": 1,
        "logger": None,
    }  # TensorBoard's takes as long to import as the rest
    cfg = small_config(num_learning_epochs=1).to_dict() | run
    cfg["obs_groups"] = {"actor": ["policy"], "critic": ["privileged"]}
    if kind == "gru":
        cfg["actor"], cfg["critic"] = cfg["actor"] | GRU, cfg["critic"] | GRU
    if kind == "rnd":
        cfg["algorithm"]["rnd_cfg"] = {"weight": 0.5, "num_outputs": 3, "reward_normalization": True}
        cfg["obs_groups"]["rnd_state"] = ["privileged"]
    if kind != "distillation":
        return OnPolicyRunner(env, cfg, log_dir, seed=seed, console=False)
    distillation = {
        **run,
        "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
        "algorithm": {"class_name": "Distillation", "gradient_length": 3},
        "student": {**cfg["actor"], **GRU},
        "teacher": cfg["actor"],
    }
    return DistillationRunner(env, distillation, log_dir, seed=seed, console=False)


def make_teacher(folder):
    """Write the checkpoint that distillation begins with, where there is none yet."""
    path = Path(folder) / "teacher"
    if not path.exists():
        make_runner("ppo", None, seed=1).save(path)
    return path


def say(word, number=""):
    """Tell who watches."""
    print(word, number, flush=True)


def live(kind, log_dir, iterations):
    """Train to the end."""
    save = on_policy_runner.save_checkpoint

    def save_and_tell(path, *args):
        say("saving", Path(path).name)
        save(path, *args)
        say("saved", Path(path).name)

    on_policy_runner.save_checkpoint = save_and_tell
    runner = make_runner(kind, log_dir)
    newest = latest_checkpoint(log_dir)
    if newest is not None:
        runner.load(newest)
    elif kind == "distillation":
        runner.load(make_teacher(Path(log_dir).parent))
    say("ready")
    left = iterations - int(runner.state.iteration)
    if left > 0:
        runner.learn(left)


def serve():
    """Fork a process for each life that is asked for, one after another."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    assert len(os.listdir("/proc/self/task")) == 1, "forking is safe with a single thread only"
    for line in sys.stdin:
        kind, iterations, log_dir = line.rstrip("\n").split(" ", 2)
        child = os.fork()
        if not child:
            say("born", os.getpid())
            try:
                live(kind, log_dir, int(iterations))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        say("died", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    serve()
