"""The public names are listed in a file, which ``python -m tests.core.test_public_names`` writes again.

Each of these modules says in ``__all__`` what users may rely on. A change to the list is a change for users, so it
belongs in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("public_names.txt")
API = Path(__file__).parents[2] / "docs" / "api"
MODULES = (
    "rsl_jax",
    "rsl_jax.algorithms",
    "rsl_jax.as_rsl_rl",
    "rsl_jax.checkpoint",
    "rsl_jax.config",
    "rsl_jax.distributed",
    "rsl_jax.distributions",
    "rsl_jax.env",
    "rsl_jax.env.brax",
    "rsl_jax.env.gymnasium",
    "rsl_jax.env.gymnax",
    "rsl_jax.export",
    "rsl_jax.extensions",
    "rsl_jax.interop",
    "rsl_jax.logging",
    "rsl_jax.models",
    "rsl_jax.modules",
    "rsl_jax.ops",
    "rsl_jax.registry",
    "rsl_jax.runners",
    "rsl_jax.sweeps",
    "rsl_jax.training",
    "rsl_jax.types",
)


def public_names() -> list[str]:
    """All public names with their modules, sorted."""
    return sorted(f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__)


def test_public_names_are_those_of_the_list():
    assert public_names() == LIST.read_text().split(), (
        "the public names changed: run python -m tests.core.test_public_names, and say it in CHANGELOG.md"
    )


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_there_documented_and_found_by_completion(name):
    module = importlib.import_module(name)
    for public in module.__all__:
        value = getattr(module, public)
        assert public in dir(module), f"dir({name}) lacks {public}"
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"


def test_every_public_module_has_its_page_in_the_reference():
    documented = {line.split("::")[1].strip() for page in API.glob("*.rst") for line in _automodules(page)}
    assert documented == set(MODULES)


def _automodules(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith(".. automodule::")]


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n")
