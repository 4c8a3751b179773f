"""Imports only go down, and names stay what the architecture says."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "rsl_jax"

LAYERS = [
    {"cli", "__main__"},
    {"runners"},
    {"training"},
    {"algorithms"},
    {"env", "logging", "export", "checkpoint", "interop"},
    {"models", "extensions"},
    {"modules", "distributions", "ops"},
    {"types", "config", "registry", "trees", "plain"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
APART = [{"env", "logging", "export", "checkpoint", "interop"}]
"""Packages of one layer that never import each other."""


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Parts of rsl_jax that a module imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rsl_jax":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rsl_jax."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rsl_jax.")}
    return found & set(LEVEL)


MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_down(path):
    part = part_of(path)
    assert part in LEVEL, f"{part} has no layer; add it to LAYERS and to docs/architecture.md"
    for imported in imports_of(path):
        assert LEVEL[imported] >= LEVEL[part], f"{path} imports {imported}, which lies above it"
        for group in APART:
            assert imported == part or not {imported, part} <= group, f"{path} imports its neighbour {imported}"
