"""Symmetry: the contract of mirrors, its errors and effects; tests/parity compares its numbers with RSL-RL's."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO
from rsl_jax.config import CategoricalDistributionConfig, Mirror, MirrorSpec, RunnerConfig, SymmetryConfig
from rsl_jax.env import vectorize
from rsl_jax.extensions import Extension, combine
from rsl_jax.extensions.mirror import mirror_function
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import init_states, make_iteration, make_train
from rsl_jax.types import Spec
from tests.environments import PointMass
from tests.helpers import small_config
from tests.parity.mirrors import MIRROR, mirror

MIRRORED = MirrorSpec({"policy": Mirror(2, flip=(0, 1))}, Mirror(1, flip=(0,)))
"""Of a point mass: what is on the right comes to the left."""


def point_mass(env, obs, actions):
    """The same as a function."""
    del env
    both = lambda x: jnp.concatenate([x, -x])  # noqa: E731
    return None if obs is None else {"policy": both(obs["policy"])}, None if actions is None else both(actions)


def symmetric_config(**section):
    return small_config(symmetry_cfg=SymmetryConfig(**{"mirror_spec": MIRRORED, **section}))


def build(function=None, *, env=object(), **spec):
    section = {"data_augmentation_func": function, "mirror_spec": None} if function else {}
    spec = {"observations": {"policy": (2,)}, "num_actions": 1, "num_envs": 8, "env": env, **spec}
    return PPO.build(symmetric_config(use_mirror_loss=True, **section), Spec(**spec))


# --- mirrors ----------------------------------------------------------------------------------------------------------


def test_a_mirror_spec_is_the_function_it_stands_for():
    cfg = RunnerConfig.from_dict(
        {"algorithm": {"class_name": "PPO", "symmetry_cfg": {"use_mirror_loss": True, "mirror_spec": MIRROR}}}
    )
    function = mirror_function(cfg.algorithm.symmetry_cfg.mirror_spec)
    generator = np.random.default_rng(0)
    obs = {name: jnp.asarray(generator.normal(size=(4, size))) for name, size in (("policy", 5), ("privileged", 4))}
    actions = jnp.asarray(generator.normal(size=(4, 3)))
    ours, theirs = function(None, obs, actions), mirror(None, obs, actions)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    image = jax.tree.map(lambda x: x[4:], ours)
    again = jax.tree.map(lambda x: x[4:], function(None, *image))
    jax.tree.map(np.testing.assert_array_equal, again, (obs, actions))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda env, obs, actions: obs, r"must return a tuple \(obs, actions\)"),
        (lambda env, obs, actions: point_mass(env, obs, actions)[::-1], r"failed on random samples|None"),
        (
            lambda env, obs, actions: jax.tree.map(lambda x: jnp.concatenate([-x, x]), (obs, actions)),
            r"does not return the originals of obs\['policy'\] first",
        ),
        (
            lambda env, obs, actions: jax.tree.map(lambda x: x.astype(jnp.bfloat16), point_mass(env, obs, actions)),
            r"returned shape \(6, 2\) and type bfloat16",
        ),
        (lambda env, obs, actions: (obs, actions), r"given obs\['policy'\] of shape \(3, 2\).*returned shape \(3, 2\)"),
        (
            lambda env, obs, actions: jax.tree.map(lambda x: x[:5], point_mass(env, obs, actions)),
            r"returned shape \(5, 2\)",
        ),
        (
            lambda env, obs, actions: jax.tree.map(
                lambda x: x[:, :1] * jnp.ones((1, 3)), point_mass(env, obs, actions)
            ),
            r"returned shape \(6, 3\)",
        ),
        (lambda env, obs, actions: ({}, point_mass(env, obs, actions)[1]), r"does not return obs\['policy'\]"),
        (
            lambda env, obs, actions: (point_mass(env, obs, actions)[0], mirror(env, obs, actions)[1]),
            r"failed on random samples.*is made of jax\.numpy|returned shape",
        ),
        (lambda env, obs, actions: point_mass(env, {"policy": obs["policy"]}, actions), r"one of which may be None"),
    ],
)
def test_functions_that_break_their_contract_are_refused(function, message):
    with pytest.raises(TypeError, match=f"(?s){message}"):
        build(function)


def test_functions_get_the_environment_and_are_tried_out_only_where_there_is_one():
    seen = []

    def function(env, obs, actions):
        seen.append(env)
        return point_mass(env, obs, actions)

    env = object()
    build(function, env=env)
    assert set(map(id, seen)) == {id(env)}
    seen.clear()
    build(function, env=None)
    assert not seen


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"observations": {"policy": (3,)}}, r"observations\['policy'\] is of size 2, but the group has shape \(3,\)"),
        ({"num_actions": 2}, r"actions is of size 1, but the environment takes 2 actions"),
    ],
)
def test_mirrors_that_do_not_fit_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        build(**spec)


def test_choices_are_not_mirrored():
    cfg = symmetric_config(use_mirror_loss=True)
    cfg = dataclasses.replace(
        cfg, actor=dataclasses.replace(cfg.actor, distribution_cfg=CategoricalDistributionConfig())
    )
    spec = Spec({"policy": (2,)}, num_actions=2, num_envs=8, discrete=True)
    with pytest.raises(ValueError, match="actions of this environment are discrete"):
        PPO.build(cfg, spec)


def test_groups_that_models_look_at_must_be_mirrored():
    cfg = dataclasses.replace(
        symmetric_config(use_mirror_loss=True), obs_groups={"actor": ("policy",), "critic": ("policy", "extra")}
    )
    spec = Spec({"policy": (2,), "extra": (1,)}, num_actions=1, num_envs=8)
    with pytest.raises(ValueError, match=r"has no entry for 'extra'"):
        PPO.build(cfg, spec)


def test_recurrent_policies_are_refused():
    plain = symmetric_config(use_mirror_loss=True).to_dict()
    cfg = {**plain, "critic": {"class_name": "RNNModel", "rnn_hidden_dim": 4}}
    with pytest.raises(ValueError, match=r"feed-forward models"):
        PPO.build(RunnerConfig.from_dict(cfg), Spec({"policy": (2,)}, num_actions=1, num_envs=8))


# --- runs -------------------------------------------------------------------------------------------------------------


def env():
    return vectorize(PointMass(), 16, max_episode_length=20)


def test_the_mirror_loss_makes_a_policy_symmetric():
    losses = {}
    for coefficient in (0.0, 20.0):
        cfg = symmetric_config(use_mirror_loss=True, mirror_loss_coeff=coefficient)
        _, metrics = jax.jit(make_train(env(), cfg, 12))(jax.random.key(0))
        losses[coefficient] = float(metrics["Loss/symmetry"][-1])
    assert losses[20.0] < 0.1 * losses[0.0], losses


def test_a_function_is_traced_once_for_all_iterations():
    calls = []

    def function(env, obs, actions):
        calls.append(jax.tree.map(jnp.shape, (obs, actions)))
        return point_mass(env, obs, actions)

    cfg = symmetric_config(use_data_augmentation=True, data_augmentation_func=function, mirror_spec=None)
    runner = OnPolicyRunner(env(), cfg, console=False)
    runner.learn(1)
    traced = len(calls)
    runner.learn(3)
    assert len(calls) == traced
    assert runner.metrics["Loss/symmetry"] > 0
    assert not jax.tree.leaves(runner.state.extensions)


def test_neither_switch_warns_and_changes_nothing():
    with pytest.warns(UserWarning, match=r"its loss is only logged"):
        state, metrics = jax.jit(make_train(env(), symmetric_config(), 2))(jax.random.key(0))
    plain, _ = jax.jit(make_train(env(), small_config(), 2))(jax.random.key(0))
    assert np.all(metrics["Loss/symmetry"] > 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.params, plain.params)


def test_a_third_extension_needs_nothing_of_ppo():
    def prepare(state, memory, rollout):
        rewards = jnp.ones_like(rollout.rewards)
        return state + 1, memory, dataclasses.replace(rollout, rewards=rewards), {"Mine/reward": rewards}

    third = Extension(
        init=lambda key: jnp.zeros((), jnp.int32),
        prepare=prepare,
        loss=lambda act_at, actions, observations: (jnp.mean(jnp.square(actions)), {"effort": jnp.mean(actions**2)}),
        optimize=lambda state, observations: (state + 10, {}),
        metrics=lambda state: {"Mine/state": state},
        reward_tags=("Mine/reward",),
    )
    spec = Spec({"policy": (2,)}, num_actions=1, num_envs=16)
    algorithm = dataclasses.replace(PPO.build(small_config(), spec), extension=combine({"mine": third}))
    assert algorithm.reward_tags == ("Train/mean_reward", "Mine/reward")

    states = init_states(algorithm, env(), jax.random.key(0))
    _, _, metrics = jax.jit(make_iteration(algorithm, env(), num_steps=8))(*states)
    assert metrics["Mine/state"] == 1 + 4 * 10  # one rollout, two epochs of two mini-batches
    assert metrics["Loss/effort"] > 0
