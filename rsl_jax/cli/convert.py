"""``rsl-jax convert``: convert checkpoints of RSL-RL to ours, and back."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from rsl_jax.cli.arguments import KeyValues, option, parse
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.runs import find_checkpoint
from rsl_jax.cli.settings import read_settings
from rsl_jax.cli.trusting import TrustFlag, take_at_their_word
from rsl_jax.trusted import reading_run
from rsl_jax.types import Algorithm, Spec


@dataclass(frozen=True)
class Convert:
    """Convert a checkpoint of RSL-RL (a file .pt) to one of rsl_jax (a folder), or the other way round.

    Everything that both formats contain is converted: parameters, normalisers, optimiser, learning rate, curiosity,
    iteration. PyTorch must be installed.

    Attributes:
        source: model_1500.pt of RSL-RL 1 to 5; or a checkpoint of rsl_jax, or a log folder for its newest checkpoint.
        destination: folder to create; or file to write, ending in .pt.
        config: config of the run, which a .pt file does not contain: RSL-RL's YAML, or run.yaml of rsl_jax.
        observations: shapes of observation groups that do not follow from the sizes of the models, such as policy=48
            camera=3,64,64.
        trust: module (with everything in it) or folder from which the files of the run may import components.
    """

    source: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="SRC")]]
    destination: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DST")]]
    config: Annotated[Path | None, option("FILE.yaml", default="none; required for a .pt file")] = None
    observations: Annotated[KeyValues, option(default="from the models")] = field(default_factory=dict)
    trust: TrustFlag = ()


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Convert, args, prog="rsl-jax convert")
    source, destination = command.source, command.destination
    if (source.suffix == ".pt") == (destination.suffix == ".pt"):
        raise CommandError(
            f"One of SRC and DST must be a checkpoint of RSL-RL, which ends in .pt, and the other one of rsl_jax; got "
            f"'{source}' and '{destination}'."
        )
    if destination.exists():
        raise CommandError(f"'{destination}' already exists. Give another name, or remove it first.")
    take_at_their_word(command.trust)
    if source.suffix == ".pt":
        facts = from_rsl_rl(source, destination, command.config, _shapes(command.observations))
    else:
        facts = to_rsl_rl(find_checkpoint(source), destination)
    print_facts(f"Converted {source}", {"to": destination, **facts})
    return 0


def from_rsl_rl(
    source: Path, destination: Path, config: Path | None, observations: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    """Convert a file of RSL-RL to a checkpoint of ours; returns a summary of its content."""
    import jax

    from rsl_jax.checkpoint import save_checkpoint
    from rsl_jax.interop import read_rsl_rl_checkpoint
    from rsl_jax.interop.files import read_file
    from rsl_jax.interop.sizes import spec_of_checkpoint
    from rsl_jax.metadata import Metadata

    if config is None:
        raise CommandError(
            f"'{source}' does not contain the config it was trained with. Give the config: --config FILE.yaml."
        )
    settings = read_settings(config)
    cfg: Any = settings.runner
    num_envs = settings.num_envs
    if num_envs is None:  # the fewest that can be split into mini-batches; nothing in the checkpoint depends on it
        num_envs = getattr(cfg.algorithm, "num_mini_batches", 1)
    spec = spec_of_checkpoint(read_file(source), cfg, observations=observations, num_envs=num_envs)
    algorithm = _algorithm(cfg, spec)
    loaded = read_rsl_rl_checkpoint(source, algorithm.init(jax.random.key(0)), cfg=cfg)
    unknown_step = dataclasses.replace(spec, step_dt=None)
    infos, seed = _if_json(loaded.infos), cfg.seed or 0
    run = Metadata.of_run(cfg, unknown_step, iteration=loaded.iteration, infos=infos, seed=seed)
    save_checkpoint(destination, loaded.state, None, run.to_dict())
    return {"iteration": loaded.iteration, "observations": dict(spec.observations), "actions": spec.num_actions}


def to_rsl_rl(source: Path, destination: Path) -> dict[str, Any]:
    """Convert a checkpoint of ours to a file for RSL-RL; returns a summary of its content."""
    import jax

    from rsl_jax.algorithms.loading import restore_state
    from rsl_jax.checkpoint import read_checkpoint
    from rsl_jax.cli.policies import check_sizes
    from rsl_jax.interop import write_rsl_rl_checkpoint

    checkpoint = read_checkpoint(source)
    run = checkpoint.run
    with reading_run(source / "metadata"):
        cfg = run.cfg
    algorithm = _algorithm(cfg, dataclasses.replace(run.spec, step_dt=run.spec.step_dt or 1.0))
    check_sizes(algorithm, checkpoint)
    state = restore_state(algorithm.init(jax.random.key(0)), checkpoint.state)
    write_rsl_rl_checkpoint(destination, state, cfg, iteration=run.iteration, infos=run.infos)
    return {"iteration": run.iteration}


def _algorithm(cfg: Any, spec: Spec) -> Algorithm:
    """Build the algorithm without symmetry, which has no state but may need an environment."""
    from rsl_jax.training.train import build_algorithm

    if getattr(cfg.algorithm, "symmetry_cfg", None) is not None:
        cfg = dataclasses.replace(cfg, algorithm=dataclasses.replace(cfg.algorithm, symmetry_cfg=None))
    return build_algorithm(cfg, spec)


def _if_json(infos: Any) -> Any:
    try:
        json.dumps(infos)
    except TypeError as error:
        warnings.warn(f"The 'infos' of the file are omitted, as JSON cannot represent them: {error}.", stacklevel=3)
        return None
    return infos


def _shapes(observations: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for group, value in observations.items():
        sizes = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        try:
            shapes[group] = tuple(int(size) for size in sizes)
        except (TypeError, ValueError) as error:
            raise CommandError(
                f"--observations {group}={value} is not a shape. Write {group}=48, or {group}=3,64,64 for an image."
            ) from error
    return shapes
