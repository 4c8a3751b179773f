"""Behaviour of distillation that recordings of RSL-RL do not cover."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import Distillation
from rsl_jax.config import RunnerConfig
from rsl_jax.types import Rollout, Spec
from tests.helpers import assert_trees_equal, halves_of

SPEC = Spec({"policy": (3,), "privileged": (4,)}, num_actions=2, num_envs=6)
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.5}


def rnn(kind, **changes):
    return {"class_name": "RNNModel", "rnn_type": kind, "rnn_hidden_dim": 4, "hidden_dims": [4], **changes}


def mlp(**changes):
    return {"class_name": "MLPModel", "hidden_dims": [8], **changes}


def build(num_steps=6, *, student=None, teacher=None, spec=SPEC, axis_name=None, **algorithm):
    cfg = {
        "num_steps_per_env": num_steps,
        "obs_groups": {"student": ["policy"], "teacher": ["privileged"]},
        "algorithm": {"class_name": "Distillation", "gradient_length": 3, **algorithm},
        "student": student or mlp(distribution_cfg=GAUSSIAN),
        "teacher": teacher or mlp(),
    }
    return Distillation.build(RunnerConfig.from_dict(cfg), spec, axis_name=axis_name)


def check(num_steps, **algorithm):
    """What is said where a training with rollouts of so many steps is set up."""
    build(num_steps, **algorithm).check_training(num_envs=SPEC.num_envs, num_steps=num_steps)


def init(ours):
    return jax.jit(ours.init)(jax.random.key(0))


def rollout(ours, num_steps=6, *, seed=0, done_probability=0.2, labelled_by=None):
    """Made-up steps; with ``labelled_by`` what is privileged is a function of what is not."""
    generator = np.random.default_rng(seed)
    shape = (num_steps, SPEC.num_envs)
    observations = {
        name: jnp.asarray(generator.normal(size=(*shape, *size)), jnp.float32)
        for name, size in SPEC.observations.items()
    }
    if labelled_by is not None:
        observations["privileged"] = jnp.asarray(observations["policy"] @ labelled_by, jnp.float32)
    zeros = jnp.zeros((*shape, SPEC.num_actions))
    carry = ours.initial_carry(SPEC.num_envs)
    return Rollout(
        observations=observations,
        actions=zeros,
        log_probs=None,
        distribution_params=(zeros, zeros + 0.5) if ours.student.distribution else (),
        rewards=zeros[..., 0],
        dones=jnp.asarray(generator.random(shape) < done_probability),
        time_outs=jnp.zeros(shape, bool),
        carry=carry,
        last_observations=jax.tree.map(lambda x: x[-1], observations),
        last_carry=carry,
    )


def part(of, start, stop, carry):
    """Some steps of a rollout."""
    steps = jax.tree.map(
        lambda x: x[start:stop], dataclasses.replace(of, carry=(), last_carry=(), last_observations=())
    )
    return dataclasses.replace(steps, carry=carry, last_carry=carry, last_observations={})


def close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), actual, expected)


def test_a_recurrent_teacher_remembers_from_rollout_to_rollout():
    """RSL-RL lets it forget with every update, so that its labels are those of a teacher who has just woken up."""
    ours = build(teacher=rnn("lstm"))
    state = init(ours)
    long = rollout(ours, 12)
    label = jax.jit(ours.labels)
    labels, _ = label(state, long)
    first, second = (part(long, start, start + 6, long.carry) for start in (0, 6))
    _, carry, _ = jax.jit(ours.update)(state, first, jax.random.key(0))
    carried, _ = label(state, dataclasses.replace(second, carry=carry))
    np.testing.assert_allclose(carried, labels[6:], rtol=1e-5, atol=1e-6)
    forgotten, _ = label(state, second)
    assert not np.allclose(forgotten, labels[6:])


@pytest.mark.parametrize("student", [mlp(distribution_cfg=GAUSSIAN), rnn("gru")], ids=["mlp", "gru"])
def test_learns_what_can_be_learned(student):
    ours = build(student=student, learning_rate=1e-2)
    state = init(ours)
    update = jax.jit(ours.update)
    mixing = np.random.default_rng(9).normal(size=(3, 4)) / 2
    losses = []
    for seed in range(150):
        steps = rollout(ours, seed=seed, labelled_by=mixing)
        state, _, metrics = update(state, steps, jax.random.key(0))
        losses.append(float(metrics["Loss/behavior"]))
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:10]), losses


def test_two_devices_learn_what_one_does():
    changes = {"student": rnn("gru", obs_normalization=True, distribution_cfg=GAUSSIAN), "gradient_length": 4}
    one, two = (
        build(num_learning_epochs=2, max_grad_norm=0.1, axis_name=name, **changes) for name in (None, "devices")
    )
    state, whole = init(one), rollout(one)
    update = jax.vmap(two.update, axis_name="devices", in_axes=(None, 0, None))
    shared, carry, metrics = jax.jit(update)(state, halves_of(whole), jax.random.key(0))
    expected, expected_carry, expected_metrics = jax.jit(one.update)(state, whole, jax.random.key(0))
    for device in range(2):
        close(jax.tree.map(lambda x, device=device: x[device], shared), expected)
    close(jax.tree.map(lambda x: jnp.concatenate(list(x)), carry), expected_carry)
    close(metrics["Loss/behavior"][0], expected_metrics["Loss/behavior"])


def test_a_student_without_a_distribution_acts_without_noise():
    ours = build(student=mlp())
    state, steps = init(ours), rollout(ours)
    observations = jax.tree.map(lambda x: x[0], steps.observations)
    acted = [ours.act(state, (), observations, jax.random.key(seed))[1] for seed in (1, 2)]
    assert_trees_equal(*acted)
    np.testing.assert_array_equal(acted[0].actions, ours.policy(state, (), observations)[0])
    assert "Policy/mean_std" not in jax.eval_shape(ours.update, state, steps, jax.random.key(0))[2]


def test_mixed_precision_keeps_full_parameters():
    ours, exact = (build(use_mixed_precision=mixed, student=rnn("gru")) for mixed in (True, False))
    state, steps = init(ours), rollout(ours)
    learned, carry, metrics = jax.jit(ours.update)(state, steps, jax.random.key(0))
    _, _, expected = jax.jit(exact.update)(state, steps, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves((learned.params, carry))} == {jnp.dtype("float32")}
    np.testing.assert_allclose(metrics["Loss/behavior"], expected["Loss/behavior"], rtol=2e-2)
    assert metrics["Loss/behavior"] != expected["Loss/behavior"]


def test_a_limit_of_zero_is_none():
    ours = [build(max_grad_norm=limit) for limit in (None, 0, 1e-3)]
    state, steps = init(ours[0]), rollout(ours[0])
    unlimited, zero, limited = (jax.jit(each.update)(state, steps, jax.random.key(0))[0].params for each in ours)
    assert_trees_equal(unlimited, zero)
    assert not np.allclose(
        unlimited["student"]["mlp"]["layer_0"]["kernel"], limited["student"]["mlp"]["layer_0"]["kernel"]
    )


def test_steps_that_are_left_over_are_warned_of():
    with pytest.warns(UserWarning, match=r"gradient_length \(15\) does not divide .*24 steps.*last 9 .*12 would"):
        check(24, gradient_length=15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(24, gradient_length=16, num_learning_epochs=2)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"gradient_length \(15\) is more than .*6 steps: the student would never"):
        check(6, gradient_length=15)
    with pytest.raises(ValueError, match="needs continuous actions"):
        build(spec=dataclasses.replace(SPEC, discrete=True))
    for extension in ("rnd_cfg", "symmetry_cfg"):
        build(**{extension: None})
        with pytest.raises(ValueError, match=rf"algorithm.{extension} cannot be combined with Distillation"):
            build(**{extension: {"weight": 1.0}})
