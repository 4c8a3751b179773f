"""Registry of the library's components, and resolution of names and import paths in configs."""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsl_jax.trusted import is_reading_run, permit, split

__all__ = ["PARTS", "install_line", "library_name", "load", "lookup", "nearest", "resolve_part"]

PARTS: Mapping[str, Mapping[str, str]] = {
    "algorithm": {
        "PPO": "rsl_jax.algorithms:PPO",
        "Distillation": "rsl_jax.algorithms:Distillation",
    },
    "model": {
        "MLPModel": "rsl_jax.models:MLPModel",
        "RNNModel": "rsl_jax.models:RNNModel",
        "CNNModel": "rsl_jax.models:CNNModel",
    },
    "distribution": {
        "GaussianDistribution": "rsl_jax.distributions:gaussian",
        "HeteroscedasticGaussianDistribution": "rsl_jax.distributions:heteroscedastic_gaussian",
        "BetaDistribution": "rsl_jax.distributions:beta",
        "CategoricalDistribution": "rsl_jax.distributions:categorical",
    },
    "extension": {
        "RandomNetworkDistillation": "rsl_jax.extensions.rnd:Rnd",
        "Symmetry": "rsl_jax.extensions.symmetry:Symmetry",
    },
    "optimizer": {
        "adam": "rsl_jax.ops.optimizers:adam",
        "adamw": "rsl_jax.ops.optimizers:adamw",
        "sgd": "rsl_jax.ops.optimizers:sgd",
        "rmsprop": "rsl_jax.ops.optimizers:rmsprop",
    },
    "logger": {
        "tensorboard": "rsl_jax.logging.tensorboard_writer:TensorboardLogWriter",
        "TensorboardLogWriter": "rsl_jax.logging.tensorboard_writer:TensorboardLogWriter",
        "wandb": "rsl_jax.logging.wandb_writer:WandbLogWriter",
        "WandbLogWriter": "rsl_jax.logging.wandb_writer:WandbLogWriter",
        "neptune": "rsl_jax.logging.neptune_writer:NeptuneLogWriter",
        "NeptuneLogWriter": "rsl_jax.logging.neptune_writer:NeptuneLogWriter",
        "mlflow": "rsl_jax.logging.mlflow_writer:MlflowLogWriter",
        "MlflowLogWriter": "rsl_jax.logging.mlflow_writer:MlflowLogWriter",
    },
    "suite": {
        "playground": "rsl_jax.env.brax:PLAYGROUND",
        "brax": "rsl_jax.env.brax:BRAX",
        "gymnax": "rsl_jax.env.gymnax:GYMNAX",
        "gymnasium": "rsl_jax.env.gymnasium:GYMNASIUM",
    },
}
"""Import path of every component, by kind and name; it is imported on first use. A new component is one line.

The section of its config is derived from it (:func:`rsl_jax.config.section_type`)."""

RSL_RL = ("rsl_rl.", "rsl_jax.rsl_rl.")
"""Prefixes of the modules of RSL-RL and of its stand-in."""

BASES: Mapping[str, tuple[str, ...]] = {
    "algorithm": ("rsl_jax.algorithms:PPO", "rsl_jax.algorithms:Distillation", "rsl_jax.types:Algorithm"),
    "model": ("rsl_jax.models:MLPModel",),
    "logger": ("rsl_jax.logging:LogWriter",),
    "suite": ("rsl_jax.env:Suite",),
    "environment": ("rsl_jax.env:Env", "rsl_jax.env:SingleEnv", "rsl_jax.env:VecEnv"),
}
"""Base classes of custom components and environments, by kind."""

COMPILED = ("algorithm", "model", "distribution", "extension")
"""Kinds of components that XLA compiles."""


def install_line(extra: str) -> str:
    """Return the command that installs an extra; in a checkout, also the command for there."""
    line = f'pip install "rsl-jax[{extra}]"'
    in_checkout = (Path(__file__).parents[1] / "pyproject.toml").is_file()
    return f'{line} (in a checkout: pip install -e ".[{extra}]")' if in_checkout else line


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint ``" Did you mean 'x'?"`` for a misspelt name, or ``""`` if no allowed name is near."""
    close = difflib.get_close_matches(str(name), map(str, allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def lookup(name: str, table: Mapping[str, Any], kind: str) -> Any:
    """Look up the entry of a table.

    Raises:
        ValueError: if there is none; lists the allowed names and suggests the nearest.
    """
    if name not in table:
        raise ValueError(f"Unknown {kind} '{name}'. Allowed: {', '.join(sorted(table))}.{nearest(name, table)}")
    return table[name]


def library_name(callable_or_name: Callable[..., Any] | str, kind: str, *, called: str | None = None) -> str | None:
    """Return the name of a component in the library, or None for a custom one.

    Args:
        callable_or_name: the ``class_name`` of a config. RSL-RL's classes and paths into ``rsl_rl`` mean our component
            of the same name, so that its configs work.
        kind: a key of :data:`PARTS`.
        called: what errors call the component; its kind if None.

    Raises:
        TypeError: if neither a callable nor a string is given.
        ValueError: if a bare name is unknown.
    """
    table = PARTS[kind]
    if isinstance(callable_or_name, str):
        path = callable_or_name
        if ":" not in path and "." not in path:
            lookup(path, table, called or kind)
            return path
        module, _, name = path.replace(":", ".").rpartition(".")
    elif callable(callable_or_name):
        module = getattr(callable_or_name, "__module__", "") or ""
        name = getattr(callable_or_name, "__qualname__", "")
    else:
        raise TypeError(f"The {called or kind} must be a callable or its name; got {callable_or_name!r}.")
    if module.startswith(RSL_RL) and (name in table or isinstance(callable_or_name, str)):
        lookup(name, table, called or kind)
        return name
    homes = {known: path.partition(":") for known, path in table.items()}
    return next(
        (k for k, (home, _, attr) in homes.items() if attr == name and f"{module}.".startswith(f"{home}.")), None
    )


def resolve_part(callable_or_name: Callable[..., Any] | str, kind: str, *, called: str | None = None) -> Any:
    """Return the factory of a component, of the library or custom.

    Args:
        callable_or_name: a callable, ``"module.path:Attr"``, ``"module.path.Attr"`` or a name of :data:`PARTS`.
        kind: a key of :data:`PARTS`.
        called: what errors call the component; its kind if None.

    Raises:
        TypeError: if neither a callable nor a string is given, or a class written for PyTorch.
        ValueError: if a bare name is unknown.
        ImportError: if a path cannot be imported.
    """
    name = library_name(callable_or_name, kind, called=called)
    if name is not None:
        return _import(PARTS[kind][name])
    part = load(callable_or_name, called or kind, PARTS[kind], bases=BASES.get(kind, ()))
    if kind in COMPILED:
        _refuse_torch(part, called or kind)
    return part


def _refuse_torch(part: Any, kind: str) -> None:
    """Reject a class written for PyTorch, which XLA cannot compile.

    Raises:
        TypeError: if it is one; says what to write instead.
    """
    for base in getattr(part, "__mro__", ()):
        if base.__module__.startswith(("torch.nn", *RSL_RL)):
            raise TypeError(
                f"The {kind} '{part.__module__}:{part.__qualname__}' is written for PyTorch (it derives from "
                f"{base.__module__}.{base.__qualname__}), so XLA cannot compile it together with the rest. Write it "
                "for JAX (a model with Flax), and give its import path as class_name; docs/custom_parts.md shows how."
            )


def load(
    callable_or_path: Callable[..., Any] | str, kind: str, table: Iterable[str] = (), *, bases: Sequence[str] = ()
) -> Any:
    """Import the object at a path; a callable is returned unchanged.

    Args:
        callable_or_path: a callable, ``"module.path:Attr"`` or ``"module.path.Attr"``.
        kind: what the path names, for errors.
        table: names that are allowed as well, for errors.
        bases: the library's classes that it may derive from, see :func:`rsl_jax.trusted.permit`.

    Raises:
        TypeError: if neither a callable nor a string is given.
        ImportError: if the path cannot be imported.
        UntrustedNameError: if a run's file names it and may not.
    """
    if not isinstance(callable_or_path, str):
        if not callable(callable_or_path):
            raise TypeError(f"The {kind} must be a callable or its name; got {callable_or_path!r}.")
        return callable_or_path
    check = permit(callable_or_path, kind, bases=bases)
    try:
        target = _import(callable_or_path)
    except (ImportError, AttributeError) as error:
        bare = f", or one of: {', '.join(sorted(table))}" if table else ""
        raise ImportError(
            f"The {kind} '{callable_or_path}' cannot be imported: {error}. Give 'module.path:Name' of something that "
            f"can be imported here{bare}."
        ) from error
    check(target)
    return target


def vet(callable_or_path: Any, kind: str, *, bases: Sequence[str] = ()) -> None:
    """Check a path that is not needed yet; if it is read from a run's file, it must be allowed there.

    Raises:
        UntrustedNameError: if it is not allowed.
    """
    if not isinstance(callable_or_path, str) or not is_reading_run():
        return
    check = permit(callable_or_path, kind, bases=bases)
    with contextlib.suppress(ImportError, AttributeError):  # reported where it is needed
        check(_import(callable_or_path))


def _import(path: str) -> Any:
    module, attribute = split(path)
    if not module or module.startswith("."):
        raise ImportError("it names no module")
    target: Any = importlib.import_module(module)
    for name in attribute.split("."):
        target = getattr(target, name)
    return target
