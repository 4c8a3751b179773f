"""Generation of config/known.py: ``python -m rsl_jax.config.derive``.

Sections of models and distributions follow from the parameters of their factories. They are also written to a file, so
that a config can be read without importing JAX (``rsl-jax train ENV --help`` answers at once) and editors and type
checkers know its keys. A test compares the file with the factories; a part that it lacks is derived on demand.
"""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

from rsl_jax.config.sections import documentation, keys_of
from rsl_jax.registry import PARTS, resolve_part

FILE = Path(__file__).with_name("known.py")

HEAD = '''"""The sections of the library's parts by name, written by ``python -m rsl_jax.config.derive``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from rsl_jax.config.algorithms import DistillationConfig, PPOConfig
from rsl_jax.config.encoders import CNNConfig
from rsl_jax.config.extensions import RndConfig, SymmetryConfig
from rsl_jax.config.keys import Activation, Count, LayerSizes, Limit, OneOf, Part, Positive
from rsl_jax.config.sections import Section
'''

BESIDE_SOURCE = {
    "distribution_cfg": 'Annotated[Any, Part("distribution", default="GaussianDistribution")] | None',
}
"""The hints of :data:`rsl_jax.config.sections.BESIDE` as source."""


def source_of(kind: str, name: str) -> str:
    """Return the source of the dataclass of a part's section."""
    factory = resolve_part(name, kind)
    keys = {key: (_annotation(factory, key), repr(default)) for key, default in keys_of(factory, kind).defaults.items()}
    text = documentation(factory, keys)
    docstring = textwrap.indent(f'"""{text}' + ('\n"""' if "\n" in text else '"""'), "    ")
    fields = [
        f'    class_name: str = "{name}"',
        *(f"    {key}: {hint} = {default}" for key, (hint, default) in keys.items()),
    ]
    return "\n".join(["@dataclass(frozen=True)", f"class {name}Config(Section):", docstring, "", *fields, ""])


def _annotation(factory: Any, key: str) -> str:
    places = factory.__mro__ if inspect.isclass(factory) else [factory]
    if key in BESIDE_SOURCE:
        return BESIDE_SOURCE[key]
    return next(place.__annotations__[key] for place in places if key in getattr(place, "__annotations__", {}))


def text() -> str:
    """Return the content of the file, before it is formatted."""
    derived = [(kind, name) for kind in ("model", "distribution") for name in PARTS[kind]]
    classes = [
        "PPOConfig",
        "DistillationConfig",
        "RndConfig",
        "SymmetryConfig",
        *(f"{name}Config" for _, name in derived),
    ]
    table = [
        "KNOWN: Mapping[str, type] = {",
        "    section.class_name: section",
        f"    for section in ({', '.join(classes)})",
        "}",
        '"""By ``class_name``."""',
        "",
    ]
    return "\n\n".join([HEAD, *(source_of(*part) + "\n" for part in derived), "\n".join(table)])


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
