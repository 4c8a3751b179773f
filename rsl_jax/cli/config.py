"""``rsl-jax config``: a config of an older RSL-RL, or of one of its clients, as today's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from rsl_jax.cli.arguments import parse
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.settings import read_content
from rsl_jax.cli.trusting import TrustFlag, reading_config, take_at_their_word
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.migration import is_nested, migrate
from rsl_jax.plain import to_plain
from rsl_jax.trusted import UntrustedNameError

_IS_PYTHON = (
    "'{path}' is Python. legged_gym's configs are classes; where legged_gym is installed this writes one as YAML:\n\n"
    "    import yaml\n"
    "    from legged_gym.utils.helpers import class_to_dict\n"
    "    print(yaml.safe_dump(class_to_dict(MyRobotCfgPPO())))\n\n"
    "Isaac Lab and mjlab save theirs as YAML with every run: params/agent.yaml in its log folder."
)


@dataclass(frozen=True)
class Config:
    """Write a config of RSL-RL 1 to 5, legged_gym, Isaac Lab or mjlab in the form of RSL-RL 5.5, and say what was read.

    Attributes:
        old: the config, a YAML file.
        out: where the new one goes; it is printed where this is not given.
        trust: a module (with all that is in it) or a folder that a config which came with a run may name parts of; may
            be given several times.
    """

    old: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OLD.yaml")]]
    out: Annotated[Path | None, tyro.conf.arg(metavar="NEW.yaml")] = None
    trust: TrustFlag = ()


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Config, args, prog="rsl-jax config")
    take_at_their_word(command.trust)
    if command.out is not None and command.out.resolve() == command.old.resolve():
        raise CommandError(f"'{command.out}' is the old config itself. Name another file, so that it stays.")
    new, notes = rewrite(_read(command.old), path=command.old)
    text = yaml.safe_dump(new, sort_keys=False, default_flow_style=None, width=120)
    remarks = notes or ["nothing had to be read otherwise"]
    if command.out is None:
        print("".join(f"# {remark}\n" for remark in remarks) + text, end="")
        return 0
    command.out.parent.mkdir(parents=True, exist_ok=True)
    command.out.write_text(text, encoding="utf-8")
    print_facts(str(command.out), {str(number): remark for number, remark in enumerate(remarks, 1)})
    return 0


def rewrite(content: Mapping[str, Any], *, path: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of a config file in today's form, and what was read as what.

    Args:
        content: what the file holds; what stands beside a section ``runner`` stays there, but in legged_gym's shape.
        path: of the file, for errors.

    Raises:
        CommandError: if it cannot be read, with the reason.
    """
    beside = "runner" in content and not is_nested(content)
    given = content["runner"] if beside else content
    try:
        if not isinstance(given, Mapping):
            raise TypeError(f"runner is a section of keys and values; got {given!r}.")
        migrated, notes = migrate(given)
        with warnings.catch_warnings(), reading_config(path, content):
            warnings.simplefilter("ignore")  # of what was said
            BaseRunnerConfig.from_dict(migrated)
    except UntrustedNameError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise CommandError(f"In the config file '{path}': {error}") from error
    plain = to_plain(migrated)
    return ({**to_plain(content), "runner": plain} if beside else plain), notes


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".py":
        raise CommandError(_IS_PYTHON.format(path=path))
    return read_content(path)
