"""Makes ``import rsl_rl`` lead to :mod:`rsl_jax.rsl_rl`, for this process."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from rsl_jax.rsl_rl import VERSION

ALIAS, HOME = "rsl_rl", "rsl_jax.rsl_rl"

DISTRIBUTION = "rsl-rl-lib"
"""What RSL-RL is called where packages are installed from."""

SUBMODULES: Mapping[str, frozenset[str]] = {
    "algorithms": frozenset({"distillation", "ppo"}),
    "env": frozenset({"vec_env"}),
    "extensions": frozenset({"rnd", "symmetry"}),
    "models": frozenset({"cnn_model", "mlp_model", "rnn_model"}),
    "modules": frozenset({"cnn", "distribution", "mlp", "normalization", "rnn"}),
    "runners": frozenset({"distillation_runner", "on_policy_runner"}),
    "storage": frozenset({"rollout_storage"}),
    "utils": frozenset({"log_writer", "logger", "neptune_log_writer", "utils", "wandb_log_writer"}),
}
"""RSL-RL's packages and their modules. Here each package is one module, and its modules lead to it as well."""


def install() -> None:
    """Make ``rsl_rl`` and its modules lead to rsl_jax in this process, whether rsl-rl-lib is installed or not.

    In a notebook it comes before anything that imports ``rsl_rl``. A second call does nothing. Processes that are
    started afterwards are not affected.

    Raises:
        ImportError: if RSL-RL itself has been imported already.
    """
    if any(isinstance(finder, RslRlFinder) for finder in sys.meta_path):
        return
    if ALIAS in sys.modules:
        raise ImportError(
            f"'{ALIAS}' has already been imported, from {getattr(sys.modules[ALIAS], '__file__', 'somewhere')}. Call "
            "rsl_jax.as_rsl_rl.install() before anything imports it: first thing in the script, or in a fresh kernel."
        )
    # The simulator shares the GPU, of which JAX would take three quarters when it starts.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    sys.meta_path.insert(0, RslRlFinder())


def uninstall() -> None:
    """Undo :func:`install`; modules that have imported ``rsl_rl`` keep what they have."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, RslRlFinder)]
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(f"{ALIAS}.")]:
        del sys.modules[name]


class RslRlFinder(MetaPathFinder):
    """Finds ``rsl_rl`` and its modules, and the metadata of rsl-rl-lib, before anything installed is found."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module that a name of RSL-RL's leads to.

        Raises:
            ModuleNotFoundError: if RSL-RL 5.5.1 has no module of this name.
        """
        if fullname != ALIAS and not fullname.startswith(f"{ALIAS}."):
            return None
        _, *parts = fullname.split(".")
        known = {(), *((package,) for package in SUBMODULES), *((p, m) for p, ms in SUBMODULES.items() for m in ms)}
        if tuple(parts) not in known:
            raise ModuleNotFoundError(
                f"RSL-RL {VERSION}, for which rsl_jax stands in here, has no module '{fullname}'. Its packages are "
                f"{', '.join(SUBMODULES)}; docs/migrating.md has what became of older names.",
                name=fullname,
            )
        home = ".".join([HOME, *parts[:1]])
        return ModuleSpec(fullname, AliasLoader(home), is_package=len(parts) < 2)

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        """The metadata of rsl-rl-lib."""
        name = getattr(context, "name", None)
        if name is not None and name.lower().replace("_", "-") == DISTRIBUTION:
            yield StandIn()


class AliasLoader(Loader):
    """Loads a module by importing another one in its place."""

    def __init__(self, home: str):
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """A module as always, which :meth:`exec_module` replaces."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the other module in its place."""
        home = importlib.import_module(self._home)
        if not hasattr(home, "__path__"):
            home.__path__ = []  # modules below it are found by their names alone
        sys.modules[module.__name__] = home


class StandIn(importlib.metadata.Distribution):
    """The metadata of the version of RSL-RL whose interface this is."""

    def read_text(self, filename: str) -> str | None:
        """The file METADATA."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {VERSION}\nSummary: rsl_jax stands in for it\n"

    def locate_file(self, path: str | os.PathLike[str]) -> Any:
        """Where a file of it would be; there are none."""
        from pathlib import Path

        return Path(__file__).parent / path
