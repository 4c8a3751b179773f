"""Environments in PyTorch: conversion of arrays, and no second compilation."""

import jax
import numpy as np
import pytest

from rsl_jax.runners import OnPolicyRunner
from tests.helpers import small_config

torch = pytest.importorskip("torch", reason="torch is installed by CI")


class PointMasses:
    """Point masses in torch whose buffers are written over at every step, as simulators like to do."""

    num_envs, num_actions, max_episode_length, cfg = 4, 1, 5, {}

    def __init__(self, *, reports_time_outs=True):
        self.device = torch.device("cpu")
        self.reports_time_outs = reports_time_outs
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.observations = {"policy": torch.linspace(-1, 1, 2 * self.num_envs).reshape(self.num_envs, 2)}
        self.rewards = torch.zeros(self.num_envs)
        self.dones = torch.zeros(self.num_envs, dtype=torch.long)
        self.given = []

    def get_observations(self):
        return self.observations

    def step(self, actions):
        state = self.observations["policy"]
        state[:, 1] = 0.9 * state[:, 1] + 0.1 * actions[:, 0].clamp(-1, 1)
        state[:, 0] += 0.1 * state[:, 1]
        actions.zero_()  # the environment may write to what it is given
        self.rewards.copy_(-state[:, 0].abs())
        self.episode_length_buf += 1
        self.dones.copy_(self.episode_length_buf >= self.max_episode_length)
        self.episode_length_buf[self.dones.bool()] = 0
        state[self.dones.bool()] = 0.5
        self.given.append((state.clone(), self.rewards.clone(), self.dones.clone()))
        extras = {"time_outs": self.dones.bool()} if self.reports_time_outs else {}
        return self.observations, self.rewards, self.dones, extras


def runner_of(env, kind="mlp", **algorithm):
    cfg = small_config(**algorithm).to_dict()
    if kind == "gru":
        for model in ("actor", "critic"):
            cfg[model] = {**cfg[model], "class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 3}
    return OnPolicyRunner(env, cfg, console=False)


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_nothing_is_compiled_after_the_first_iteration(kind, compilations, tmp_path):
    runner = runner_of(PointMasses(), kind, num_mini_batches=2)
    runner.learn(1)
    runner.save(tmp_path / "model")
    with compilations() as names:
        runner.learn(2)
    runner.load(tmp_path / "model")
    with compilations() as after_loading:
        runner.learn(1)
    assert (names, after_loading) == ([], [])


def test_what_is_learned_from_is_what_was_given(monkeypatch):
    """Although the environment has written over its arrays since."""
    env = PointMasses()
    runner = runner_of(env)
    collected = []
    learn = runner._loop._learn
    monkeypatch.setattr(
        runner._loop, "_learn", lambda *args: (collected.append(jax.tree.map(np.array, args[2])), learn(*args))[1]
    )
    first = env.observations["policy"].clone()
    runner.learn(1)
    (acted, last, _, _), (rewards, dones, time_outs) = collected[0]
    seen = [observations["policy"] for observations, _ in acted]
    np.testing.assert_array_equal(seen[0], first)
    for step, (state, reward, done) in enumerate(env.given):
        np.testing.assert_array_equal((*seen[1:], last["policy"])[step], state)
        np.testing.assert_array_equal(rewards[step], reward)
        np.testing.assert_array_equal(dones[step], done)
        np.testing.assert_array_equal(time_outs[step], done.bool())
    assert all(np.any(step.actions != 0) for _, step in acted)  # the environment's copy was written over, not ours


def test_time_outs_come_in_all_steps_or_in_none():
    env = PointMasses()
    step = env.step
    env.step = lambda actions: (*step(actions)[:3], {"time_outs": env.dones.bool()} if len(env.given) % 2 else {})
    with pytest.raises(ValueError, match=r"time_outs'\] in \d of \d steps"):
        runner_of(env).learn(1)
    with pytest.warns(UserWarning, match="has not flagged any of them as time_outs"):
        runner_of(PointMasses(reports_time_outs=False)).learn(3)
