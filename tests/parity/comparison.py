"""Shared parts of the recorded and the live comparison: loading, tolerances, and our side of the update."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsl_jax.algorithms import PPO
from rsl_jax.algorithms.batches import Batch, augmented, mini_batches
from rsl_jax.algorithms.variables import own_statistics, parts_of, statistics_of, with_parts
from rsl_jax.config import RunnerConfig
from rsl_jax.interop import params_from_state_dict, rnd_from_state_dict
from rsl_jax.modules import TRAINING
from rsl_jax.ops import reset_carry
from rsl_jax.types import Array, Carry, Metrics, Rollout, Spec, Step, TrainState
from tests.helpers import AS_USERS

from .cases import NUM_ACTIONS, NUM_ENVS, NUM_ROLLOUTS, STEP_DT, Case

Arrays = dict[str, np.ndarray]

DTYPES = ("float64", "float32")
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
DATA = Path(__file__).parent / "data"

UNOPTIMIZED: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""How XLA compiles fastest, in a quarter of the time; float64, which is there for the formulas, is compiled so."""

OPTIMIZED = (
    "adaptive_adam",
    "heteroscedastic",
    "beta",
    "gru",
    "lstm_two_layers_normalized",
    "cnn_batch_norm",
    "cnn_shared_encoders",
    "symmetry_both_rnd_normalized",
)
"""Cases that are compiled as users run them in float32, one of each kind: optimising all of them takes minutes."""

TRACED = (
    "learning_rate",
    "clip_param",
    "gamma",
    "lam",
    "value_loss_coef",
    "entropy_coef",
    "max_grad_norm",
    "desired_kl",
)
"""Numbers that a compiled iteration takes as arguments."""


@functools.cache
def load(name: str, dtype: str) -> Arrays:
    """A recording of ``generate.py``."""
    with np.load(DATA / f"{name}_{dtype}.npz") as file:
        return dict(file)


def section(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays under ``prefix/``, without it."""
    return {name.removeprefix(prefix + "/"): array for name, array in arrays.items() if name.startswith(prefix + "/")}


def assert_close(actual: Any, expected: Any, dtype: str, what: str, *, norm: Any = None) -> None:
    """Hold ``||actual - expected||`` to the tolerance of the type times ``||expected||``, or times another ``norm``.

    Raises:
        AssertionError: says how far they are apart, and where most.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, the reference has {expected.shape}"
    if np.issubdtype(expected.dtype, np.floating):
        assert actual.dtype == expected.dtype, f"{what}: {actual.dtype}, the reference has {expected.dtype}"
    assert np.all(np.isfinite(actual)), f"{what} is not finite: {actual}"
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    norm = np.linalg.norm(expected.astype(np.float64)) if norm is None else norm
    distance = np.linalg.norm(difference)
    if distance > TOLERANCES[dtype] * norm:
        worst = np.unravel_index(np.argmax(difference), difference.shape) if difference.ndim else ()
        raise AssertionError(
            f"{what}: apart by {distance / max(norm, 1e-300):.2e} of its norm, allowed are {TOLERANCES[dtype]:.0e}; "
            f"most at {tuple(map(int, worst))}: {actual[worst]!r} against {expected[worst]!r}"
        )


class Remembering(NamedTuple):
    """State of an optimiser that remembers what it was given first.

    Attributes:
        inner: state of the optimiser itself.
        first: the gradients.
        fresh: whether they are still to come.
    """

    inner: Any
    first: Any
    fresh: Array


def remembering(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser with a :class:`Remembering` state."""

    def init(params: Any) -> Remembering:
        return Remembering(optimizer.init(params), params, jnp.array(True))

    def update(gradients: Any, state: Remembering, params: Any = None) -> tuple[Any, Remembering]:
        updates, inner = optimizer.update(gradients, state.inner, params)
        first = jax.tree.map(lambda new, old: jnp.where(state.fresh, new, old), gradients, state.first)
        return updates, Remembering(inner, first, jnp.array(False))

    return optax.GradientTransformation(init, update)


class ObservedPPO(PPO):
    """PPO whose metrics also hold what happened in each mini-batch, ``[epochs, mini-batches]``."""

    def _metrics(self, state: TrainState, logs: Metrics) -> dict[str, Any]:
        return {**super()._metrics(state, logs), "mini_batches": logs}


def build(case: Case, **kwargs: Any) -> PPO:
    """Our algorithm for a case."""
    spec = Spec(case.observation_shapes, num_envs=NUM_ENVS, num_actions=NUM_ACTIONS, step_dt=STEP_DT)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "symmetry_cfg switches on neither")
        ppo = ObservedPPO.build(RunnerConfig.from_dict(case.train_cfg), spec, **kwargs)
    return dataclasses.replace(ppo, optimizer=remembering(ppo.optimizer))


def initial_state(ppo: PPO, recorded: Arrays) -> TrainState:
    """A training state with the reference's initial parameters, and nothing learned yet."""
    state = jax.eval_shape(ppo.init, jax.random.key(0))
    params, statistics = dict(state.params), dict(state.statistics)
    for name in ppo.models:
        like = {"params": parts_of(params, name, ppo.shared), **statistics_of(statistics, name, ppo.shared)}
        variables = params_from_state_dict(section(recorded, f"initial/{name}"), like)
        params = with_parts(params, name, variables.pop("params"), ppo.shared)
        statistics[name] = own_statistics(variables, name, ppo.shared)
    rate = jnp.asarray(ppo.cfg.learning_rate, state.learning_rate.dtype)
    extensions = dict(ppo.extension.init(jax.random.key(0)))
    if "rnd" in extensions:
        extensions["rnd"] = rnd_from_state_dict(section(recorded, "initial/rnd"), extensions["rnd"])
    opt_state, iteration = ppo.optimizer.init(params), jnp.zeros((), jnp.int32)
    return TrainState(params, statistics, opt_state, rate, extensions, iteration, ppo.extension.init_memory())


def our_rollout(recorded: Arrays, carry: Carry) -> Rollout:
    """The reference's rollout in our words, and the hidden states that we begin it with."""
    observations = section(recorded, "observations")
    params = section(recorded, "distribution")
    return Rollout(
        observations={name: jnp.asarray(array[:-1]) for name, array in observations.items()},
        actions=jnp.asarray(recorded["actions"]),
        log_probs=jnp.asarray(recorded["log_probs"]),
        distribution_params=tuple(jnp.asarray(params[str(index)]) for index in range(len(params))),
        rewards=jnp.asarray(recorded["rewards"]),
        dones=jnp.asarray(recorded["dones"]),
        time_outs=jnp.asarray(recorded["time_outs"]),
        carry=carry,
        last_observations={name: jnp.asarray(array[-1]) for name, array in observations.items()},
    )


class Replay(NamedTuple):
    """One iteration of ours on a rollout of the reference.

    Attributes:
        step: log-probabilities and distribution parameters of the recorded actions, leaves ``[T, N, ...]``.
        hidden: hidden states before each step, leaves ``[T, N, H]``.
        carry: hidden states after the last step, leaves ``[N, H]``.
        batch: what the update learns from, leaves ``[T, N, ...]``.
        rewards: by tag, each ``[T, N]``.
        samples: the first mini-batch with its mirror images, if there are any; leaves ``[k n, ...]``.
        state: after the update.
        params: after the update, of each model with what it shares.
        clipped: clipped gradients of the first mini-batch, of each model with what it shares.
        metrics: of the update.
    """

    step: Step
    hidden: Carry
    carry: Carry
    batch: Batch
    rewards: Metrics
    samples: Batch
    state: TrainState
    params: Any
    clipped: Any
    metrics: Metrics


def replay(case: Case, recorded: Arrays) -> list[Replay]:
    """All recorded iterations of a case, each from the state that our previous one left; arrays of numpy."""
    iteration = compiled_iteration(structure_of(case), is_optimized(case))
    numbers = {name: jnp.asarray(case.train_cfg["algorithm"][name]) for name in TRACED}
    ppo = build(case)
    state, carry = initial_state(ppo, recorded), ppo.initial_carry(NUM_ENVS)
    replays = []
    for index in range(NUM_ROLLOUTS):
        rollout = section(recorded, f"rollout_{index}")
        permutation = jnp.asarray(rollout.get("permutation", np.arange(0)))  # nothing to permute where recurrent
        state = with_moments(state, section(rollout, "moments_before"))
        result = iteration(numbers, state, our_rollout(rollout, carry), permutation)
        state, carry = result.state, result.carry
        replays.append(jax.tree.map(np.asarray, result))
    return replays


def with_moments(state: TrainState, recorded: Arrays) -> TrainState:
    """The state with the running moments of the reference's encoders, which its rollouts move and ours do not."""
    statistics = {
        name: {**collections, **moments_of(collections, section(recorded, name))}
        for name, collections in state.statistics.items()
    }
    return dataclasses.replace(state, statistics=statistics)


def moments_of(collections: Any, recorded: Arrays) -> Any:
    """Recorded running moments of a model, in the shape of ours."""
    return params_from_state_dict(recorded, {name: collections[name] for name in TRAINING if name in collections})


def structure_of(case: Case) -> str:
    """A case without its numbers, as text; cases of the same structure share one compiled program."""
    algorithm = {name: value for name, value in case.train_cfg["algorithm"].items() if name not in TRACED}
    return json.dumps({**case.train_cfg, "algorithm": algorithm}, sort_keys=True)


def is_optimized(case: Case) -> bool:
    """Whether a case is compiled as users run it, in the type in force."""
    return case.name in OPTIMIZED and jnp.zeros(()).dtype == jnp.float32


@functools.cache
def compiled_iteration(structure: str, optimized: bool) -> Callable[..., Replay]:
    """:func:`replay_iteration` for all cases of a structure, compiled as users run it or as fast as can be."""
    options = AS_USERS if optimized else UNOPTIMIZED
    return jax.jit(functools.partial(replay_iteration, structure), compiler_options=options)


def replay_iteration(
    structure: str, numbers: Metrics, state: TrainState, rollout: Rollout, permutation: Array
) -> Replay:
    """Evaluate the recorded actions as if they had been our own, then learn from them."""
    cfg = json.loads(structure)
    case = Case("", {**cfg, "algorithm": {**cfg["algorithm"], **numbers}})
    ppo = build(case, permute=lambda key, size: permutation)
    carry, hidden, step = evaluate(ppo, state, rollout)
    state, rollout, rewards = ppo.prepare(state, rollout)
    rollout = dataclasses.replace(rollout, log_probs=step.log_probs, distribution_params=step.distribution_params)
    state = dataclasses.replace(state, opt_state=state.opt_state._replace(fresh=jnp.array(True)))
    updated, _, metrics = ppo.update(state, rollout, jax.random.key(0))
    params, clipped = (
        {name: parts_of(tree, name, ppo.shared) for name in ppo.models}
        for tree in (updated.params, updated.opt_state.first)
    )
    batch = ppo.batch(state, rollout)
    batches = mini_batches(batch, jax.random.key(0), num_mini_batches=ppo.cfg.num_mini_batches, permute=ppo.permute)
    first = jax.tree.map(lambda x: x[0], batches)
    samples = augmented(first, *ppo.extension.augment(first.observations, first.actions))
    return Replay(step, hidden, carry, batch, rewards, samples, updated, params, clipped, metrics)


def evaluate(ppo: PPO, state: TrainState, rollout: Rollout) -> tuple[Carry, Carry, Step]:
    """What ``act`` would have left behind, had it drawn the recorded actions.

    Returns:
        hidden states after the last step and before each step, and what would have been stored.
    """

    def act(carry: Carry, step: tuple[Any, Array, Array]) -> tuple[Carry, tuple[Carry, Step]]:
        observations, actions, dones = step
        after, acted = ppo.act(state, carry, observations, jax.random.key(0))
        log_probs = ppo.actor.distribution.log_prob(acted.distribution_params, actions)
        return reset_carry(after, dones), (carry, acted._replace(actions=actions, log_probs=log_probs))

    carry, (hidden, steps) = jax.lax.scan(act, rollout.carry, (rollout.observations, rollout.actions, rollout.dones))
    return carry, hidden, steps


def unpack(vector: np.ndarray, model: str, recorded: Arrays, params: Any) -> Any:
    """A recorded vector as a tree like our parameters of a model."""
    initial = section(recorded, f"initial/{model}")
    names = recorded[f"order/{model}"].tolist()
    ends = np.cumsum([initial[name].size for name in names])
    parts = np.split(vector, ends[:-1])
    state_dict = {name: part.reshape(initial[name].shape) for name, part in zip(names, parts, strict=True)}
    return params_from_state_dict(state_dict, {"params": params})["params"]


def before_batch_norm(recorded: Arrays, model: str) -> set[str]:
    """Paths of the biases in front of a batch normalisation, which takes them out again: they have no gradient."""
    names = (name.split(".") for name in section(recorded, f"initial/{model}") if name.endswith(".running_mean"))
    return {f"cnns/{group}/layer_{int(index) - 1}/bias" for _, group, index, _ in names}


def assert_trees_close(actual: Any, expected: Any, dtype: str, what: str, *, rounding: Container[str] = ()) -> None:
    """:func:`assert_close` leaf by leaf; what is nothing but ``rounding`` is held to the norm of the whole tree."""
    total = np.linalg.norm([np.linalg.norm(leaf) for leaf in jax.tree.leaves(expected)])
    paired = jax.tree.map(lambda a, b: (a, b), actual, expected)
    is_pair = lambda x: isinstance(x, tuple)  # noqa: E731
    for path, (a, b) in jax.tree_util.tree_leaves_with_path(paired, is_leaf=is_pair):
        norm = total if jax.tree_util.keystr(path, simple=True, separator="/") in rounding else None
        assert_close(a, b, dtype, f"{what}{jax.tree_util.keystr(path)}", norm=norm)
