"""The worked changes of CONTRIBUTING.md apply to the library, and their files do what the text says."""

import re
import sys
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import pytest

from rsl_jax.distributions import Distribution
from rsl_jax.env import Suite
from rsl_jax.extensions import Extension
from rsl_jax.logging import LogWriter
from rsl_jax.models import MLPModel

ROOT = Path(__file__).parents[2]
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)


def files(diff: str) -> dict[str, list[str]]:
    """The lines of each file that a diff touches."""
    parts = re.split(r"^--- .*\n\+\+\+ b/(.*)\n", diff, flags=re.MULTILINE)[1:]
    return {name: lines.splitlines() for name, lines in zip(parts[::2], parts[1::2], strict=True)}


def added(name: str) -> ModuleType:
    """The module that a diff adds under a name, executed."""
    (lines,) = (parts[name] for parts in map(files, DIFFS) if name in parts)
    module = ModuleType("added_" + Path(name).stem)
    sys.modules[module.__name__] = module  # dataclasses look up the module of their annotations
    exec(compile("\n".join(line[1:] for line in lines), name, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("diff", DIFFS, ids=lambda diff: next(iter(files(diff))))
def test_context_is_there_and_new_files_are_new(diff):
    for name, lines in files(diff).items():
        if all(line.startswith("+") for line in lines):
            assert not (ROOT / name).exists(), f"{name} is there already: choose another example"
        else:
            context = "\n".join(line[1:] for line in lines if line.startswith(" "))
            assert context in (ROOT / name).read_text(), (
                f"{name} has changed; its context in CONTRIBUTING.md:\n{context}"
            )


def test_the_distribution():
    squashed = added("rsl_jax/distributions/squashed_gaussian.py").squashed_gaussian(1, init_std=0.7)
    assert isinstance(squashed, Distribution)
    params = squashed.params(jnp.full((1999, 1), 0.3), squashed.init_extra())
    actions = jnp.linspace(-0.999, 0.999, 1999)[:, None]
    assert jnp.exp(squashed.log_prob(params, actions)).sum() * 0.001 == pytest.approx(1.0, abs=1e-3)
    assert jnp.allclose(squashed.mode(params), jnp.tanh(0.3))


def test_the_model():
    assert issubclass(added("rsl_jax/models/gated_model.py").GatedModel, MLPModel)


def test_the_extension():
    extension = added("rsl_jax/extensions/action_penalty.py").action_penalty(weight=0.5)
    assert isinstance(extension, Extension)
    assert extension.score_tag in extension.reward_tags


def test_the_suite():
    suite = added("rsl_jax/env/my_suite.py").MY_SUITE
    assert isinstance(suite, Suite)
    assert not suite.is_installed
    with pytest.raises(ImportError, match=r'pip install "rsl-jax\[my_suite\]"'):
        suite.names()


def test_the_log_writer(tmp_path):
    writer = added("rsl_jax/logging/csv_writer.py").CsvLogWriter(str(tmp_path))
    assert isinstance(writer, LogWriter)
    writer.add_iteration({"Loss/value": 0.5}, it=3, seconds=1)
    writer.stop()
    assert (tmp_path / "scalars.csv").read_text() == "3,Loss/value,0.5\n"
