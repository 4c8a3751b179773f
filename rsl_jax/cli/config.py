"""``rsl-jax config``: convert a config of an older RSL-RL, or of one of its clients."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from rsl_jax.cli.arguments import option, parse
from rsl_jax.cli.output import CommandError, print_facts
from rsl_jax.cli.settings import read_content
from rsl_jax.cli.trusting import TrustFlag, reading_config, take_at_their_word
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.migration import is_nested, migrate
from rsl_jax.plain import to_plain
from rsl_jax.trusted import UntrustedNameError

_IS_PYTHON = (
    "'{path}' is a Python file. legged_gym's configs are classes; where it is installed, this writes one as YAML:\n\n"
    "    import yaml\n"
    "    from legged_gym.utils.helpers import class_to_dict\n"
    "    print(yaml.safe_dump(class_to_dict(MyRobotCfgPPO())))\n\n"
    "Isaac Lab and mjlab save their configs as YAML with every run: params/agent.yaml in its log folder."
)


@dataclass(frozen=True)
class Config:
    """Convert a config of RSL-RL 1 to 5, legged_gym, Isaac Lab or mjlab to RSL-RL 5.5's form, and list the changes.

    Attributes:
        old: config to convert, a YAML file.
        out: file for the new config.
        trust: module (with everything in it) or folder from which a config that came with a run may import components.
    """

    old: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="OLD.yaml")]]
    out: Annotated[Path | None, option("NEW.yaml", default="printed")] = None
    trust: TrustFlag = ()


def run(args: Sequence[str]) -> int:
    """Run the command."""
    command = parse(Config, args, prog="rsl-jax config")
    take_at_their_word(command.trust)
    if command.out is not None and command.out.resolve() == command.old.resolve():
        raise CommandError(f"'{command.out}' is the old config itself. Give another file, so that it is kept.")
    new, notes = rewrite(_read(command.old), path=command.old)
    text = yaml.safe_dump(new, sort_keys=False, default_flow_style=None, width=120)
    remarks = notes or ["nothing had to be converted"]
    if command.out is None:
        print("".join(f"# {remark}\n" for remark in remarks) + text, end="")
        return 0
    command.out.parent.mkdir(parents=True, exist_ok=True)
    command.out.write_text(text, encoding="utf-8")
    print_facts(str(command.out), {str(number): remark for number, remark in enumerate(remarks, 1)})
    return 0


def rewrite(content: Mapping[str, Any], *, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Convert the content of a config file to the current form; returns it, and what was read as what.

    Args:
        content: content of the file; keys beside a section ``runner`` are kept, except in legged_gym's layout.
        path: path of the file, for errors.

    Raises:
        CommandError: if it cannot be read; says why.
    """
    beside = "runner" in content and not is_nested(content)
    given = content["runner"] if beside else content
    try:
        if not isinstance(given, Mapping):
            raise TypeError(f"runner must be a section of keys and values; got {given!r}.")
        migrated, notes = migrate(given)
        with warnings.catch_warnings(), reading_config(path, content):
            warnings.simplefilter("ignore")  # the notes say the same
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
