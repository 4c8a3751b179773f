"""Libraries of environments, as :func:`rsl_jax.env.make_env` uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rsl_jax.env.extras import is_installed
from rsl_jax.registry import install_line


class Suite(NamedTuple):
    """Description of a library of environments.

    A new one is a file with such a record and a line in :data:`rsl_jax.registry.PARTS`; a custom one is named by
    its import path, ``my_package.suite:SUITE/ENV``.

    Attributes:
        package: required package.
        install: command that installs it.
        make: ``(name, num_envs, **options)``, makes an environment.
        names: ``() -> names`` of the available environments.
        downloads: ``() -> names`` of those among them that need a download before they are first made.
    """

    package: str
    install: str
    make: Callable[..., Any]
    names: Callable[[], list[str]]
    downloads: Callable[[], list[str]] = list

    @property
    def is_installed(self) -> bool:
        """Return whether its package is installed; does not import it."""
        return is_installed(self.package)

    @classmethod
    def of_extra(
        cls,
        package: str,
        extra: str,
        make: Callable[..., Any],
        names: Callable[[], list[str]],
        downloads: Callable[[], list[str]] = list,
    ) -> Suite:
        """Return a suite that an extra of rsl_jax installs."""
        return cls(package, install_line(extra), make, names, downloads)
