"""Randomly broken configs: each works, or is refused with an error that names the place.

``python -m tests.core.config_fuzz --examples 1000`` breaks that many, lets the accepted ones learn for two iterations,
and prints the figures of docs/configuration.md. ``test_config_fuzz.py`` is the short form, which only traces them.
"""

from __future__ import annotations

import argparse
import collections
import copy
import dataclasses
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env import vectorize
from rsl_jax.env.base import Transition
from rsl_jax.logging.several import choose_writers
from rsl_jax.ops.guards import PREFIX
from rsl_jax.training.iteration import init_states, make_iteration, spec_of
from rsl_jax.training.train import build_algorithm, check_training, make_train
from rsl_jax.types import Algorithm

NUM_ENVS = 4
SHAPES = {"policy": (3,), "privileged": (2,), "camera": (1, 6, 5)}


class Everything:
    """A robot with observations of all kinds and two actions, which never falls."""

    num_actions = 2

    def reset(self, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Start somewhere."""
        state = jax.random.uniform(key, (3,))
        return state, self._observe(state)

    def step(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, Transition]:
        """Move a bit."""
        state = 0.9 * state + 0.1 * jnp.tanh(jnp.sum(action))
        return state, Transition(self._observe(state), -jnp.sum(jnp.square(state)), terminated=jnp.zeros((), bool))

    def _observe(self, state: jax.Array) -> dict[str, jax.Array]:
        return {name: jnp.broadcast_to(state[0], shape) + 0.1 for name, shape in SHAPES.items()}


ENV = vectorize(Everything(), NUM_ENVS, max_episode_length=3, step_dt=0.1)

# --- valid configs ----------------------------------------------------------------------------------------------------

GROUPS = {"actor": ["policy"], "critic": ["policy", "privileged"]}
MLP = {"class_name": "MLPModel", "hidden_dims": [4, 4], "activation": "elu", "obs_normalization": True}
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.8, "std_range": [0.1, 2.0], "std_type": "log"}
ENCODER = {
    "output_channels": [2, 2],
    "kernel_size": [2, 2],
    "stride": 1,
    "dilation": 1,
    "padding": "zeros",
    "norm": ["layer", "none"],
    "activation": "relu",
    "max_pool": [False, True],
    "global_pool": "none",
    "flatten": True,
}
PPO = {
    "class_name": "PPO",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "num_learning_epochs": 2,
    "num_mini_batches": 2,
    "schedule": "adaptive",
    "value_loss_coef": 1.0,
    "clip_param": 0.2,
    "use_clipped_value_loss": True,
    "desired_kl": 0.01,
    "entropy_coef": 0.01,
    "gamma": 0.99,
    "lam": 0.95,
    "max_grad_norm": 1.0,
    "normalize_advantage_per_mini_batch": False,
    "use_mixed_precision": False,
    "share_cnn_encoders": False,
    "time_out_bootstrap": "final",
    "grad_reduce_bucket_mb": 25,
    "rnd_cfg": None,
    "symmetry_cfg": None,
    "extensions": {},
}
RUN = {"num_steps_per_env": 3, "save_interval": 5, "obs_groups": GROUPS, "seed": 1, "run_name": "a run"}
RND = {
    "weight": 2.0,
    "weight_schedule": {"mode": "linear", "initial_step": 1, "final_step": 5, "final_value": 0.1},
    "reward_normalization": True,
    "state_normalization": True,
    "learning_rate": 1e-3,
    "num_outputs": 2,
    "predictor_hidden_dims": [4],
    "target_hidden_dims": [-1],
    "activation": "elu",
}
SYMMETRY = {
    "use_data_augmentation": True,
    "use_mirror_loss": True,
    "mirror_loss_coeff": 0.5,
    "mirror_spec": {
        "observations": {"policy": {"size": 3, "swap": [[0, 1]]}, "privileged": {"size": 2, "flip": [0]}},
        "actions": {"size": 2, "swap": [[0, 1]], "flip": [0, 1]},
    },
}
RNN = {**MLP, "class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 3, "rnn_num_layers": 1}
CNN = {**MLP, "class_name": "CNNModel", "hidden_dims": [4], "cnn_cfg": ENCODER}
SEES = {"actor": ["policy", "camera"], "critic": ["camera", "privileged"]}
DISTILLATION = {
    "class_name": "Distillation",
    "optimizer": {"class_name": "adamw", "weight_decay": 0.1},
    "learning_rate": 1e-3,
    "num_learning_epochs": 2,
    "gradient_length": 2,
    "max_grad_norm": 0.0,
    "loss_type": "huber",
    "use_mixed_precision": False,
}


def run(**sections: Any) -> dict[str, Any]:
    """A config with some sections of its own."""
    return {**RUN, "algorithm": PPO, "actor": {**MLP, "distribution_cfg": GAUSSIAN}, "critic": MLP, **sections}


VALID: dict[str, dict[str, Any]] = {
    "nothing": {},
    "feed-forward": run(),
    "recurrent": run(actor={**RNN, "distribution_cfg": GAUSSIAN}, critic={**RNN, "rnn_type": "LSTM"}),
    "images": run(actor={**CNN, "distribution_cfg": {"class_name": "BetaDistribution"}}, critic=CNN, obs_groups=SEES),
    "images, encoder by group": run(
        algorithm={**PPO, "share_cnn_encoders": True},
        actor={**CNN, "cnn_cfg": {"camera": ENCODER}},
        critic={**CNN, "cnn_cfg": None},
        obs_groups=SEES,
    ),
    "curiosity": run(algorithm={**PPO, "rnd_cfg": RND}, obs_groups={**GROUPS, "rnd_state": ["privileged"]}),
    "symmetry": run(algorithm={**PPO, "symmetry_cfg": SYMMETRY}),
    "state-dependent deviation": run(
        actor={**MLP, "distribution_cfg": {**GAUSSIAN, "class_name": "HeteroscedasticGaussianDistribution"}},
        logger=[{"class_name": "tensorboard"}],
    ),
    "custom components": run(
        algorithm={
            **PPO,
            "optimizer": {"class_name": "tests.own_parts:lion", "b1": 0.5},
            "extensions": {"mine": {"class_name": "tests.own_parts:bonus", "weight": 0.5}},
        },
        actor={"class_name": "tests.own_parts:GatedModel", "num_gates": 2, "hidden_dims": [4]},
    ),
    "distillation": {
        **RUN,
        "obs_groups": {"student": ["policy"], "teacher": ["policy", "privileged"]},
        "algorithm": DISTILLATION,
        "student": {**RNN, "distribution_cfg": GAUSSIAN},
        "teacher": {**MLP, "distribution_cfg": {"class_name": "GaussianDistribution"}},
    },
    "distillation, written for RSL-RL 3": {
        **RUN,
        "obs_groups": {"policy": ["policy"], "teacher": ["policy", "privileged"]},
        "algorithm": {**DISTILLATION, "optimizer": "Adam"},
        "policy": {
            "class_name": "StudentTeacher",
            "student_hidden_dims": [4],
            "teacher_hidden_dims": [4],
            "activation": "elu",
            "init_noise_std": 0.2,
        },
    },
    "written for RSL-RL 2": {
        "runner": {"num_steps_per_env": 3, "save_interval": 5, "policy_class_name": "ActorCritic"},
        "policy": {"init_noise_std": 1.0, "actor_hidden_dims": [4], "critic_hidden_dims": [4], "activation": "elu"},
        "algorithm": {"class_name": "PPO", "learning_rate": 1e-3, "num_mini_batches": 2},
    },
}
"""Configs of every kind, which work."""

# --- how they are broken ----------------------------------------------------------------------------------------------

NAMES = ["", "PPO", "MLPModel", "RNNModel", "CNNModel", "Distillation", "BetaDistribution", "GaussianDistribution"]
NAMES += ["CategoricalDistribution", "Symmetry", "RandomNetworkDistillation", "adam", "tensorboard", "adaptive", "elu"]
NAMES += ["os.system", "os:getcwd", "math:pi", "fractions:Fraction", "no.such:Part", "a\0b:c", ".relative:Part", ":x"]
NAMES += ["tests.own_parts:GatedModel", "tests.own_parts:slow_ppo", "tests.own_parts:wide_gaussian", "builtins:dict"]
NAMES += [
    "policy",
    "privileged",
    "camera",
    "reflect",
    "zeros",
    "max",
    "none",
    "log",
    "1e-3",
    "0",
    "nan",
    "ünïcødé ∞ 🤖",
]
NUMBERS = [0, 1, 2, 3, 7, -1, -2, 0.0, 0.5, 1.0, -0.5, 1.5, 1e-9, 1e9, 1e30, -1e30, 1e300, 2**31 - 1, 2**31, 2**32]
NUMBERS += [2**64, -(2**31), 10**400, float("nan"), float("inf"), float("-inf"), 3.0, 0.999]
OTHERS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [0],
    [-1],
    [4],
    [0.1, 0.2],
    [None],
    [True],
    ["policy"],
    {"class_name": "PPO"},
]
OTHERS += [{"class_name": None}, {"a": 1}, {1: 2}, {"camera": {}}, b"bytes", (1, 2), [1, "a"], [2.0, 1.0], object]


class Broken(NamedTuple):
    """A config with something wrong in it, perhaps.

    Attributes:
        kind: which of :data:`VALID` it was.
        paths: the keys that were touched, each as the path of keys and indices to it.
        config: what it has become.
    """

    kind: str
    paths: tuple[tuple[Any, ...], ...]
    config: dict[Any, Any]


def paths_of(node: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """Paths to everything within a config."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


def at(node: Any, path: tuple[Any, ...]) -> Any:
    """What stands at a path."""
    return functools.reduce(lambda inner, key: inner[key], path, node)


@st.composite
def broken(draw: st.DrawFn) -> Broken:
    """A valid config in which one thing, or two, are something else."""
    kind = draw(st.sampled_from(list(VALID)))
    config, touched = copy.deepcopy(VALID[kind]), []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        paths = list(paths_of(config))
        if not paths or draw(st.integers(0, 19)) == 0:  # a key that was not there
            key = draw(
                st.sampled_from(["algorithm", "actor", "obs_groups", "sede", "seed", "logger", "policy", "x", 7])
            )
            config[key] = draw(values())
            touched.append((key,))
            continue
        path = draw(st.sampled_from(paths))
        key = _break(draw, at(config, path[:-1]), path[-1], config)
        touched += [path, (*path[:-1], key)]
    return Broken(kind, tuple(touched), config)


def values() -> st.SearchStrategy[Any]:
    """What may stand in the place of something else."""
    return st.one_of(*(st.sampled_from(pool).map(copy.deepcopy) for pool in (NUMBERS, NAMES, OTHERS)))


def _break(draw: st.DrawFn, parent: Any, key: Any, config: Any) -> None:
    how = draw(
        st.sampled_from(["replace"] * 8 + ["remove", "rename", "wrap", "nest", "take another", "scale", "twice"])
    )
    value = parent[key]
    if how == "replace":
        parent[key] = draw(values())
    elif how == "remove":
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        old, names = key, [f"{key}s", str(key)[:-1], str(key).upper(), f"{key}\n", "ключ", 3, None, ("a",)]
        key = draw(st.sampled_from(names))
        parent[key] = value
        if old != key:
            del parent[old]
    elif how == "wrap":
        parent[key] = [value]
    elif how == "nest":
        parent[key] = {key: value}
    elif how == "take another":
        parent[key] = copy.deepcopy(at(config, draw(st.sampled_from(list(paths_of(config))))))
    elif how == "scale" and isinstance(value, (int, float)):
        parent[key] = value * draw(st.sampled_from([-1, 0, 10, 1e6, 1e40, float("nan")]))
    elif how == "twice" and isinstance(value, list):
        parent[key] = value + value
    else:
        parent[key] = draw(values())
    return key


def nudged(value: Any) -> st.SearchStrategy[Any]:
    """Something near a value, which is often allowed."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int):
        return st.sampled_from([value + 1, value - 1, 2 * value, float(value)])
    if isinstance(value, float):
        return st.sampled_from([0.0, value / 3, value * 3, -value, str(value), int(value)])
    if isinstance(value, str):
        return st.sampled_from([value.upper(), value.lower(), "mish", "fixed", "none", "sgd", "mse", "scalar", "step"])
    if isinstance(value, list):
        return st.sampled_from([value[1:], [*value, *value[-1:]], tuple(value), value[::-1]])
    return st.sampled_from([None, {}, value])


# --- what comes of them -----------------------------------------------------------------------------------------------

REFUSED, WORKS, DIVERGED, TOO_LARGE = "refused, says where", "works", "works, diverges and says so", "too large to run"
UNCLEAR, CRASHES = "refused, does not say where", "crashes"
RIGHT = (REFUSED, WORKS, DIVERGED, TOO_LARGE)

LARGEST = 2e8
"""Bytes of states, and steps of the optimiser times samples, beyond which a config is traced and not run."""


NEW_NAMES = {"init_noise_std": "init_std"}
"""Keys of old configs that are called otherwise now."""


class Outcome(NamedTuple):
    """What came of a config.

    Attributes:
        verdict: one of :data:`RIGHT`, or :data:`UNCLEAR` or :data:`CRASHES`.
        error: of what type, and its text.
    """

    verdict: str
    error: str = ""


def outcome(example: Broken, follow_up: Callable[[BaseRunnerConfig, Algorithm], str]) -> Outcome:
    """Read and build a config, and do something with what is accepted.

    Args:
        example: the config.
        follow_up: :func:`trace` or :func:`learn`; gives the verdict.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cfg = BaseRunnerConfig.from_dict(example.config)
            choose_writers(cfg.to_dict(), will_open=False)
            algorithm = build_algorithm(cfg, spec_of(ENV))
            check_training(algorithm, num_envs=NUM_ENVS, num_steps=cfg.num_steps_per_env)
        except (ValueError, TypeError, ImportError) as error:
            text = f"{type(error).__name__}: {error}"
            return Outcome(REFUSED if says_where(str(error), example.paths) else UNCLEAR, text)
        except Exception as error:
            return Outcome(CRASHES, f"{type(error).__name__}: {error}")
        try:
            return Outcome(follow_up(cfg, algorithm))
        except Exception as error:
            return Outcome(CRASHES, f"after it was accepted: {type(error).__name__}: {str(error)[:500]}")


def says_where(text: str, paths: Iterable[tuple[Any, ...]]) -> bool:
    """Whether an error names a key that was touched, or the section that holds it by its whole path.

    Keys of old configs may go by their new names: ``critic_hidden_dims`` by ``critic.hidden_dims``.
    """
    text = text.replace(".", "_")
    for path in paths:
        names = [NEW_NAMES.get(key, str(key)) for key in path if not isinstance(key, int)] or [str(path[0])]
        if names[-1] in text or (len(names) > 1 and "_".join(names[:-1]) in text):
            return True
    return False


def structure(cfg: BaseRunnerConfig, *, with_numbers: bool) -> str:
    """What shapes the program of a config, as text; the floats of other sections than the algorithm's with them."""
    plain = cfg.to_dict()
    algorithm = dict(plain.pop("algorithm"))
    floats = [name for name, value in algorithm.items() if isinstance(value, float)]
    kept = {name: value for name, value in plain.items() if name in ("num_steps_per_env", "obs_groups", *_models(cfg))}
    text = json.dumps([kept, {**algorithm, **dict.fromkeys(floats, 0)}], sort_keys=True, default=str)
    return text if with_numbers else json.dumps(_without_floats(json.loads(text)))


def _models(cfg: BaseRunnerConfig) -> list[str]:
    return [field.name for field in dataclasses.fields(cfg) if field.name in ("actor", "critic", "student", "teacher")]


def _without_floats(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_floats(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_floats(value) for value in node]
    return 0.5 if isinstance(node, float) else node


_TRACED: set[str] = set()


def trace(cfg: BaseRunnerConfig, algorithm: Algorithm) -> str:
    """Trace an iteration, once for all configs of a structure; nothing is compiled, no array made."""
    key = structure(cfg, with_numbers=False)
    if key not in _TRACED:
        before = jax.eval_shape(functools.partial(init_states, algorithm, ENV), jax.random.key(0))
        after = jax.eval_shape(make_iteration(algorithm, ENV, num_steps=cfg.num_steps_per_env), *before)
        same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, before, after[:2])
        assert all(jax.tree.leaves(same)), "an iteration changes the shape of its state"
        _TRACED.add(key)
    return WORKS


_COMPILED: dict[str, Callable[..., Any]] = {}
FASTEST_TO_COMPILE: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def learn(cfg: BaseRunnerConfig, algorithm: Algorithm) -> str:
    """Learn for two iterations."""
    state, _ = before = jax.eval_shape(functools.partial(init_states, algorithm, ENV), jax.random.key(0))
    section = cfg.algorithm
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(before) if hasattr(leaf.dtype, "itemsize"))
    steps = getattr(section, "num_learning_epochs", 1) * cfg.num_steps_per_env * NUM_ENVS
    if size * max(1.0, cfg.num_steps_per_env / 100) > LARGEST or steps > 1e5:
        return TOO_LARGE
    floats = {name: value for name, value in vars(section).items() if isinstance(value, float)}
    key = structure(cfg, with_numbers=True)
    if key not in _COMPILED:
        _COMPILED[key] = jax.jit(make_train(ENV, cfg, 2), compiler_options=FASTEST_TO_COMPILE)
    zeros: Any = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), (state.params, state.statistics))
    start = {name: {"params": zeros[0][name], **zeros[1][name]} for name in algorithm.given}
    _, metrics = _COMPILED[key](jax.random.key(cfg.seed or 0), start, **floats)
    metrics = {name: np.asarray(values) for name, values in metrics.items()}
    if any(values.any() for name, values in metrics.items() if name.startswith(PREFIX)):
        return DIVERGED
    broken = [name for name, values in metrics.items() if name.startswith("Loss/") and not np.isfinite(values).all()]
    assert not broken, f"{broken} are not finite, and nothing says so"
    return WORKS


# --- the long form ----------------------------------------------------------------------------------------------------


def examples(number: int) -> list[Broken]:
    """That many broken configs, always the same."""
    found: list[Broken] = []

    @settings(
        max_examples=number + number // 5 + 50,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(broken())
    def draw(example: Broken) -> None:
        found.append(example)

    draw()
    return list({repr(example): example for example in found}.values())[:number]


def main() -> None:
    """Break configs, let the accepted ones learn, and say what came of them."""
    parser = argparse.ArgumentParser(description="Broken configs: each works, or is refused with where.")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--only-trace", action="store_true", help="compile nothing")
    parser.add_argument("--out", type=Path, default=Path("config_fuzz.jsonl"))
    args = parser.parse_args()
    verdicts: collections.Counter[str] = collections.Counter()
    start = time.perf_counter()
    with args.out.open("w") as file:
        for index, example in enumerate(examples(args.examples)):
            verdict, error = outcome(example, trace if args.only_trace else learn)
            verdicts[verdict] += 1
            row = {"index": index, "kind": example.kind, "paths": example.paths, "verdict": verdict, "error": error}
            print(json.dumps(row, default=repr), file=file, flush=True)
            if verdict not in RIGHT:
                print(f"{verdict}: {example.kind} {example.paths}\n    {error[:300]}", flush=True)
    print(f"{sum(verdicts.values())} configs in {time.perf_counter() - start:.0f} s: {dict(verdicts)}")
    if any(verdict not in RIGHT for verdict in verdicts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
