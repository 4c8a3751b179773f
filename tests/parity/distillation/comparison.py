"""Our side of a recorded distillation, and what must agree."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsl_jax.algorithms import Distillation
from rsl_jax.algorithms.variables import DISTRIBUTION
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.interop import params_from_state_dict
from rsl_jax.ops import reset_carry
from rsl_jax.types import Array, Carry, Metrics, Rollout, Spec, TrainState
from tests.parity.cases import NUM_ACTIONS, NUM_ENVS, NUM_ROLLOUTS, Case
from tests.parity.comparison import AS_USERS, UNOPTIMIZED, Arrays, assert_close, assert_trees_close, section, unpack

OPTIMIZED = ("mlp_two_epochs", "gru_across_epochs", "cnn")
"""Cases that are compiled as users run them in float32."""


class Watched(NamedTuple):
    """State of an optimiser that shows what it was given.

    Attributes:
        inner: state of the optimiser itself.
        gradients: those of the last step.
    """

    inner: Any
    gradients: Any


def watched(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser with a :class:`Watched` state."""

    def update(gradients: Any, state: Watched, params: Any = None) -> tuple[Any, Watched]:
        updates, inner = optimizer.update(gradients, state.inner, params)
        return updates, Watched(inner, gradients)

    return optax.GradientTransformation(lambda params: Watched(optimizer.init(params), params), update)


class ObservedDistillation(Distillation):
    """Distillation whose metrics also hold every loss ``[E * T]`` and every step of the optimiser ``[K, ...]``."""

    def optimize(self, *args: Any) -> tuple[tuple[TrainState, Carry], Metrics]:
        (state, carry), logs = super().optimize(*args)
        return (state, carry), {**logs, "clipped": state.opt_state.gradients}

    def _metrics(self, state: TrainState, rollout: Rollout, logs: Metrics) -> dict[str, Any]:
        return {**super()._metrics(state, rollout, logs), "logs": logs}


class Replay(NamedTuple):
    """One iteration of ours on a rollout of the reference.

    Attributes:
        mode: the student's deterministic actions while acting, ``[T, N, A]``.
        labels: the teacher's, ``[T, N, A]``.
        state: after the update.
        carry: with which collecting goes on, leaves ``[N, ...]``.
        metrics: of the update.
    """

    mode: Array
    labels: Array
    state: TrainState
    carry: Carry
    metrics: dict[str, Any]


def build(case: Case) -> Distillation:
    """Our algorithm for a case."""
    spec = Spec(case.observation_shapes, num_envs=NUM_ENVS, num_actions=NUM_ACTIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="gradient_length")
        ours = ObservedDistillation.build(BaseRunnerConfig.from_dict(case.train_cfg), spec)
    return dataclasses.replace(ours, optimizer=watched(ours.optimizer))


def initial_state(ours: Distillation, recorded: Arrays) -> TrainState:
    """A training state with the reference's student and teacher, and nothing learned yet."""
    state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(ours.init, jax.random.key(0)))
    params, statistics = dict(state.params), dict(state.statistics)
    for name in params:
        variables = {"params": params[name], **statistics[name]}
        variables = params_from_state_dict(section(recorded, f"initial/{name}"), variables)
        params[name], statistics[name] = variables.pop("params"), variables
    rate = jnp.asarray(ours.cfg.learning_rate, state.learning_rate.dtype)
    return dataclasses.replace(state, params=params, statistics=statistics, learning_rate=rate)


def replay(case: Case, recorded: Arrays) -> list[Replay]:
    """All recorded iterations of a case, each from the state that our previous one left; arrays of numpy."""
    ours = build(case)
    state, carry = initial_state(ours, recorded), ours.initial_carry(NUM_ENVS)
    options = AS_USERS if case.name in OPTIMIZED and state.learning_rate.dtype == jnp.float32 else UNOPTIMIZED
    iteration = jax.jit(functools.partial(replay_iteration, ours), compiler_options=options)
    replays = []
    for index in range(NUM_ROLLOUTS):
        result = iteration(state, our_rollout(section(recorded, f"rollout_{index}"), carry))
        state, carry = result.state, result.carry
        if carry:  # the reference lets a recurrent teacher forget everything with every update
            carry = {**carry, "teacher": ours.teacher.initial_carry(NUM_ENVS)}
        replays.append(jax.tree.map(np.asarray, result))
    return replays


def replay_iteration(ours: Distillation, state: TrainState, rollout: Rollout) -> Replay:
    """Act on the recorded observations, then learn from the recorded rollout."""

    def act(carry: Carry, step: tuple[Any, Array]) -> tuple[Carry, Array]:
        observations, dones = step
        mode, _ = ours.policy(state, carry, observations)
        carry, _ = ours.act(state, carry, observations, jax.random.key(0))
        return reset_carry(carry, dones), mode

    _, mode = jax.lax.scan(act, rollout.carry, (rollout.observations, rollout.dones))
    labels, _ = ours.labels(state, rollout)
    updated, carry, metrics = ours.update(state, rollout, jax.random.key(0))
    return Replay(mode, labels, updated, carry, metrics)


def our_rollout(recorded: Arrays, carry: Carry) -> Rollout:
    """The reference's rollout in our words, and the hidden states that we begin it with."""
    observations = section(recorded, "observations")
    actions = jnp.asarray(recorded["mode"])
    return Rollout(
        observations={name: jnp.asarray(array[:-1]) for name, array in observations.items()},
        actions=actions,
        log_probs=None,
        distribution_params=(actions, jnp.ones_like(actions)),
        rewards=jnp.asarray(recorded["rewards"]),
        dones=jnp.asarray(recorded["dones"]),
        time_outs=jnp.asarray(recorded["time_outs"]),
        carry=carry,
        last_observations={name: jnp.asarray(array[-1]) for name, array in observations.items()},
        last_carry=carry,
    )


def assert_agreement(recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Compare everything; what fails is told together, because the first difference often explains the later ones.

    Raises:
        AssertionError: with a line for each comparison that failed.
    """
    failures = []
    for index, ours in enumerate(replays):
        for check in (check_actions, check_losses, check_gradients, check_updated_student):
            try:
                check(recorded, section(recorded, f"rollout_{index}"), dtype, ours, f"rollout {index}")
            except AssertionError as failure:
                failures.append(str(failure))
    assert not failures, "\n".join(failures)


def check_actions(recorded: Arrays, rollout: Arrays, dtype: str, ours: Replay, what: str) -> None:
    """What the student does, with the hidden states that the update before left, and what the teacher says."""
    assert_close(ours.mode, rollout["mode"], dtype, f"{what}: student's actions")
    assert_close(ours.labels, rollout["labels"], dtype, f"{what}: labels")


def check_losses(recorded: Arrays, rollout: Arrays, dtype: str, ours: Replay, what: str) -> None:
    """The loss of every step in every epoch, and their mean as it is reported."""
    assert_close(ours.metrics["logs"]["losses"], rollout["losses"], dtype, f"{what}: losses")
    assert_close(ours.metrics["Loss/behavior"], rollout["behavior"], dtype, f"{what}: reported loss")


def check_gradients(recorded: Arrays, rollout: Arrays, dtype: str, ours: Replay, what: str) -> None:
    """Gradients of every step of the optimiser, before and after clipping, tensor by tensor."""
    logs = ours.metrics["logs"]
    assert_close(logs["gradient_norm"], rollout["norm"], dtype, f"{what}: gradient norms")
    all_clipped = rollout.get("clipped", rollout["gradient"])
    for step, vector in enumerate(all_clipped):
        clipped = jax.tree.map(lambda x, step=step: x[step], logs["clipped"])
        expected = unpack(vector, "student", recorded, clipped)
        assert_trees_close(clipped, expected, dtype, f"{what}: clipped gradient {step}")
        factor = logs["gradient_norm"][step] / np.linalg.norm(vector)  # clipping keeps the direction
        gradient = jax.tree.map(lambda x, factor=factor: x * factor, clipped)
        expected = unpack(rollout["gradient"][step], "student", recorded, clipped)
        assert_trees_close(gradient, expected, dtype, f"{what}: gradient {step}")


def check_updated_student(recorded: Arrays, rollout: Arrays, dtype: str, ours: Replay, what: str) -> None:
    """Parameters, normaliser and hidden states after the whole update; the teacher has stayed what it was."""
    params, statistics = ours.state.params["student"], ours.state.statistics["student"]
    after, order = rollout["after"], recorded["order/all"]
    if DISTRIBUTION not in params:  # a standard deviation that does not learn, which PyTorch lists with the rest
        after, order = _without(after, "distribution.", recorded)
    expected = unpack(after, "student", {**recorded, "order/student": order}, params)
    assert_trees_close(params, expected, dtype, f"{what}: updated student")
    moments = section(rollout, "normalizer")
    assert bool(moments) == ("normalizer" in statistics)
    if moments:
        normalizer = statistics["normalizer"]["obs"]
        assert_close(normalizer.mean, moments["_mean"][0], dtype, f"{what}: mean of the normaliser")
        assert_close(normalizer.var, moments["_var"][0], dtype, f"{what}: variance of the normaliser")
        assert int(normalizer.count) == int(moments["count"])
    layers = ours.carry["student"] if ours.carry else ()
    hidden = [np.stack(states) for states in zip(*layers, strict=True)]
    assert len(hidden) == len(section(rollout, "hidden"))
    for index, states in enumerate(hidden):
        assert_close(states, rollout[f"hidden/{index}"], dtype, f"{what}: hidden states {index}")
    teacher = {"params": ours.state.params["teacher"], **ours.state.statistics["teacher"]}
    unchanged = params_from_state_dict(section(recorded, "initial/teacher"), teacher)
    jax.tree.map(np.testing.assert_array_equal, teacher, unchanged)


def _without(vector: np.ndarray, prefix: str, recorded: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """A recorded vector of all the student's parameters without those of a prefix, and the names of the rest."""
    initial, names = section(recorded, "initial/student"), recorded["order/all"].tolist()
    parts = np.split(vector, np.cumsum([initial[name].size for name in names])[:-1])
    kept = []
    for name, part in zip(names, parts, strict=True):
        if name.startswith(prefix):
            np.testing.assert_array_equal(part, np.ravel(initial[name]), f"{name} does not learn")
        else:
            kept.append((name, part))
    return np.concatenate([part for _, part in kept]), np.array([name for name, _ in kept])
