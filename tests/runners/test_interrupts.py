"""Ctrl-C at any moment: the runner holds the state of the last finished iteration, saves it, and can continue."""

import _thread
import os
import random
import signal
import threading

import jax
import numpy as np
import pytest

from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.runners.signals import hold_signals
from rsl_jax.trees import restore
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

CHAOS = int(os.environ.get("RSL_JAX_CHAOS", "1"))
"""How many times as many interrupts as the usual few."""

CFG = {**small_config().to_dict(), "save_interval": 7}


@pytest.fixture(scope="module")
def env():
    return vectorize(PointMass(), 16, max_episode_length=20)


def learn_until_interrupted(runner, moment, monkeypatch):
    """Interrupt some seconds after the logger has started; before that there is nothing to lose."""
    timer = threading.Timer(moment, _thread.interrupt_main)
    start = runner.logger.start
    with monkeypatch.context() as patches:
        patches.setattr(runner.logger, "start", lambda *args: (start(*args), timer.start())[0])
        with pytest.raises(KeyboardInterrupt) as interrupt:
            runner.learn(10**6)
    timer.join()
    return interrupt.value


def check_left_behind(runner, interrupt):
    it = int(runner.state.iteration) - 1
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((runner.state, runner.loop_state)))
    assert runner.current_learning_iteration == it
    checkpoint = read_checkpoint(runner.checkpoint_path(it))
    assert checkpoint.metadata["iteration"] == it
    assert_trees_equal(restore(runner.state, checkpoint.state), runner.state)
    assert_trees_equal(restore(runner.loop_state, checkpoint.loop), runner.loop_state)
    note = f"The runner holds the state after iteration {it}, saved as {runner.checkpoint_path(it)}."
    notes = getattr(interrupt, "__notes__", [])
    assert notes in ([note], [])
    return len(notes)


@pytest.mark.filterwarnings("ignore:Episodes end after")
@pytest.mark.parametrize(("is_pure", "times"), [(True, 12 * CHAOS), (False, 6 * CHAOS)])
def test_interrupts_at_random_moments_lose_nothing(is_pure, times, env, tmp_path, monkeypatch):
    def build(log_dir):
        host = None if is_pure else JaxVecEnv(env, seed=1)
        return OnPolicyRunner(env if is_pure else host, CFG, log_dir, seed=3, console=False)

    runner, moments = build(tmp_path), random.Random(0)
    runner.logger.git_status_repos = []  # takes longer than the rest of it
    runner.learn(1)
    notes = 0  # there is none where the interrupt came before the first iteration or after the last
    for _ in range(times):
        notes += check_left_behind(runner, learn_until_interrupted(runner, moments.uniform(0.0, 0.1), monkeypatch))
    assert notes > times / 2
    runner.learn(1)
    iterations = int(runner.state.iteration)
    assert iterations > times / 10
    again = build(None)
    again.load(runner.checkpoint_path(iterations - 1))
    assert_trees_equal(again.state, runner.state)
    if is_pure:  # all in all it is the run that nobody has interrupted
        undisturbed = build(None)
        undisturbed.learn(iterations)
        assert_trees_equal(undisturbed.state, runner.state)
        assert_trees_equal(undisturbed.loop_state, runner.loop_state)


def receive_two(arrived, order):
    with hold_signals():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        order.append(list(arrived))


def test_signals_wait_while_they_are_held():
    arrived, order = [], []
    before = signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            receive_two(arrived, order)
        assert (order, arrived) == ([[]], [signal.SIGTERM])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(ValueError, match="mine"), hold_signals():
            raise ValueError("mine")
        signal.raise_signal(signal.SIGTERM)
        assert arrived == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_training_in_another_thread_is_not_concerned(env):
    failures = []

    def train():
        try:
            runner = OnPolicyRunner(env, CFG, console=False)
            runner.learn(1)
            assert np.isfinite(runner.metrics["Loss/value"])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert failures == []
