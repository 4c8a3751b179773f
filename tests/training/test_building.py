"""How often a run builds its algorithm, and where the sizes of its rollouts are checked."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from rsl_jax.algorithms import PPO, Distillation
from rsl_jax.config import PPOConfig, RunnerConfig, SymmetryConfig
from rsl_jax.env import JaxVecEnv
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import build_algorithm, make_train, spec_of
from rsl_jax.types import Spec
from tests.helpers import small_config

CPUS = tuple(jax.devices("cpu"))


class Record(NamedTuple):
    """An algorithm as a user may write one: functions, and what the loops must know."""

    init: Callable
    initial_carry: Callable
    act: Callable
    prepare: Callable
    update: Callable
    policy: Callable
    policy_model: Callable
    reward_tags: tuple[str, ...] = ("Train/mean_reward",)
    score_tag: str = "Train/mean_reward"
    given: tuple[str, ...] = ()
    adopts: Mapping[str, str] = {}


@pytest.fixture
def built():
    """For whom the algorithm of :func:`own_config` was built: ``(num_envs, axis_name)`` each time."""
    return []


def own_config(built):
    """A run of an algorithm of a user's own, which notes that it is built; in truth it is PPO."""

    def own(cfg: RunnerConfig, spec: Spec, *, axis_name: str | None = None) -> Any:
        built.append((spec.num_envs, axis_name))
        ppo_cfg = dataclasses.replace(cfg, algorithm=PPOConfig(num_mini_batches=2, num_learning_epochs=1))
        ppo = PPO.build(ppo_cfg, spec, axis_name=axis_name)
        return Record(ppo.init, ppo.initial_carry, ppo.act, ppo.prepare, ppo.update, ppo.policy, ppo.policy_model)

    return RunnerConfig.from_dict({**small_config().to_dict(), "algorithm": {"class_name": own}})


@pytest.mark.parametrize("worn", [False, True], ids=["pure", "host"])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_runner_builds_each_variant_once(env, built, worn, devices):
    runner = OnPolicyRunner(JaxVecEnv(env) if worn else env, own_config(built), devices=CPUS[:devices], console=False)
    whole, part = (16, None), (8, "devices")
    assert built == ([whole] if devices == 1 else [whole, part])
    assert isinstance(runner.algorithm, Record)


def test_one_built_algorithm_is_that_of_the_runner_and_of_its_loop(env, built):
    runner = OnPolicyRunner(env, own_config(built), console=False)
    runner.learn(1)
    assert runner.get_inference_policy()({"policy": jnp.ones((3, 2))}).shape == (3, 1)
    assert len(built) == 1


def test_a_compiled_run_builds_again_only_for_other_numbers(env, built):
    train = make_train(env, own_config(built), 1)
    jax.eval_shape(train, jax.random.key(0))
    assert len(built) == 1
    calls = []
    train = make_train(env, mirrored_config(calls), 1)
    jax.eval_shape(lambda rate: train(jax.random.key(0), learning_rate=rate), jnp.asarray(0.1))
    assert len([call for call in calls if call == "values"]) == 3


def mirrored_config(calls):
    """A run with a mirror function that notes whether it was called with values or within a traced function."""

    def mirror(env, obs, actions):
        given = jax.tree.leaves((obs, actions))
        calls.append("traced" if isinstance(given[0], jax.core.Tracer) else "values")
        return jax.tree.map(lambda x: jnp.concatenate([x, -x]), (obs, actions))

    return small_config(symmetry_cfg=SymmetryConfig(use_mirror_loss=True, data_augmentation_func=mirror))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_mirror_function_is_tried_out_once(env, devices):
    calls = []
    OnPolicyRunner(JaxVecEnv(env), mirrored_config(calls), devices=CPUS[:devices], console=False)
    assert calls == ["values"] * 3  # observations and actions, then either alone


# --- sizes ------------------------------------------------------------------------------------------------------------


RECURRENT = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 4, "hidden_dims": [4]}


def with_models(cfg, **changes):
    plain = cfg.to_dict()
    return RunnerConfig.from_dict({**plain, **{name: {**plain[name], **changes} for name in ("actor", "critic")}})


@pytest.mark.parametrize(
    ("cfg", "says"),
    [
        (with_models(small_config(num_mini_batches=3), **RECURRENT), r"num_envs \(16\) must be divisible by"),
        (small_config(num_mini_batches=200), r"16 environments x 8 steps are fewer samples than num_mini_batches"),
    ],
    ids=["recurrent", "feed-forward"],
)
def test_sizes_are_checked_where_training_is_set_up(env, cfg, says):
    algorithm = build_algorithm(cfg, dataclasses.replace(spec_of(env), num_envs=1))
    actions, _ = jax.eval_shape(
        algorithm.policy,
        jax.eval_shape(algorithm.init, jax.random.key(0)),
        algorithm.initial_carry(1),
        {"policy": jnp.ones((1, 2))},
    )
    assert actions.shape == (1, 1)
    with pytest.raises(ValueError, match=says):
        make_train(env, cfg, 1)
    with pytest.raises(ValueError, match=says):
        OnPolicyRunner(env, cfg, console=False)


def test_each_device_must_have_enough(env):
    cfg = with_models(small_config(num_mini_batches=16), **RECURRENT)
    OnPolicyRunner(env, cfg, console=False)
    with pytest.raises(ValueError, match=r"num_envs \(8\) must be divisible by num_mini_batches \(16\)"):
        OnPolicyRunner(env, cfg, devices=CPUS[:2], console=False)


def test_a_runner_may_replay_what_it_could_not_train(env, tmp_path):
    cfg = with_models(small_config(num_mini_batches=3), **RECURRENT)
    with pytest.raises(ValueError, match=r"num_envs \(16\) must be divisible"):
        OnPolicyRunner(JaxVecEnv(env), cfg, tmp_path, console=False)
    runner = OnPolicyRunner(JaxVecEnv(env), cfg, console=False)
    assert runner.get_inference_policy()({"policy": jnp.ones((1, 2))}).shape == (1, 1)
    with pytest.raises(ValueError, match=r"num_envs \(16\) must be divisible"):
        runner.learn(1)


def test_a_student_plays_whatever_its_rollouts_were():
    cfg = RunnerConfig.from_dict(
        {
            "num_steps_per_env": 6,
            "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
            "algorithm": {"class_name": "Distillation", "gradient_length": 15},
        }
    )
    spec = Spec({"policy": (3,)}, num_actions=2, num_envs=1)
    student = Distillation.build(cfg, spec)
    with pytest.raises(ValueError, match="the student would never be updated"):
        student.check_training(num_envs=1, num_steps=6)
