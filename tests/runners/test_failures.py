"""External failures (a disk, a log writer, an environment) lose nothing of what was learned."""

import errno

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.env import Env, JaxVecEnv, vectorize
from rsl_jax.logging import LogWriter, read_scalars
from rsl_jax.runners import DistillationRunner, NonFiniteError, OnPolicyRunner, on_policy_runner
from rsl_jax.trees import restore
from rsl_jax.types import TimeStep
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def env():
    return vectorize(PointMass(), 16, max_episode_length=20)


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full while ``disk["error"]`` is set."""
    disk = {"error": None}
    save = on_policy_runner.save_checkpoint

    def save_if_there_is_room(*args, **kwargs):
        if disk["error"] is not None:
            raise disk["error"]
        return save(*args, **kwargs)

    monkeypatch.setattr(on_policy_runner, "save_checkpoint", save_if_there_is_room)
    return disk


def test_a_full_disk_is_warned_of_and_tried_again(env, tmp_path, disk):
    runner = OnPolicyRunner(env, small_config(), tmp_path / "run", seed=3, console=False)
    log = runner.logger.log

    def log_and_fill(it, *args, **kwargs):
        log(it, *args, **kwargs)
        disk["error"] = FULL if it in (0, 2) else None

    runner.logger.log = log_and_fill
    with pytest.warns(
        UserWarning, match=r"iteration \d could not be written.*No space left.*due after iteration"
    ) as said:
        runner.learn(5)
    assert len([w for w in said if "could not be written" in str(w.message)]) == 2
    assert {path.name for path in (tmp_path / "run").glob("model_[0-9]*")} == {"model_4"}


@pytest.mark.parametrize("error", [FULL, ValueError("RESOURCE_EXHAUSTED: Error writing file")])
def test_where_the_last_checkpoint_fails_the_state_can_be_saved_elsewhere(error, env, tmp_path, disk):
    runner = OnPolicyRunner(env, {**small_config().to_dict(), "save_interval": 50}, tmp_path / "run", console=False)
    runner.learn(1)
    disk["error"] = error
    with pytest.raises(OSError, match=r"The last checkpoint could not be written.*model_2") as failure:
        runner.learn(2)
    assert "runner.save(PATH) writes it elsewhere" in failure.value.__notes__[0]
    disk["error"] = None
    runner.save(tmp_path / "elsewhere")
    saved = read_checkpoint(tmp_path / "elsewhere")
    assert saved.metadata["iteration"] == 2
    assert_trees_equal(restore(runner.state, saved.state), runner.state)
    runner.learn(1)
    assert (tmp_path / "run" / "model_3").exists()


def test_what_cannot_be_saved_at_all_is_said_at_once(env, tmp_path, disk):
    runner = OnPolicyRunner(env, small_config(), tmp_path / "run", console=False)
    disk["error"] = TypeError("no such thing")
    with pytest.raises(TypeError, match="no such thing"):
        runner.learn(3)
    assert runner.current_learning_iteration == 0


class Raises(LogWriter):
    """A writer none of whose methods works."""

    def __init__(self, log_dir):
        del log_dir

    def _raise(self, *args):
        raise RuntimeError("broken")

    add_scalar = add_iteration = store_config = save_model = save_file = save_video = flush = stop = _raise


def test_a_writer_that_always_raises_costs_nothing(env, tmp_path):
    cfg = {**small_config().to_dict(), "logger": ["tensorboard", {"class_name": Raises}]}
    runner = OnPolicyRunner(env, cfg, tmp_path, console=False)
    with pytest.warns(RuntimeWarning, match="broken") as said:
        runner.learn(2)
    assert {"stop", "flush", "add_iteration"} <= {str(w.message).split("failed in ")[-1].split(":")[0] for w in said}
    assert (tmp_path / "model_1").exists()
    assert read_scalars(tmp_path)["Loss/value"].steps.tolist() == [0, 1]


def test_a_checkpoint_is_never_ahead_of_the_log(env, tmp_path, monkeypatch):
    runner = OnPolicyRunner(env, small_config(), tmp_path, console=False)
    logged = {}
    save = runner._save_to_log_dir

    def save_and_look(it):
        logged[it] = read_scalars(tmp_path)["Loss/value"].steps.tolist()
        save(it)

    monkeypatch.setattr(runner, "_save_to_log_dir", save_and_look)
    runner.learn(3)
    assert logged == {0: [0], 2: [0, 1, 2]}


def test_a_terminal_that_is_gone_does_not_end_training(env, tmp_path):
    runner = OnPolicyRunner(env, small_config(), tmp_path)
    start = runner.logger.start

    def start_without_terminal(*args):
        logger = start(*args)

        def update(status):
            raise OSError(errno.EIO, "Input/output error")

        logger._console.update = update
        return logger

    runner.logger.start = start_without_terminal
    runner.learn(2)
    assert (tmp_path / "model_1").exists()


class Breaks(JaxVecEnv):
    """Raises in a step of the third iteration."""

    steps = 0

    def step(self, actions):
        self.steps += 1
        if self.steps == 20:
            raise ConnectionError("the simulator is gone")
        return super().step(actions)


def test_a_host_environment_that_raises_leaves_the_last_iteration(env, tmp_path):
    cfg = {**small_config().to_dict(), "save_interval": 50}
    runner = OnPolicyRunner(Breaks(env), cfg, tmp_path, console=False)
    with pytest.raises(ConnectionError) as error:
        runner.learn(5)
    stepped, saved = error.value.__notes__
    assert "actions of shape [16, 1]" in stepped
    assert f"after iteration 1, saved as {tmp_path / 'model_1'}" in saved
    assert_trees_equal(restore(runner.state, read_checkpoint(tmp_path / "model_1").state), runner.state)
    runner.learn(1)
    assert runner.current_learning_iteration == 2


class CallsBack(Env):
    """A pure environment that asks Python, which fails in the second iteration."""

    num_envs, num_actions = 4, 1
    calls = 0

    def ask(self, actions):
        self.calls += 1
        if self.calls == 12:
            raise ConnectionError("the simulator is gone")
        return np.zeros(self.num_envs, np.float32)

    def reset(self, key):
        del key
        return jnp.zeros(self.num_envs), {"policy": jnp.ones((self.num_envs, 2))}

    def step(self, state, actions):
        rewards = jax.pure_callback(self.ask, jax.ShapeDtypeStruct((self.num_envs,), jnp.float32), actions)
        never = jnp.zeros(self.num_envs, bool)
        return state + 1, TimeStep({"policy": jnp.ones((self.num_envs, 2))}, rewards, never, never)


def test_a_compiled_iteration_that_fails_leaves_what_was_learned(tmp_path):
    runner = OnPolicyRunner(CallsBack(), {**small_config().to_dict(), "save_interval": 50}, tmp_path, console=False)
    with pytest.raises(Exception, match="simulator is gone") as error:
        runner.learn(5)
    assert any(f"after iteration 0, saved as {tmp_path / 'model_0'}" in note for note in error.value.__notes__)
    before = jax.tree.map(np.asarray, runner.state.params)
    assert_trees_equal(restore(runner.state, read_checkpoint(tmp_path / "model_0").state).params, before)
    runner.learn(1)
    assert runner.current_learning_iteration == 1


def test_a_report_of_a_custom_algorithm_is_named():
    error = NonFiniteError(3, {"mine.inner": 2, "rewards": 1}, "")
    assert error.names == ["rewards", "mine.inner"]
    assert "mine.inner (2 values)" in str(NonFiniteError(3, {"mine.inner": 2}, ""))


def test_a_runner_refuses_the_config_of_the_other(env):
    with pytest.raises(ValueError, match=r"'actor' and 'critic' \(algorithm PPO\).*use OnPolicyRunner"):
        DistillationRunner(env, small_config())
    with pytest.raises(ValueError, match=r"'student' and 'teacher'.*use DistillationRunner"):
        OnPolicyRunner(env, {"algorithm": {"class_name": "Distillation"}})
