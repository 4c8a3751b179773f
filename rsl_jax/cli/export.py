"""``rsl-jax export``: a checkpoint as files for a robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from rsl_jax.cli.arguments import parse
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import find_checkpoint
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.plain import to_plain

ROBOT_FILE = "robot.yaml"
"""Name of the file in a log folder that keeps what the environment tells a robot's controller."""

_HEADER = "# What the environment tells a controller on the robot; exported policies carry it.\n"


@dataclass(frozen=True)
class Export:
    """Write a trained policy, its normaliser included, as files that run without rsl_jax.

    Each file is compared with the policy before it is written. The environment need not be installed.

    Attributes:
        checkpoint: a checkpoint, or the log folder of a run for its newest one.
        out: folder to write to; ``exported`` beside the checkpoint if not given.
        onnx: whether to write policy.onnx, for onnxruntime.
        jax: whether to write policy.jax, for jax alone, on CPU and CUDA.
        metadata: YAML file of what else the robot should know: joint names, action scales, gains. It adds to the
            robot.yaml that training left beside the checkpoint, where the environment knew such things.
        trust: a module (with all that is in it) or a folder that the checkpoint may name parts of; may be given several
            times.
    """

    checkpoint: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT|LOGDIR")]]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    onnx: bool = True
    jax: bool = True
    metadata: Annotated[Path | None, tyro.conf.arg(metavar="FILE.yaml")] = None
    trust: TrustFlag = ()


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Export, args, prog="rsl-jax export")
    if not (command.onnx or command.jax):
        raise CommandError("With --no-onnx and --no-jax there is nothing to write; leave one of them out.")
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
        metadata: what else the files shall carry.

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
    """Write what :func:`read_robot_metadata` reads back; no file where nothing is known."""
    if facts:
        text = yaml.safe_dump(to_plain(facts), sort_keys=False, default_flow_style=None, width=120)
        (folder / ROBOT_FILE).write_text(_HEADER + text, encoding="utf-8")


def read_robot_metadata(path: Path | None) -> dict[str, Any] | None:
    """Read the user's file.

    Raises:
        CommandError: if it cannot be read or holds no keys.
    """
    if path is None:
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"The metadata '{path}' cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise CommandError(f"The metadata '{path}' must hold keys and values, such as joint_names: [hip, knee].")
    return content
