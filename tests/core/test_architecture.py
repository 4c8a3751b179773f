"""Imports only go down, heavy packages are imported only where needed, and names follow the architecture."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "rsl_jax"

LAYERS = [
    {"cli", "rsl_rl", "as_rsl_rl", "__main__"},
    {"sweeps"},
    {"runners"},
    {"training"},
    {"algorithms"},
    {"env", "logging", "export", "checkpoint", "interop"},
    {"models", "extensions"},
    {"modules", "distributions", "ops"},
    {
        "types",
        "config",
        "registry",
        "metadata",
        "trees",
        "plain",
        "trusted",
        "interrupts",
        "compilation_cache",
        "distributed",
        "roll_call",
    },
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
APART = [{"env", "logging", "export", "checkpoint", "interop"}]
"""Packages of one layer that never import each other."""

ONLY = {
    "orbax": {"checkpoint"},
    "onnx": {"export"},
    "jax2onnx": {"export"},
    "onnxruntime": {"export"},
    "tensorboardX": {"logging"},
    "distrax": {"distributions"},
    "matplotlib": {"logging"},
}
"""Packages, and the parts that may import them at all."""

LAZY = {
    "torch",
    "tensordict",
    "tensorboardX",
    "matplotlib",
    "gymnasium",
    "gymnax",
    "brax",
    "mujoco",
    "mujoco_playground",
    "ray",
}
"""Packages that are slow to import, or need not be there: never imported with a module, only by what needs them."""

OF_TORCH = {"export/torch_modules.py", "export/onnx_modules.py"}
"""Classes of PyTorch's, which cannot be defined without it; no other module imports these with itself."""

FILES = {"checkpoint", "logging", "export", "interop"}
"""What reads and writes files; pure functions need none of it."""
PURE = {"env", "models", "extensions", "modules", "distributions", "ops", "algorithms", "training", "types", "trees"}


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


def packages_of(path: Path, *, lazily: bool) -> set[str]:
    """Packages that a module imports: with itself alone, or also within functions and for type checkers."""
    nodes = ast.walk(ast.parse(path.read_text())) if lazily else at_import(ast.parse(path.read_text()))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: all but functions, and what is for type checkers."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not is_for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_are_imported_only_where_they_may_be(path):
    for package in packages_of(path, lazily=True) & ONLY.keys():
        assert part_of(path) in ONLY[package], f"{path} imports {package}, which only {ONLY[package]} may"
    slow = packages_of(path, lazily=False) & LAZY
    if str(path.relative_to(ROOT)) in OF_TORCH:
        assert slow == {"torch"}
        return
    assert not slow, f"{path} imports {slow} with itself; import it in the function that needs it"
    modules = {f"rsl_jax.{name.removesuffix('.py').replace('/', '.')}" for name in OF_TORCH}
    for node in at_import(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            assert not imported & modules, f"{path} imports {imported & modules} with itself, and PyTorch with it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_functions_know_no_files(path):
    if part_of(path) in PURE:
        assert not imports_of(path) & FILES, f"{path} imports {imports_of(path) & FILES}"


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("rsl_jax", {"jax", "flax", "orbax", "onnx", "tensorboardX", "distrax", "torch"}),
        ("rsl_jax.env", {"orbax", "onnx", "tensorboardX", "distrax", "optax", "torch", "rsl_jax.models"}),
        ("rsl_jax.training", {"orbax", "onnx", "jax2onnx", "onnxruntime", "tensorboardX", "matplotlib", "torch"}),
        ("rsl_jax.export", {"torch", "orbax", "tensorboardX", "matplotlib"}),
        ("rsl_jax.runners", {"onnx", "jax2onnx", "onnxruntime", "tensorboardX", "matplotlib", "torch"}),
    ],
)
def test_importing_loads_no_more_than_it_must(module, without):
    program = f"import sys, {module}; print(*(name for name in {without!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not loaded, f"import {module} loads {loaded}"


DISTRIBUTIONS = {
    f"rsl_jax.distributions.{name}" for name in ("beta", "categorical", "gaussian", "heteroscedastic_gaussian")
}
"""Are called as the modules that they are in: ``from rsl_jax.distributions import gaussian`` is in users' code."""


def test_functions_do_not_hide_modules():
    """``import package.name as m`` would give the function."""
    hidden = set()
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        package, _, module = name.rpartition(".")
        attribute = vars(importlib.import_module(package)).get(module)
        if attribute is not None and not inspect.ismodule(attribute):
            hidden.add(name)
    assert hidden == DISTRIBUTIONS
