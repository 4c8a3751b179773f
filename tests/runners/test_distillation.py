"""Distillation through all ways of training: choice of the teacher, resuming, use of the student."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from rsl_jax.algorithms.loading import load_parts
from rsl_jax.checkpoint import read_checkpoint
from rsl_jax.cli import main
from rsl_jax.config import RunnerConfig
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.export import load_jax
from rsl_jax.runners import DistillationRunner, OnPolicyRunner
from rsl_jax.training import build_algorithm, make_train, spec_of, variables_of
from tests.environments import HalfSeen
from tests.helpers import assert_trees_equal, small_config

ITERATIONS = 4
TEACHER = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "tanh", "obs_normalization": True}
STUDENT = {
    "class_name": "RNNModel",
    "rnn_type": "gru",
    "rnn_hidden_dim": 5,
    "hidden_dims": [6],
    "obs_normalization": True,
    "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.3},
}


def distillation_config(**changes):
    """A GRU that sees the position learns from what sees the speed too; the optimiser steps across epochs."""
    cfg = {
        "num_steps_per_env": 6,
        "save_interval": 2,
        "obs_groups": {"student": ["policy"], "teacher": ["privileged"]},
        "algorithm": {"class_name": "Distillation", "gradient_length": 4, "num_learning_epochs": 2},
        "student": STUDENT,
        "teacher": TEACHER,
    }
    return {**cfg, **changes}


def ppo_config(actor, groups):
    """PPO for a model as it is in distillation."""
    cfg = small_config().to_dict()
    cfg["actor"] = {"distribution_cfg": {"class_name": "GaussianDistribution"}, **actor}
    return {**cfg, "obs_groups": {"actor": groups, "critic": ["privileged"]}}


@pytest.fixture(scope="module")
def env():
    return vectorize(HalfSeen(), 8, max_episode_length=7)


@pytest.fixture(scope="module")
def ppo(env):
    """A run of PPO whose actor has seen something."""
    runner = OnPolicyRunner(env, ppo_config(TEACHER, ["privileged"]), seed=1, console=False)
    statistics = jax.tree.map(lambda x: x + 1, runner.state.statistics)
    runner.state = dataclasses.replace(runner.state, statistics=statistics, iteration=jnp.asarray(9))
    return runner


@pytest.fixture(scope="module")
def teacher(ppo, tmp_path_factory):
    """Its checkpoint."""
    path = tmp_path_factory.mktemp("teacher") / "model_8"
    ppo.save(path, infos={"of": "PPO"})
    return path


@pytest.fixture(scope="module")
def trained(env, teacher, tmp_path_factory):
    """With checkpoints after the iterations 0, 2 and 3."""
    runner = DistillationRunner(env, distillation_config(), tmp_path_factory.mktemp("run"), seed=3, console=False)
    assert runner.load(teacher) == {"of": "PPO"}
    runner.learn(ITERATIONS)
    return runner


def assert_close(a, b, **tolerances):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerances), a, b)


def test_learning_needs_a_teacher_which_a_ppo_checkpoint_is(env, ppo, teacher, trained):
    with pytest.raises(ValueError, match=r"train\(\) needs the teacher's variables.*start=\{'teacher'"):
        make_train(env, distillation_config(), 1)(jax.random.key(0))
    runner = DistillationRunner(env, distillation_config(), console=False)
    with pytest.raises(ValueError, match=r"no teacher yet.*runner.load\(PATH\).*'actor' \(PPO's\).*has a 'teacher'"):
        runner.learn(1)
    with pytest.raises(ValueError, match=r"'student', which this checkpoint does not have. Allowed: teacher"):
        runner.load(teacher, load_cfg={"student": True})
    before = runner.state
    runner.load(teacher, load_cfg={"teacher": True})
    actor = variables_of(ppo.state, "actor")
    del actor["params"]["distribution"]  # labels have no noise
    assert_trees_equal(variables_of(runner.state, "teacher"), actor)
    assert_trees_equal(variables_of(trained.state, "teacher"), actor)  # and it has not moved
    assert_trees_equal(runner.state.params["student"], before.params["student"])
    assert runner.current_learning_iteration == int(runner.state.iteration) == 0


def test_the_student_learns_and_reports(trained):
    assert {"Loss/behavior", "Loss/learning_rate", "Policy/mean_std", "Train/mean_reward"} <= set(trained.metrics)
    assert trained.metrics["Policy/mean_std"] == pytest.approx(0.3)  # the loss does not depend on it
    assert int(trained.state.statistics["student"]["normalizer"]["obs"].count) == ITERATIONS * 6 * 8


def test_compiled_runs_over_seeds_give_the_runner_s_parameters(env, ppo, trained):
    train = make_train(env, distillation_config(), ITERATIONS)
    start = {"teacher": variables_of(ppo.state, "actor")}
    seeds = jnp.stack([jax.random.key(3), jax.random.key(4)])
    states, metrics = jax.jit(jax.vmap(lambda key: train(key, start=start)))(seeds)
    assert_close(jax.tree.map(lambda x: x[0], states), trained.state, rtol=1e-4, atol=1e-5)
    assert metrics["Loss/behavior"].shape == (2, ITERATIONS)
    assert not np.allclose(metrics["Loss/behavior"][0], metrics["Loss/behavior"][1])


def test_host_loop_gives_the_same_parameters_and_hidden_states(env, teacher, trained, compilations):
    reset_key = jax.random.split(jax.random.key(3), 3)[1]
    host = DistillationRunner(JaxVecEnv(env, key=reset_key), distillation_config(), seed=3, console=False)
    host.load(teacher)
    host.learn(1)
    with compilations() as names:
        host.learn(ITERATIONS - 1)
    assert names == []
    assert_close(host.state, trained.state, rtol=2e-4, atol=2e-5)
    assert_close(host.loop_state.carry, trained.loop_state.carry, rtol=2e-4, atol=2e-5)


def test_resumes_bit_for_bit_with_its_teacher(env, trained, compilations):
    runner = DistillationRunner(env, distillation_config(), seed=99, console=False)
    runner.load(trained.logger.log_dir / "model_0")
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(runner.loop_state.carry))
    runner.learn(1)
    with compilations() as names:
        runner.learn(ITERATIONS - 2)
    assert names == []
    assert_trees_equal(runner.state, trained.state)
    assert_trees_equal(runner.loop_state, trained.loop_state)


def in_onnxruntime(path):
    """A policy as a robot has it: ``act(observations [N, 1], ended [N]) -> actions [N, 1]``."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape[-1]) for i in session.get_inputs()] == [("obs", 1), ("h_in", 5)]  # no teacher's 2 inside
    assert session.get_modelmeta().custom_metadata_map["observation_groups"] == "policy"
    h = np.zeros((1, 3, 5), np.float32)

    def act(observations, ended):
        nonlocal h
        actions, h = session.run(["actions", "h_out"], {"obs": observations, "h_in": h * ~ended[:, None]})
        return actions

    return act


def in_jax(path):
    """The same from the other kind of file."""
    exported = load_jax(path)
    carry = exported.initial_carry(3)

    def act(observations, ended):
        nonlocal carry
        actions, carry = exported({"policy": observations}, [np.where(ended[:, None], 0, h) for h in carry])
        return actions

    return act


def test_what_is_exported_is_the_student(trained, tmp_path):
    """By the runner, and from its last checkpoint by ``rsl-jax export``."""
    assert main(["export", str(trained.logger.log_dir), "--out", str(tmp_path)]) == 0
    robots = [
        in_onnxruntime(trained.export_policy_to_onnx(tmp_path, "runner.onnx")),
        in_onnxruntime(tmp_path / "policy.onnx"),
        in_jax(trained.export_policy_to_jit(tmp_path, "runner.jax")),
        in_jax(tmp_path / "policy.jax"),
    ]
    student, generator = trained.get_inference_policy(), np.random.default_rng(0)
    for _ in range(100):
        observations, ended = generator.normal(size=(3, 1)).astype(np.float32), generator.random(3) < 0.1
        student.reset(ended)
        expected = student({"policy": observations})
        for act in robots:
            np.testing.assert_allclose(act(observations, ended), expected, rtol=1e-5, atol=1e-6)


# --- what fits together -----------------------------------------------------------------------------------------------


def load(cfg, env, checkpoint, **options):
    """The state of a fresh run into which a checkpoint has been loaded, without building a runner."""
    spec, cfg = spec_of(env), RunnerConfig.from_dict(cfg)
    algorithm = build_algorithm(cfg, spec)
    state = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), jax.eval_shape(algorithm.init, jax.random.key(0)))
    options = {"strict": True, **options}
    return load_parts(
        state, checkpoint.state, checkpoint.run, None, algorithm=algorithm, cfg=cfg, spec=spec, **options
    )[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"teacher": {**TEACHER, "hidden_dims": [8]}}, r"fit the teacher.*hidden_dims \[8\] against \[16\]"),
        ({"teacher": {**TEACHER, "activation": "elu"}}, r"activation elu against tanh"),
        ({"teacher": STUDENT}, r"class_name RNNModel against MLPModel.*rnn_type gru against nothing"),
        (
            {"obs_groups": {"student": ["policy"], "teacher": ["policy"]}},
            r"observation groups 'policy' \[1\] against 'privileged' \[2\].*obs_groups\['teacher'\]",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_says_in_what(env, teacher, changes, says):
    with pytest.raises(ValueError, match=says):
        load(distillation_config(**changes), env, read_checkpoint(teacher))


def test_what_does_not_fit_may_be_left_alone(env, ppo, teacher):
    cfg = distillation_config(teacher={**TEACHER, "hidden_dims": [8]})
    with pytest.warns(UserWarning, match=r"'teacher' that is given do not fit.*shape \(2, 16\)"):
        state = load(cfg, env, read_checkpoint(teacher), strict=False)
    np.testing.assert_array_equal(state.params["teacher"]["mlp"]["layer_0"]["kernel"], 1.0)
    assert_trees_equal(state.statistics["teacher"], ppo.state.statistics["actor"])


def test_groups_of_other_names_and_the_same_size_are_asked_about(teacher):
    class Renamed(HalfSeen):
        def _groups(self, state):
            return {"policy": state[:1], "state": state}

    cfg = distillation_config(obs_groups={"student": ["policy"], "teacher": ["state"]})
    with pytest.warns(UserWarning, match=r"observes 'state' \[2\], and was trained as the actor on 'privileged' \[2\]"):
        load(cfg, vectorize(Renamed(), 8, max_episode_length=7), read_checkpoint(teacher))


def test_the_student_goes_on_as_the_actor_of_ppo(env, trained):
    path = trained.logger.log_dir / "model_3"
    cfg = ppo_config({**STUDENT, "distribution_cfg": {**STUDENT["distribution_cfg"], "init_std": 9.0}}, ["policy"])
    runner = OnPolicyRunner(env, cfg, console=False)
    runner.load(path)
    assert_trees_equal(variables_of(runner.state, "actor"), variables_of(trained.state, "student"))
    assert int(runner.state.iteration) == 0
    observations = {"policy": jnp.ones((2, 1)), "privileged": jnp.ones((2, 2))}
    policies = runner.get_inference_policy(), trained.get_inference_policy()
    np.testing.assert_array_equal(*(policy(observations) for policy in policies))


def test_a_student_without_noise_is_the_mean_of_an_actor(env, trained):
    checkpoint = read_checkpoint(trained.logger.log_dir / "model_3")
    del checkpoint.state["params"]["student"]["distribution"]
    state = load(ppo_config(STUDENT, ["policy"]), env, checkpoint)
    actor, student = variables_of(state, "actor"), variables_of(trained.state, "student")
    np.testing.assert_array_equal(actor["params"].pop("distribution")["std"], 1.0)  # as a fresh actor has it
    del student["params"]["distribution"]
    assert_trees_equal(actor, student)
