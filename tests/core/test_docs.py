"""Documentation: its generated tables are current, its examples valid, and its links lead to pages.

The tables of docs/configuration.md are generated from the dataclasses by ``python -m tests.core.test_docs``.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rsl_jax import config
from rsl_jax.config import BaseRunnerConfig, RunnerConfig
from rsl_jax.config.keys import OneOf, may_be_none, part_of, range_text, split_annotation
from rsl_jax.config.sections import hints_of, meanings_of
from tests.core.test_architecture import LAYERS

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = DOCS / "configuration.md"
TABLE = re.compile(r"<!-- keys of (\w+) -->\n(.*?)\n\n", re.DOTALL)
DATACLASSES = {
    name: getattr(config, name)
    for name in config.__all__
    if dataclasses.is_dataclass(getattr(config, name)) and name not in ("CustomConfig", "Part", "Section")
}


def meanings(cls: type) -> dict[str, str]:
    """What the docstring says of each attribute."""
    written = {name: meaning.replace("``", "`") for name, meaning in meanings_of(cls).items()}
    return {**written, "class_name": "name, or import path of a custom component"}


def type_text(hint: typing.Any) -> str:
    """A type as somebody who writes YAML thinks of it."""
    part = part_of(hint)
    if part is not None and typing.get_origin(hint) is not collections.abc.Mapping:
        return ("name or section" if part.bare else "section") + " or null" * may_be_none(hint)
    if typing.get_origin(hint) is typing.Annotated:
        kind, metadata = split_annotation(hint)
        names = next((entry.names for entry in metadata if isinstance(entry, OneOf)), ())
        if names:
            return ", ".join(f"`{name}`" for name in names)
        return ", ".join(filter(None, (type_text(kind), range_text(hint))))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        is_section = any(dataclasses.is_dataclass(argument) for argument in rest)
        texts = ["section"] if is_section else [type_text(argument) for argument in rest]
        return " or ".join(texts + ["null"] * (type(None) in arguments))
    if origin is tuple:
        size = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        inner = typing.get_origin(arguments[0])
        names = {typing.Literal: "list of them", tuple: "list of pairs"}
        return names[inner] if inner in names else f"list of {size}{type_text(arguments[0])}"
    if origin is Callable:
        return "callable"
    if origin is not None:
        return "mapping"
    return "name or section" if hint is typing.Any else hint.__name__


def default_text(default: typing.Any) -> str:
    """A default as YAML writes it; of a section only what makes it up."""
    if dataclasses.is_dataclass(default):
        distribution = getattr(default, "distribution_cfg", None)
        return f"`{default.class_name}`" + (f" with `{distribution.class_name}`" if distribution else "")
    if isinstance(default, float):
        return f"`{default:g}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(f'{item:g}' for item in default)}]`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def default_of(field: dataclasses.Field) -> str:
    """The default of a key, if it has one."""
    if field.default_factory is not dataclasses.MISSING:
        return default_text(field.default_factory())
    return "required" if field.default is dataclasses.MISSING else default_text(field.default)


def keys(cls: type) -> list[dataclasses.Field]:
    """The fields that are keys; what all kinds of runs share has a table of its own."""
    fields = [field for field in dataclasses.fields(cls) if field.name != "extra"]
    if cls is BaseRunnerConfig:
        return [field for field in fields if field.name != "algorithm"]
    return [field for field in fields if not issubclass(cls, BaseRunnerConfig) or field.name in cls.__annotations__]


def table(cls: type) -> str:
    """The Markdown table of a dataclass's keys."""
    hints, means = hints_of(cls), meanings(cls)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in keys(cls):
        kind, meaning = type_text(hints[field.name]), means[field.name].rstrip(".")
        rows.append(f"| `{field.name}` | {kind} | {default_of(field)} | {meaning} |")
    return "\n".join(rows)


def with_current_tables(text: str) -> str:
    """The page with its tables as they must be."""
    return TABLE.sub(lambda match: f"<!-- keys of {match[1]} -->\n{table(DATACLASSES[match[1]])}\n\n", text)


def test_every_section_has_its_table():
    assert {name for name, _ in TABLE.findall(CONFIGURATION.read_text())} == set(DATACLASSES)


@pytest.mark.parametrize("name", sorted(DATACLASSES))
def test_tables_are_current(name):
    written = dict(TABLE.findall(CONFIGURATION.read_text()))
    assert written[name] == table(DATACLASSES[name]), "run: python -m tests.core.test_docs"


def test_complete_example_holds_the_defaults():
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", CONFIGURATION.read_text(), re.DOTALL)]
    runners = [block["runner"] for block in blocks if "runner" in block]
    complete = [runner for runner in runners if {"algorithm", "actor", "critic"} <= set(runner)]
    assert len(complete) == 1
    assert RunnerConfig.from_dict(complete[0]) == RunnerConfig()
    missing = _key_paths(RunnerConfig().to_dict()) - _key_paths(complete[0])
    assert not missing, f"the complete example lacks {sorted(missing)}"
    for runner in runners:
        RunnerConfig.from_dict(runner)


def test_the_config_of_distillation_is_one():
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "distillation.md").read_text(), re.DOTALL)
    (runner,) = [yaml.safe_load(block)["runner"] for block in blocks]
    assert isinstance(RunnerConfig.from_dict(runner), config.DistillationRunnerConfig)


def _key_paths(section: dict, prefix: str = "") -> set[str]:
    paths = set()
    for key, value in section.items():
        paths.add(prefix + key)
        if isinstance(value, dict) and key != "obs_groups":
            paths |= _key_paths(value, f"{prefix}{key}.")
    return paths


def test_layers_are_those_that_imports_are_held_to():
    table = re.search(r"## Layers.*?\|---\|---\|\n(.*?)\n\n", (DOCS / "architecture.md").read_text(), re.DOTALL)
    assert table, "docs/architecture.md has no section 'Layers' with a table"
    written = [set(re.findall(r"`(\w+)/?`", row.split("|")[1])) for row in table[1].splitlines()]
    assert written == [layer - {"__main__"} for layer in LAYERS]


def test_every_page_has_its_place_and_links_lead_somewhere():
    pages = "".join(map(Path.read_text, DOCS.glob("*.md")))
    toctrees = "".join(re.findall(r"```{toctree}\n(.*?)```", pages, re.DOTALL))
    placed = set(re.findall(r"^(?:.*<)?([\w/]+)>?$", toctrees, re.MULTILINE))  # page, or: Title <page>
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= placed
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (DOCS / target).exists(), f"{page.name} links to {target}, which does not exist"


if __name__ == "__main__":
    CONFIGURATION.write_text(with_current_tables(CONFIGURATION.read_text()))
