"""Environments by name: :func:`make_env`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rsl_jax.env.base import Env, VecEnv
from rsl_jax.env.suites import Suite
from rsl_jax.env.vec_env import JaxVecEnv
from rsl_jax.env.vectorized import vectorize
from rsl_jax.registry import BASES, PARTS, load, nearest, resolve_part
from rsl_jax.trusted import permit

ROBOT_OPTIONS = ("randomize", "randomize_every", "sensors")
"""Options of :func:`rsl_jax.env.vectorize` that :func:`make_env` also applies to a factory's ``SingleEnv``."""


def make_env(name: str, *, num_envs: int, **options: Any) -> Env[Any] | VecEnv:
    """Make an environment.

    Args:
        name: ``playground/CartpoleBalance``, ``brax/ant``, ``gymnax/Pendulum-v1``, ``gymnasium/Pendulum-v1``, one of a
            custom suite as ``module.path:SUITE/NAME`` (a :class:`Suite`), or a custom environment as
            ``module.path:factory``. The factory is called as ``factory(num_envs=num_envs, **options)`` (without
            ``num_envs`` where it has no such parameter) and returns an ``Env``, a ``VecEnv``, or a ``SingleEnv``, which
            is then vectorized.
        num_envs: size of the batch, ``N``.
        **options: passed to the suite's adapter (:mod:`rsl_jax.env.brax`, :mod:`rsl_jax.env.gymnax`,
            :mod:`rsl_jax.env.gymnasium`) or to the factory; for all but gymnasium's: ``max_episode_length``,
            ``auto_reset``, ``reset_pool_size``, and ``randomize``, ``randomize_every`` and ``sensors``, which also
            apply to a factory's ``SingleEnv`` (:func:`rsl_jax.env.vectorize` describes them).

    Raises:
        ValueError: for an unknown name or option; names the nearest one.
        ImportError: if a package is missing; says how to install it.
        TypeError: if a factory returns something else.
    """
    suite, _, env_name = name.partition("/")
    if suite in PARTS["suite"] or (":" in suite and env_name):
        return _call(suite_of(suite).make, name, env_name, num_envs, **options)
    if ":" in name:
        return _from_factory(name, num_envs, options)
    suites = ", ".join(f"{suite}/NAME" for suite in PARTS["suite"])
    raise ValueError(
        f"Unknown environment '{name}'. Names are {suites} or "
        f"module.path:factory.{nearest(name, _all_names_like(name))}"
    )


def make_vec_env(name: str, *, num_envs: int, seed: int = 0, **options: Any) -> VecEnv:
    """Make an environment with RSL-RL's interface: a pure one is wrapped as :class:`rsl_jax.env.JaxVecEnv`.

    Args:
        name: see :func:`make_env`.
        num_envs: size of the batch, ``N``.
        seed: seed of the environments.
        **options: see :func:`make_env`.
    """
    if name.partition("/")[0] == "gymnasium":
        options["seed"] = seed
    env = make_env(name, num_envs=num_envs, **options)
    if isinstance(env, Env):
        return JaxVecEnv(env, seed=seed)
    return env


def permit_env(name: str) -> None:
    """Check whether the name of an environment, read from a file, may be used; no environment is made.

    Raises:
        UntrustedNameError: if it is from a run's file, and would import what that must not name.
    """
    suite, _, env_name = name.partition("/")
    if ":" in suite and env_name:
        suite_of(suite)
    elif ":" in name and suite not in PARTS["suite"]:
        load(name, "environment", bases=BASES["environment"])
    if ":" in env_name:  # as in gymnasium/module:Name-v0, which has a module imported
        permit(env_name, "environment")


def list_envs() -> dict[str, list[str]]:
    """List the names that :func:`make_env` accepts, by suite; a suite whose package is not installed has none."""
    return {
        name: [f"{name}/{env}" for env in suite.names()] if suite.is_installed else []
        for name, suite in _library_suites().items()
    }


def needs_download() -> list[str]:
    """List the names of :func:`list_envs` that need a download before they are first made."""
    return [
        f"{name}/{env}" for name, suite in _library_suites().items() if suite.is_installed for env in suite.downloads()
    ]


def missing_extras() -> dict[str, str]:
    """Return the installation command for each suite whose package is not installed."""
    return {name: suite.install for name, suite in _library_suites().items() if not suite.is_installed}


def suite_of(name: str) -> Suite:
    """Return the suite of a name, or of the import path of one.

    Raises:
        TypeError: if the path leads to anything else.
    """
    suite = resolve_part(name, "suite", called="suite of environments")
    if not isinstance(suite, Suite):
        raise TypeError(f"'{name}' is a {type(suite).__name__}; a suite of environments is a rsl_jax.env.Suite.")
    return suite


def _library_suites() -> dict[str, Suite]:
    return {name: suite_of(name) for name in PARTS["suite"]}


def _all_names_like(name: str) -> list[str]:
    """List all names; for a name without a suite also those that only lack it, so that they count as near."""
    names = [env for envs in list_envs().values() for env in envs]
    bare = [env for env in names if env.partition("/")[2].lower() == name.lower()]
    return bare or names


def _from_factory(name: str, num_envs: int, options: dict[str, Any]) -> Env[Any] | VecEnv:
    factory: Callable[..., Any] = load(name, "environment")
    parameters = inspect.signature(factory).parameters.values()
    wants_size = any(p.name == "num_envs" or p.kind is p.VAR_KEYWORD for p in parameters)
    takes = {p.name for p in parameters} | (
        {*ROBOT_OPTIONS} if any(p.kind is p.VAR_KEYWORD for p in parameters) else set()
    )
    ours = {key: options[key] for key in ROBOT_OPTIONS if key in options and key not in takes}
    options = {key: value for key, value in options.items() if key not in ours}
    env = _call(factory, name, **({"num_envs": num_envs} if wants_size else {}), **options)
    if isinstance(env, Env | VecEnv):
        if any(ours.values()):
            raise ValueError(
                f"{' and '.join(ours)} are for single environments, but '{name}' returns a batch "
                f"({type(env).__name__}). Return the SingleEnv, or give them to rsl_jax.env.vectorize yourself."
            )
        return env
    if callable(getattr(env, "reset", None)) and callable(getattr(env, "step", None)) and hasattr(env, "num_actions"):
        return vectorize(env, num_envs, **ours)
    raise TypeError(
        f"'{name}' must return a rsl_jax.env.Env, VecEnv or SingleEnv, but returned a {type(env).__name__}. "
        "A SingleEnv has num_actions, reset(key) and step(state, action)."
    )


def _call(make: Callable[..., Any], name: str, *args: Any, **options: Any) -> Any:
    """Call ``make``, after a check of its options."""
    parameters = inspect.signature(make).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for option in options:
        if option not in named and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            allowed = [each for each in named if each not in ("name", "num_envs")]
            hint = f"Allowed: {', '.join(allowed) or 'none'}.{nearest(option, allowed)}"
            raise ValueError(f"Unknown option '{option}' of '{name}'. {hint}")
    return make(*args, **options)
