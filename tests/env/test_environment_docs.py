"""The examples of the pages on environments and robots run."""

import ast
import dataclasses
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from rsl_jax.env import JaxVecEnv, Sensors, VecEnv, make_env
from rsl_jax.env.mirrors import TERMS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "environments.md"
ROBOTS = DOCS / "robots.md"


@pytest.fixture(scope="module")
def blocks():
    """The page's Python, block by block."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def shown(blocks):
    """What the page defines and computes, all in one script."""
    namespace = {"print": lambda *_: None}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def test_twenty_lines_learn(blocks, shown):
    code = [line for line in blocks[0].splitlines() if line.strip() and not line.startswith(("#", "import", "from"))]
    assert len(code) <= 20
    rewards = shown["metrics"]["Train/mean_reward"]
    claim = int(re.search(r"about (\d+) of at most 100", blocks[1])[1])
    assert rewards[-1] > 0.9 * claim
    assert rewards[-1] > 2 * rewards[5]


def test_the_robot_has_a_name(blocks, tmp_path, monkeypatch):
    (tmp_path / "my_robot.py").write_text(blocks[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_robot", raising=False)  # of another test in this process
    env = make_env("my_robot:Cart", num_envs=3)
    assert (env.num_envs, env.num_actions, env.max_episode_length, env.step_dt) == (3, 1, 100, 0.05)


def test_the_batch(shown):
    env = shown["Carts"](4)
    worn = JaxVecEnv(env)
    for _ in range(50):
        before = worn.get_observations()["policy"]
        observations, _, dones, extras = worn.step(-jnp.sign(before))
    assert dones.tolist() == extras["time_outs"].tolist() == [True] * 4
    assert extras["log"]["level"] > 1
    assert jnp.abs(extras["final_observations"]["policy"]).max() <= 0.1
    assert (observations["policy"] != extras["final_observations"]["policy"]).all()
    assert worn.episode_length_buf.tolist() == [0] * 4
    state, _ = env.reset(jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(env.step, state, jnp.zeros((4, 1)))[0]) == jax.tree.structure(state)


def test_the_simulator_outside(shown):
    env = shown["HostCart"](4)
    assert isinstance(env, VecEnv)
    for _ in range(50):
        _, _, dones, extras = env.step(-np.sign(env.get_observations()["policy"]))
    assert dones.tolist() == extras["time_outs"].tolist() == [True] * 4
    assert np.abs(extras["final_observations"]["policy"]).max() <= 0.1


def test_robots_of_ones_own_differ_and_have_sensors():
    page = ROBOTS.read_text()
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if "Cart()" in block or "class Cart" in block:
            exec(compile(block, str(ROBOTS), "exec"), namespace)
    state, observations = jax.eval_shape(namespace["env"].reset, jax.random.key(0))
    assert observations["policy"].shape == (8, 10)
    assert state.env.model["mass"].shape == (8,)
    assert namespace["Sensors"]().wrap(robot := namespace["Cart"]()) is robot
    (given,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(env_kwargs.*?)```", page, re.DOTALL))
    sensors = Sensors.of(given["env_kwargs"]["sensors"])
    assert set(given["env_kwargs"]["sensors"]) == {field.name for field in dataclasses.fields(sensors)}
    terms = re.search(r"terms = (\[.*\])", page)[1]
    assert set(ast.literal_eval(terms)) <= set(TERMS)
