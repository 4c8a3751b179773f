"""Redirection of ``import rsl_rl`` to :mod:`rsl_jax.rsl_rl` in this process."""

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
"""Name of RSL-RL's distribution package."""

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
"""RSL-RL's packages and their modules. Here each package is one module, to which its submodules redirect as well."""


def install() -> None:
    """Redirect ``rsl_rl`` and its modules to rsl_jax in this process, whether or not rsl-rl-lib is installed.

    In a notebook, call it before anything imports ``rsl_rl``. A second call does nothing. Child processes are not
    affected.

    Raises:
        ImportError: if RSL-RL itself has already been imported.
    """
    if any(isinstance(finder, RslRlFinder) for finder in sys.meta_path):
        return
    if ALIAS in sys.modules:
        raise ImportError(
            f"'{ALIAS}' has already been imported, from {getattr(sys.modules[ALIAS], '__file__', 'somewhere')}. Call "
            "rsl_jax.as_rsl_rl.install() before anything imports it: at the start of the script or of a fresh kernel."
        )
    # The simulator shares the GPU, and JAX would preallocate three quarters of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    sys.meta_path.insert(0, RslRlFinder())


def uninstall() -> None:
    """Undo :func:`install`; modules that have imported ``rsl_rl`` keep what they imported."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, RslRlFinder)]
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(f"{ALIAS}.")]:
        del sys.modules[name]


class RslRlFinder(MetaPathFinder):
    """Import finder for ``rsl_rl``, its modules and the metadata of rsl-rl-lib; precedes installed packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the module that an RSL-RL module is redirected to.

        Raises:
            ModuleNotFoundError: if RSL-RL 5.5.1 has no module of this name.
        """
        if fullname != ALIAS and not fullname.startswith(f"{ALIAS}."):
            return None
        _, *parts = fullname.split(".")
        known = {(), *((package,) for package in SUBMODULES), *((p, m) for p, ms in SUBMODULES.items() for m in ms)}
        if tuple(parts) not in known:
            raise ModuleNotFoundError(
                f"RSL-RL {VERSION}, which rsl_jax replaces here, has no module '{fullname}'. Its packages are "
                f"{', '.join(SUBMODULES)}; docs/migrating.md lists what replaced older names.",
                name=fullname,
            )
        home = ".".join([HOME, *parts[:1]])
        return ModuleSpec(fullname, AliasLoader(home), is_package=len(parts) < 2)

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        """Return the metadata of rsl-rl-lib."""
        name = getattr(context, "name", None)
        if name is not None and name.lower().replace("_", "-") == DISTRIBUTION:
            yield StandIn()


class AliasLoader(Loader):
    """Loader that imports another module instead."""

    def __init__(self, home: str):
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None for the default module, which :meth:`exec_module` replaces."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Replace the module by the other one."""
        home = importlib.import_module(self._home)
        if not hasattr(home, "__path__"):
            home.__path__ = []  # submodules are found by their names alone
        sys.modules[module.__name__] = home


class StandIn(importlib.metadata.Distribution):
    """Metadata of rsl-rl-lib, in the version whose interface this package has."""

    def read_text(self, filename: str) -> str | None:
        """Return the file METADATA; None for any other."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {VERSION}\nSummary: replaced by rsl_jax\n"

    def locate_file(self, path: str | os.PathLike[str]) -> Any:
        """Return where a file of the package would be; there are none."""
        from pathlib import Path

        return Path(__file__).parent / path
