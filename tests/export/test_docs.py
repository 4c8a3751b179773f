"""The programs in docs/export.md run."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rsl_jax.distributions import gaussian

from .models import mlp_model, variables_of

DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def programs():
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, first_export):
    """Where export.py of the docs has run."""
    folder = tmp_path_factory.mktemp("docs")
    groups = {"proprioception": (12,), "command": (3,)}
    model = mlp_model(
        obs_shapes=groups, obs_groups=tuple(groups), output_dim=4, distribution=gaussian(4), obs_normalization=True
    )
    variables = variables_of(model)
    state = SimpleNamespace(params={"actor": variables.pop("params")}, statistics={"actor": variables})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(programs()["export.py"], {"model": model, "state": state})
    return folder


@pytest.mark.parametrize(
    ("name", "printed", "not_needed"),
    [
        ("robot.py", "4 joints, knees at kp 30.0, trained with jax", {"jax", "flax", "rsl_jax"}),
        ("with_rsl_jax.py", "(2, 4) ['left_hip', 'left_knee', 'right_hip', 'right_knee']", {"flax", "onnx"}),
        ("with_jax_alone.py", "", {"flax", "onnx", "rsl_jax"}),
    ],
)
def test_program(folder, name, printed, not_needed):
    check = f"\nimport sys\nassert not {not_needed!r} & set(sys.modules)\n"
    arguments = [sys.executable, "-c", programs()[name] + check]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 0, result.stderr
    assert printed in result.stdout
