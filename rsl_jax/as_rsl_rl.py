"""Run a script written for RSL-RL on rsl_jax, without changing it.

Usage: ``python -m rsl_jax.as_rsl_rl SCRIPT.py ARGS...``, or ``MODULE ARGS...`` as after ``python -m``. In a notebook::

    import rsl_jax.as_rsl_rl
    rsl_jax.as_rsl_rl.install()          # before anything imports rsl_rl
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from rsl_jax.rsl_rl.alias import install

__all__ = ["install", "main", "run"]


def run(target: str, args: Sequence[str] = ()) -> None:
    """Run a script or a module as the main program, with ``rsl_rl`` redirected to rsl_jax.

    Args:
        target: path of a script, or name of a module.
        args: its arguments.

    Raises:
        FileNotFoundError: if neither exists.
    """
    install()
    sys.argv = [target, *args]
    if Path(target).is_file():
        sys.path.insert(0, str(Path(target).resolve().parent))
        runpy.run_path(target, run_name="__main__")
    elif not target.endswith(".py") and _is_module(target):
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        raise FileNotFoundError(
            f"There is no script '{target}' here, nor a module of that name. Give the path of a script "
            "(scripts/train.py) or the name of a module (mjlab.scripts.train); for a command such as `train`, give the "
            "path of its script: $(which train)."
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command ``python -m rsl_jax.as_rsl_rl [-m] SCRIPT_OR_MODULE ARGS...``."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["-m"]:
        args = args[1:]
    if not args or args[0] in ("-h", "--help"):
        print(__doc__)
        raise SystemExit(0 if args else 2)
    try:
        run(args[0], args[1:])
    except FileNotFoundError as error:
        if error.errno is not None:  # raised by the script
            raise
        raise SystemExit(str(error)) from error


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


if __name__ == "__main__":
    main()
