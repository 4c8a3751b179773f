"""One run on several devices: the same numbers as on one, and the same parameters on all."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms.ppo import PPO
from rsl_jax.env import Env, JaxVecEnv, vectorize
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import init_states, make_train, spec_of
from rsl_jax.training.episodes import EpisodeStatistics, init_episodes, record_episodes
from rsl_jax.training.iteration import collect
from rsl_jax.training.sharding import EACH_ENV, EACH_STEP, EVERYWHERE, LOOP_SPECS, ROLLOUT_SPECS, STATE_SPECS, Devices
from tests.environments import LikeASimulator, PointMass
from tests.helpers import assert_same_on_all_devices, assert_trees_equal

CPUS = tuple(jax.devices("cpu"))
NUM_STEPS, NUM_ENVS = 8, 16


def two():
    return Devices(CPUS[:2])


@pytest.fixture(scope="module")
def trained(env, cfg, tmp_path_factory):
    """Four iterations on two devices, with checkpoints after the iterations 0, 2 and 3."""
    runner = OnPolicyRunner(env, cfg, tmp_path_factory.mktemp("run"), devices=CPUS[:2], seed=3, console=False)
    runner.learn(4)
    return runner


# --- one update ------------------------------------------------------------------------------------------------------


def backwards(key, n):
    del key
    return jnp.arange(n)[::-1]


def backwards_on_each(num_devices, num_mini_batches):
    """The permutation of all samples whose mini-batches hold what :func:`backwards` gives to those of each device."""

    def permute(key, n):
        del key
        samples = np.arange(n).reshape(NUM_STEPS, num_devices, -1).swapaxes(0, 1).reshape(num_devices, -1)[:, ::-1]
        return jnp.asarray(np.concatenate(np.split(samples, num_mini_batches, axis=1), axis=1).ravel()[order(n)])

    def order(n):
        size = n // num_devices // num_mini_batches
        return np.arange(n).reshape(num_devices, num_mini_batches, size).swapaxes(0, 1).ravel()

    return permute


@pytest.fixture(scope="module")
def rollout(env, cfg):
    """A state that has seen something, and a rollout in which episodes end."""
    algorithm = PPO.build(cfg, spec_of(env))

    def make(key):
        state, loop = init_states(algorithm, env, key)
        loop = dataclasses.replace(loop, env_state=loop.env_state.replace(episode_length=jnp.arange(NUM_ENVS)))
        _, rollout, _ = collect(algorithm, env, state, loop, key, num_steps=NUM_STEPS)
        return state, rollout

    state, rollout = jax.jit(make)(jax.random.key(5))
    assert rollout.time_outs.any()
    return state, rollout


def test_an_update_equals_that_of_one_device(env, cfg, rollout):
    devices, spec = two(), spec_of(env)
    whole = PPO.build(cfg, spec, permute=backwards_on_each(2, cfg.algorithm.num_mini_batches))
    part = PPO.build(cfg, devices.part_of_spec(spec), axis_name=devices.axis_name, permute=backwards)
    update = devices.run(part.update, (STATE_SPECS, ROLLOUT_SPECS, EVERYWHERE), (STATE_SPECS, EACH_ENV, EVERYWHERE))
    expected, _, expected_metrics = jax.jit(whole.update)(*rollout, jax.random.key(0))
    state, _, metrics = jax.jit(update)(*rollout, jax.random.key(0))
    assert_same_on_all_devices(state)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # noqa: E731
    jax.tree.map(close, state, expected)
    jax.tree.map(close, metrics, expected_metrics)


def test_episodes_are_counted_as_on_one_device():
    rng = np.random.default_rng(0)
    rewards = {"Train/mean_reward": jnp.asarray(rng.normal(size=(20, NUM_ENVS)), jnp.float32)}
    dones = jnp.asarray(rng.random((20, NUM_ENVS)) < 0.5)  # more than fit into the ring
    devices, specs = two(), LOOP_SPECS.episodes
    record = devices.run(
        lambda *args: record_episodes(*args, axis_name=devices.axis_name),
        (specs, EACH_STEP, EACH_STEP),
        (specs, EACH_STEP),
    )
    start = init_episodes(NUM_ENVS, tuple(rewards))
    episodes, lengths = jax.jit(record)(start, rewards, dones)
    assert_trees_equal((episodes, lengths), jax.jit(record_episodes)(start, rewards, dones))
    assert_same_on_all_devices(EpisodeStatistics({}, episodes.finished, episodes.count))


# --- whole runs ------------------------------------------------------------------------------------------------------


def test_all_devices_hold_the_same_parameters(trained):
    assert_same_on_all_devices(trained.state)
    assert {leaf.sharding.num_devices for leaf in jax.tree.leaves(trained.loop_state)} == {2}


def test_devices_do_not_repeat_each_other(trained):
    observations = np.split(np.asarray(trained.loop_state.observations["policy"]), 2)
    assert not np.isclose(*observations).any()


def test_the_compiled_run_equals_the_runner(env, cfg, trained):
    state, metrics = jax.jit(make_train(env, cfg, 4, devices=CPUS[:2]))(jax.random.key(3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), state, trained.state)
    assert metrics["Train/mean_reward"].shape == (4,)


def test_seeds_can_be_vectorised(env, cfg):
    train = make_train(env, cfg, 1, devices=CPUS[:2])
    _, metrics = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 3))
    assert len(set(metrics["Loss/value"][:, 0].tolist())) == 3


def test_resumes_bit_for_bit(env, cfg, trained):
    runner = OnPolicyRunner(env, cfg, devices=CPUS[:2], seed=99, console=False)
    runner.load(trained.logger.log_dir / "model_2")
    runner.learn(1)
    assert_trees_equal(runner.state, trained.state)
    assert_trees_equal(runner.loop_state, trained.loop_state)


def test_nothing_compiles_after_the_first_iteration(cfg, compilations):
    env = vectorize(LikeASimulator(), NUM_ENVS, max_episode_length=20)
    runner = OnPolicyRunner(env, cfg, devices=CPUS[:2], console=False)
    runner.learn(1, init_at_random_ep_len=True)
    with compilations() as names:
        runner.learn(2)
    assert names == []


def test_programs_of_several_cpu_devices_are_not_cached():
    """Read from the cache they crash, or compute wrong results."""
    before = jax.config.jax_enable_compilation_cache
    try:
        jax.config.update("jax_enable_compilation_cache", True)
        Devices(CPUS[:1]).run(jnp.sum, EACH_ENV, EVERYWHERE)
        assert jax.config.jax_enable_compilation_cache
        with pytest.warns(UserWarning, match="compilation cache is disabled"):
            two().run(jnp.sum, EACH_ENV, EVERYWHERE)
        assert not jax.config.jax_enable_compilation_cache
    finally:
        jax.config.update("jax_enable_compilation_cache", before)


def test_a_host_environment_is_learned_from_on_all_devices(env, cfg, compilations):
    runner = OnPolicyRunner(JaxVecEnv(env), cfg, devices=CPUS[:2], console=False)
    runner.learn(2, init_at_random_ep_len=True)  # in the first one the environments move to the device that acts
    assert_same_on_all_devices(runner.state)
    with compilations() as names:
        runner.learn(2)
    assert names == []
    assert int(runner.loop_state.episodes.count) > 0


def test_the_policy_acts_on_one_device(trained):
    actions = trained.get_inference_policy()({"policy": np.ones((3, 2), np.float32)})
    on_two = trained.algorithm.policy(trained.state, (), {"policy": jnp.ones((3, 2))})[0]
    np.testing.assert_allclose(actions, on_two, rtol=1e-6)


# --- what cannot be spread --------------------------------------------------------------------------------------------


def test_more_devices_than_there_are_are_refused(env, cfg):
    with pytest.raises(ValueError, match=r"devices is 99, but there are 4 here.*XLA_FLAGS"):
        make_train(env, cfg, 1, devices=99)


def test_environments_that_cannot_be_shared_out_are_refused(cfg):
    env = vectorize(PointMass(), 6, max_episode_length=20)
    with pytest.raises(ValueError, match=r"num_envs \(6\) must be divisible by the number of devices \(4\)"):
        OnPolicyRunner(env, cfg, devices=CPUS)
    env = vectorize(PointMass(), 8, max_episode_length=20, reset_pool_size=3)
    with pytest.raises(ValueError, match=r"reset_pool_size \(3\) must be divisible"):
        OnPolicyRunner(env, cfg, devices=CPUS)


class OneKeyForAll(Env):
    """Draws all noise from one key."""

    num_envs, num_actions, max_episode_length = 8, 1, 20

    def reset(self, key):
        return {"key": key, "x": jnp.zeros(self.num_envs)}, {"policy": jnp.zeros((self.num_envs, 1))}


def test_a_state_in_common_is_refused(cfg):
    with pytest.raises(ValueError, match=r"share 'key' of their state.*jax.random.split\(key, self.num_envs\)"):
        make_train(OneKeyForAll(), cfg, 1, devices=CPUS[:2])
