"""What a library of environments is to :func:`rsl_jax.env.make_env`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rsl_jax.env.extras import is_installed
from rsl_jax.registry import install_line


class Suite(NamedTuple):
    """A library of environments.

    A new one is a file with such a record and a line in :data:`rsl_jax.registry.PARTS`; one of the user's is named by
    its import path, ``my_package.suite:SUITE/ENV``.

    Attributes:
        package: what must be installed.
        install: the line that installs it.
        make: ``(name, num_envs, **options)``, makes an environment.
        names: ``() -> names`` of those that there are.
        downloads: ``() -> names`` of those among them that need a download before they are first made.
    """

    package: str
    install: str
    make: Callable[..., Any]
    names: Callable[[], list[str]]
    downloads: Callable[[], list[str]] = list

    @property
    def is_installed(self) -> bool:
        """Whether its package is there; does not import it."""
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
        """A suite that an extra of rsl_jax installs."""
        return cls(package, install_line(extra), make, names, downloads)
