"""One of several processes that train: ``python -m tests.distributed.worker FOLDER ADDRESS PROCESSES ID WHAT...``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from rsl_jax import distributed


def main(folder, address, processes, process_id, *whats):
    """Do one thing after the other: train a case, or what is a function below."""
    folder, number = Path(folder), int(process_id)
    distributed.initialize(address, int(processes), number, time_limit=60)
    for what in whats:
        print(f"{what}:", flush=True)
        actions = {"until_killed": until_killed, "resume": resume}
        actions[what](folder, number) if what in actions else train(folder, number, what)
    print("done", flush=True)


def train(folder, number, case):
    """Train a case and write what this process then holds."""
    from tests.distributed.cases import ITERATIONS, ON_EIGHT, make_runner, numbers_of

    runner = make_runner(case, folder, folder / case, devices=4 if case in ON_EIGHT else 1)
    runner.learn(ITERATIONS, init_at_random_ep_len=case == "mlp")
    np.savez(folder / f"{case}-{number}.npz", **numbers_of(runner))


def until_killed(folder, number):
    """Go on from the run of two processes, until process 1 is killed after a few more checkpoints."""
    from tests.distributed.cases import make_runner

    runner = make_runner("mlp", folder, folder / "killed")
    runner.load(folder / "mlp" / "model_2")

    def kill_when_saved():
        while not (folder / "killed" / "model_8").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    if number == 1:
        threading.Thread(target=kill_when_saved, daemon=True).start()
    runner.learn(1_000_000)


def resume(folder, number):
    """Go on from the checkpoint that the killed run has left."""
    from rsl_jax.checkpoint import latest_checkpoint
    from tests.distributed.cases import make_runner, numbers_of

    runner = make_runner("mlp", folder, folder / "resumed")
    runner.load(latest_checkpoint(folder / "killed"))
    runner.learn(2)
    np.savez(folder / f"resumed-{number}.npz", **numbers_of(runner))


if __name__ == "__main__":
    import jax

    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    main(*sys.argv[1:])
    distributed.finish()
