"""``rsl-jax export``: export the policy of a checkpoint for deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from rsl_jax.cli.arguments import option, parse
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import find_checkpoint
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.plain import to_plain

ROBOT_FILE = "robot.yaml"
"""Name of the file in a log folder with the environment's metadata for the robot's controller."""

_HEADER = "# Metadata of the environment for the controller on the robot; exported policies contain them.\n"


@dataclass(frozen=True)
class Export:
    """Export a trained policy, including its normaliser, to files that run without rsl_jax.

    Each file is compared with the policy before it is written. The environment need not be installed.

    Attributes:
        checkpoint: checkpoint, or log folder of a run for its newest checkpoint.
        out: folder to write to.
        onnx: write policy.onnx, for onnxruntime.
        jax: write policy.jax, which needs only jax, on CPU or CUDA.
        metadata: YAML file of metadata for the robot: joint names, action scales, gains. They are added to the
            robot.yaml that training has written beside the checkpoint, if the environment provides any.
        trust: module (with everything in it) or folder from which the checkpoint may import components.
    """

    checkpoint: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT|LOGDIR")]]
    out: Annotated[Path | None, option("DIR", default="exported, beside the checkpoint")] = None
    onnx: bool = True
    jax: bool = True
    metadata: Annotated[Path | None, option("FILE.yaml", default="robot.yaml only")] = None
    trust: TrustFlag = ()


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Export, args, prog="rsl-jax export")
    if not (command.onnx or command.jax):
        raise CommandError("With --no-onnx and --no-jax there is nothing to write. Remove one of them.")
    take_at_their_word(command.trust)
    checkpoint = find_checkpoint(command.checkpoint)
    beside = checkpoint.parent / ROBOT_FILE
    known = read_robot_metadata(beside if beside.exists() else None)
    metadata = {**(known or {}), **(read_robot_metadata(command.metadata) or {})}
    out = command.out or checkpoint.parent / "exported"
    print_facts(
        f"Exported {checkpoint}", export(checkpoint, out, onnx=command.onnx, jax=command.jax, metadata=metadata)
    )
    return 0


def export(
    checkpoint: Path, out: Path, *, onnx: bool = True, jax: bool = True, metadata: Mapping[str, Any] | None = None
) -> dict[str, Path]:
    """Write the policy of a checkpoint.

    Args:
        checkpoint: the checkpoint.
        out: folder to write to.
        onnx: whether to write ONNX.
        jax: whether to write the artefact for JAX.
        metadata: further metadata of the files.

    Returns:
        the files by their kind.
    """
    from rsl_jax.cli.policies import load_policy
    from rsl_jax.export import export_jax, export_onnx

    algorithm, state = load_policy(checkpoint)
    model, variables = algorithm.policy_model(state)
    written = {}
    if onnx:
        written["ONNX"] = export_onnx(model, variables, out / "policy.onnx", metadata=metadata)
    if jax:
        written["JAX"] = export_jax(model, variables, out / "policy.jax", metadata=metadata)
    return written


def write_robot_metadata(facts: Mapping[str, Any], folder: Path) -> None:
    """Write the file that :func:`read_robot_metadata` reads, unless there are no metadata."""
    if facts:
        text = yaml.safe_dump(to_plain(facts), sort_keys=False, default_flow_style=None, width=120)
        (folder / ROBOT_FILE).write_text(_HEADER + text, encoding="utf-8")


def read_robot_metadata(path: Path | None) -> dict[str, Any] | None:
    """Read a file of metadata; None stays None.

    Raises:
        CommandError: if it cannot be read or has no keys.
    """
    if path is None:
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"The metadata '{path}' cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise CommandError(f"The metadata '{path}' must be keys and values, such as joint_names: [hip, knee].")
    return content
