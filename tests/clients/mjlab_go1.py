"""mjlab's own train and play for the Unitree Go1, unmodified, under ``python -m rsl_jax.as_rsl_rl``.

For an environment with mjlab, which brings rsl-rl-lib 5.4.2 (the test suite's has 5.5.1)::

    pip install -c constraints.txt mjlab==1.6.0     # constraints.txt: torch==2.13.0
    pip install -e .
    python tests/clients/mjlab_go1.py               # some minutes; an AssertionError where something does not hold

Each step is a process of its own, because ``rsl_rl`` means one library in some of them and the other in the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASK = "Mjlab-Velocity-Flat-Unitree-Go1"
EXAMPLE = Path(__file__).parents[2] / "examples" / "mjlab_go1.py"
STEPS = 100
TOLERANCE = 1e-5


def main():
    """All steps, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        common = ["mjlab.scripts.train", TASK, "--env.scene.num-envs", "8"]
        common += ["--gpu-ids", "None", "--agent.save-interval", "1"]
        train = [*common, "--agent.logger", "tensorboard"]
        run("train", [*AS_RSL_RL, "-m", *train, "--agent.max-iterations", "2"])
        (first,) = Path("logs/rsl_rl/go1_velocity").iterdir()
        assert sorted(path.name for path in first.glob("*.pt")) == ["model_0.pt", "model_1.pt"]
        checkpoint = first / "model_1.pt"
        assert (first / f"{first.name}.onnx").is_file(), "mjlab's hook did not write the policy"

        run("resume", [*AS_RSL_RL, "-m", *train, "--agent.max-iterations", "1", "--agent.resume", "True"])
        (second,) = set(Path("logs/rsl_rl/go1_velocity").iterdir()) - {first}
        assert [path.name for path in second.glob("*.pt")] == ["model_1.pt"]  # RSL-RL, too, does that one again

        theirs, ours = Path("rsl_rl.npz").absolute(), Path("rsl_jax.npz").absolute()
        play = [__file__, "play", str(checkpoint.absolute()), str(theirs)]
        run("play with rsl-rl-lib", [sys.executable, *play])
        run("play with rsl_jax", [*AS_RSL_RL, *play, str(ours)])
        compare(theirs, ours, next(first.glob("*.onnx")))

        os.mkdir("other")  # what rsl-rl-lib wrote goes on here, with mjlab's own logger, which is W&B
        os.chdir("other")
        run("train with rsl-rl-lib", [sys.executable, "-m", *train, "--agent.max-iterations", "2"])
        (before,) = Path("logs/rsl_rl/go1_velocity").iterdir()
        resume = ["--agent.max-iterations", "2", "--agent.resume", "True"]
        run("resume what rsl-rl-lib wrote", [*AS_RSL_RL, "-m", *common, *resume], WANDB_MODE="offline")
        (after,) = set(Path("logs/rsl_rl/go1_velocity").iterdir()) - {before}
        assert sorted(path.name for path in after.glob("*.pt")) == ["model_1.pt", "model_2.pt"]
        assert list(after.glob("wandb/offline-run-*")) or list(Path().glob("**/offline-run-*")), "W&B kept nothing"
        os.chdir("..")

        small = ["--num-envs", "8", "--iterations", "1", "--steps", "10", "--log-dir", "example"]
        run("example", [sys.executable, str(EXAMPLE), *small])
        written = {path.name for path in Path("example").iterdir()}
        assert {"model_0.pt", "policy.pt", "policy.onnx"} <= written, written


AS_RSL_RL = [sys.executable, "-m", "rsl_jax.as_rsl_rl"]


def run(what, command, **variables):
    """Run a step, with further environment variables, and say how long it took; its output is shown where it fails."""
    start = time.monotonic()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{what}: {done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    assert "ONNX export failed" not in done.stdout, done.stdout[-3000:]
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)


def compare(theirs, ours, onnx_file):
    """Deterministic actions of both libraries, and of the file that mjlab's hook wrote, on the same observations."""
    import numpy as np
    import onnxruntime

    theirs, ours = np.load(theirs), np.load(ours)
    assert json.loads(str(theirs["facts"]))["library"] == "rsl_rl"
    assert json.loads(str(ours["facts"]))["library"] == "rsl_jax"
    assert json.loads(str(ours["facts"]))["checkpoints"] == ["model_0.pt", "model_1.pt"]
    assert theirs["actions"].shape == (STEPS, 8, 12)
    assert theirs["actions"].std() > 0.01
    difference = np.abs(theirs["actions"] - ours["actions"]).max()
    session = onnxruntime.InferenceSession(str(onnx_file))
    robot = [session.run(None, {"obs": observation[:1]})[0] for observation in theirs["actor"]]
    exported = np.abs(np.stack(robot) - ours["actions"][:, :1]).max()
    print(f"largest difference over {STEPS} steps: {difference:.1e}, of the exported policy {exported:.1e}")
    assert difference < TOLERANCE
    assert exported < TOLERANCE


def play(checkpoint, recorded, answers=None):
    """mjlab's play with another viewer, which needs no screen.

    Args:
        checkpoint: what play is given.
        recorded: file of observations and actions of 100 steps: written without ``answers``, else read.
        answers: file to write the actions on those observations to.
    """
    import mjlab.scripts.play
    import numpy as np
    import rsl_rl.runners
    import torch
    from tensordict import TensorDict

    library = rsl_rl.runners.OnPolicyRunner.__module__.partition(".")[0]

    class Viewer:
        def __init__(self, env, policy, checkpoint_manager):
            self.env, self.policy, self.checkpoints = env, policy, checkpoint_manager

        def run(self):
            names = [name for name, _ in self.checkpoints.fetch_available()]
            facts = json.dumps({"library": library, "checkpoints": names})
            seen = {"actor": [], "actions": []}
            with torch.inference_mode():
                if answers is None:
                    self.goes_on()
                    obs = self.env.get_observations()
                    for _ in range(STEPS):
                        seen["actor"].append(obs["actor"].numpy().copy())
                        seen["actions"].append(self.policy(obs).numpy().copy())
                        obs = self.env.step(self.policy(obs))[0]
                else:
                    policy = self.checkpoints.load_checkpoint(names[-1])  # what the viewer's menu does
                    for obs in np.load(recorded)["actor"]:
                        actions = policy(TensorDict({"actor": torch.from_numpy(obs)}, batch_size=[len(obs)]))
                        seen["actions"].append(actions.numpy().copy())
            np.savez(answers or recorded, facts=facts, **{name: np.stack(x) for name, x in seen.items() if x})

        def goes_on(self):
            """The whole checkpoint, the optimiser included, is loaded strictly, and trained on."""
            from dataclasses import asdict

            from mjlab.tasks.registry import load_rl_cfg, load_runner_cls

            with torch.inference_mode(False):
                runner = load_runner_cls(TASK)(self.env, asdict(load_rl_cfg(TASK)), device="cpu")
                runner.load(checkpoint)
                assert runner.current_learning_iteration == 1
                runner.learn(1)

    mjlab.scripts.play.ViserPlayViewer = Viewer
    sys.argv = [
        "play",
        TASK,
        "--checkpoint-file",
        checkpoint,
        "--num-envs",
        "8",
        "--device",
        "cpu",
        "--viewer",
        "viser",
    ]
    mjlab.scripts.play.main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["play"]:
        play(*sys.argv[2:])
    else:
        main()
