"""Write the public names of an installed RSL-RL: ``python tests/clients/list_names.py``.

It adds to rsl_rl_names.json. Names are read in the source, so that attributes of instances are among them: modules,
what they export or define, and of each class its methods, properties and attributes.
"""

from __future__ import annotations

import ast
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

FILE = Path(__file__).with_name("rsl_rl_names.json")


def names_of_class(node):
    """Public methods, annotations and attributes of instances, in order."""
    names = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            names[item.target.id] = None
        elif isinstance(item, ast.FunctionDef):
            names[item.name] = None
    for item in ast.walk(node):
        is_set = isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)
        if is_set and isinstance(item.value, ast.Name) and item.value.id == "self":
            names[item.attr] = None
    return sorted(name for name in names if not name.startswith("_"))


def names_of_module(path):
    """What ``__all__`` names, or what is defined; classes with their own names."""
    tree = ast.parse(path.read_text())
    exported = next(
        (ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"),
        None,
    )
    if exported is not None:
        return dict.fromkeys(sorted(exported), None)
    classes = {n.name: names_of_class(n) for n in tree.body if isinstance(n, ast.ClassDef)}
    functions = {n.name: None for n in tree.body if isinstance(n, ast.FunctionDef)}
    return {name: names for name, names in sorted({**classes, **functions}.items()) if not name.startswith("_")}


def main():
    """Add the installed version to the file."""
    root = Path(find_spec("rsl_rl").origin).parent
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = names_of_module(path)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    known[version("rsl-rl-lib")] = modules
    FILE.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
