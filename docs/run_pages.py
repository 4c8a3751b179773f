"""Run the Python of the pages: ``python docs/run_pages.py [PAGE...]``; a program that fails fails the build.

A page's blocks are one program, in a folder of its own. Some pages speak of things that the reader has; what stands for
them here is below. A page with Python that is neither run here nor by tests is an error.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

# Most of the time goes into compiling, so XLA optimises as little as in the tests.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", f"{QUICK} --xla_force_host_platform_device_count=4")  # devices: docs/devices.md

DOCS = Path(__file__).resolve().parent
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]

ENV = """
import jax, jax.numpy as jnp, rsl_jax
from rsl_jax.runners import OnPolicyRunner
env = rsl_jax.make_env("gymnax/Pendulum-v1", num_envs=4)
small = {"class_name": "MLPModel", "hidden_dims": [8]}
gaussian = {"class_name": "GaussianDistribution"}
train_cfg = {"num_steps_per_env": 4, "algorithm": {"class_name": "PPO"}, "critic": small,
             "actor": {**small, "distribution_cfg": gaussian}}
"""
GIVEN = {
    "README.md": ENV,
    "architecture.md": ENV + "from rsl_jax import make_train; cfg = train_cfg; rates = jnp.array([1e-3, 1e-2])",
    "checkpoints.md": ENV
    + """
runner = OnPolicyRunner(env, train_cfg, log_dir="logs/run")
runner.learn(1)
""",
    "configuration.md": """
import pathlib
pathlib.Path("config").mkdir()
pathlib.Path("config/my_training.yaml").write_text("runner: {num_steps_per_env: 8}")
""",
    "devices.md": ENV + "from rsl_jax import make_train; log_dir = 'logs'",
    "distillation.md": ENV
    + """
from rsl_jax.env import regroup
env = regroup(env, {"measured": ("policy", [0, 1]), "privileged": "policy"})
ppo_cfg = {**train_cfg, "obs_groups": {"actor": ["privileged"], "critic": ["privileged"]}}
OnPolicyRunner(env, ppo_cfg, log_dir="logs/teacher", console=False).learn(2)
ppo_state, _ = jax.jit(rsl_jax.make_train(env, ppo_cfg, 2))(jax.random.key(0))
ppo_cfg = {**ppo_cfg, "obs_groups": {"actor": ["measured"], "critic": ["privileged"]}}
keys = jax.random.split(jax.random.key(0), 2)
train_cfg = {"num_steps_per_env": 4, "algorithm": {"class_name": "Distillation", "gradient_length": 4},
             "teacher": small, "student": {**small, "distribution_cfg": gaussian},
             "obs_groups": {"student": ["measured"], "teacher": ["privileged"]}}
""",
    "first_run.md": "",
    "index.md": "",
    "logging.md": ENV
    + """
__file__ = rsl_jax.__file__
runner = OnPolicyRunner(env, train_cfg, log_dir="logs/cartpole/seed_0")
runner.learn(60)
""",
    "recurrent.md": ENV
    + """
runner, dones, observations = OnPolicyRunner(env, train_cfg), jnp.zeros(4, bool), {"policy": jnp.zeros((4, 3))}
""",
    "scaling.md": "",
}
ELSEWHERE = {
    "environments.md": "tests/env/test_environment_docs.py",
    "export.md": "tests/export/test_docs.py",
    "custom_parts.md": "tests/examples/test_examples.py",
    "checkpoints_rsl_rl.md": "needs PyTorch; tests/parity/test_rsl_rl_files.py",
    "robots.md": "needs MuJoCo Playground; tests/env/test_environment_docs.py, tests/env/test_go1.py",
    "symmetry.md": "needs MuJoCo Playground; tests/env/test_symmetry.py",
    "vision.md": "one line of examples/vision.py",
}
"""Pages whose programs are run by tests."""

SMALLER = {
    "playground/CartpoleBalance": "gymnax/Pendulum-v1",
    "num_envs=256": "num_envs=8",
    "num_learning_iterations=200": "num_learning_iterations=2",
    "num_learning_iterations=20 ": "num_learning_iterations=2 ",
    "num_learning_iterations=300": "num_learning_iterations=2",
    "num_learning_iterations=100": "num_learning_iterations=2",
    "num_iterations=100": "num_iterations=2",
    "num_iterations=300": "num_iterations=2",
    "model_499": "model_1",
    "model_299": "model_1",
    "cfg, 100)": "cfg, 2)",
    "cfg, 500,": "cfg, 2,",
    ".learn(500)": ".learn(2)",
}
"""What is shortened; nothing else is changed."""


def program(page: Path) -> str:
    """The Python of a page."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    text = "\n".join(blocks)
    for old, new in SMALLER.items():
        text = text.replace(old, new)
    return text


def main(names: list[str]) -> None:
    """Run the pages of these names, or all."""
    matplotlib.use("agg")
    unknown = [page.name for page in PAGES if program(page) and page.name not in {*GIVEN, *ELSEWHERE}]
    if unknown:
        raise SystemExit(f"docs/run_pages.py does not know what to do with the programs of {', '.join(unknown)}.")
    start_folder = Path.cwd()
    for page in PAGES:
        if page.name not in (names or GIVEN):
            continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                namespace: dict[str, object] = {"__name__": "page"}
                exec(GIVEN[page.name], namespace)
                exec(compile(program(page), str(page), "exec"), namespace)
            finally:
                os.chdir(start_folder)
        print(f"{page.name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
