"""Which names a run's files may use: whoever made a run does not choose what is imported here.

A config names its parts by import paths, and importing a module runs it. Paths that the user writes (in Python, as a
flag, in a config file of theirs) are imported as they are. Those in files that came with a run (a checkpoint's
metadata, ``run.yaml``) are imported only if they lead to

- a part of the library (:data:`rsl_jax.registry.PARTS`),
- what the user named too (:func:`user_names`),
- a module or a folder that the user trusts (:func:`trust`), or
- a class that derives from the library's bases, of an installed package that requires rsl_jax.

The working directory is no source of them. :func:`rsl_jax.registry.load`, through which every import by name goes, asks
:func:`permit`. docs/security.md has the whole threat model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_FILE = "run.yaml"
"""Name of the file in a log folder that says how the run was made."""

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\S*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_REQUIRES_US = re.compile(r"rsl[-_.]+jax\b", re.IGNORECASE)


class UntrustedNameError(ValueError):
    """A file of a run names something that it may not choose."""


@dataclass(frozen=True)
class _Trusted:
    """What the user vouches for.

    Attributes:
        names: import paths, all dots.
        modules: modules, and packages with all that is in them.
        folders: folders, whatever modules are in them.
    """

    names: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    folders: frozenset[Path] = frozenset()


_trusted = _Trusted()
_source: ContextVar[str | None] = ContextVar("source of the names that are read", default=None)


# --- what the user says -----------------------------------------------------------------------------------------------


def trust(*names: str | os.PathLike[str]) -> None:
    """Let the files of runs name what is in these modules and folders, until the process ends.

    Args:
        *names: modules (``"my_project"``, with all that is in it), or folders of modules (``"./tasks"``,
            ``Path("src")``), which become importable; so does a package whose folder is given.

    Raises:
        ValueError: for a module of Python's standard library, a folder that there is not, or neither of the two.
    """
    for name in names:
        is_module = isinstance(name, str) and _MODULE.fullmatch(name) is not None
        if is_module and _is_of_python(str(name)):
            raise ValueError(f"'{name}' is a module of Python's; no part of a run comes from there. Trust your own.")
        if not is_module and not Path(name).is_dir():
            raise ValueError(
                f"'{name}' is neither a module, such as my_project.models, nor a folder that exists, such as "
                "./my_project."
            )
        if is_module:
            _add(modules=str(name))
        else:
            folder = Path(name).resolve()
            _add(folders=folder)
            where = str(folder.parent if (folder / "__init__.py").exists() else folder)
            if where not in sys.path:
                sys.path.append(where)


def user_names(*paths: str) -> None:
    """Note import paths that the user has written, so that a run's files may name the same ones."""
    for path in paths:
        _add(names=path.replace(":", "."))


def names_in(content: Any) -> list[str]:
    """All strings in a nest of mappings and lists that have the form of an import path."""
    if isinstance(content, str):
        return [content] if _PATH.fullmatch(content) else []
    if isinstance(content, Mapping):
        return [name for item in content.values() for name in names_in(item)]
    return [name for item in content for name in names_in(item)] if isinstance(content, (list, tuple)) else []


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Forget afterwards what was trusted within."""
    global _trusted
    before = _trusted
    try:
        yield
    finally:
        _trusted = before


# --- what files say ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading_run(source: object) -> Iterator[None]:
    """Read what came with a run: names are checked within.

    Args:
        source: the file, for errors. Where a file is being read already, it stays that one.
    """
    token = _source.set(_source.get() or str(source))
    try:
        yield
    finally:
        _source.reset(token)


def is_reading_run() -> bool:
    """Whether what is read just now came with a run."""
    return _source.get() is not None


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], content: Any) -> Iterator[None]:
    """Read a config file: names are checked if it is one of a run's, and else are the user's, who gave the file."""
    if is_run_file(path):
        with reading_run(path):
            yield
    else:
        user_names(*names_in(content))
        yield


def is_run_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file came with a run: it is called run.yaml, or lies beside checkpoints or in their ``params``."""
    path = Path(path)
    folder = path.absolute().parent
    if folder.name == "params":  # of Isaac Lab and mjlab
        folder = folder.parent
    return path.name == RUN_FILE or any(
        child.suffix == ".pt" or (child / "metadata").exists() for child in folder.glob("model_*")
    )


def permit(path: str, what: str, *, bases: Sequence[str] = ()) -> Callable[[Any], None]:
    """Ask whether a name may be imported; to be called before it is.

    Args:
        path: the import path.
        what: what it is the name of, for errors.
        bases: import paths of the library's classes that such a thing may derive from.

    Returns:
        what to call with that which was imported; raises as this does if it is from elsewhere.

    Raises:
        UntrustedNameError: if a file of a run is being read, and the name is none that it may use.
    """
    source = _source.get()
    if source is None:
        return lambda _: None
    module, attribute = split(path)
    refuse = functools.partial(_refused, source, what, path)
    if _is_of_python(module):
        raise refuse("It is Python's own, where no part comes from.")
    if f"{module}.{attribute}" in _trusted.names:
        return lambda _: None
    if _is_trusted(module):
        return functools.partial(_require_trusted, refuse=refuse, bases=bases)
    if bases and _is_of_dependent(module):
        return functools.partial(_require_base, refuse=refuse, bases=bases)
    raise refuse()


def split(path: str) -> tuple[str, str]:
    """Module and attribute of ``"module.path:Attr"`` or ``"module.path.Attr"``."""
    module, separator, attribute = path.rpartition(":")
    if not separator:
        module, separator, attribute = path.rpartition(".")
    return module, attribute


# --- within -----------------------------------------------------------------------------------------------------------


def _add(**entries: Any) -> None:
    global _trusted
    _trusted = dataclasses.replace(
        _trusted, **{field: getattr(_trusted, field) | {entry} for field, entry in entries.items()}
    )


def _refused(source: str, what: str, path: str, why: str = "") -> UntrustedNameError:
    top = path.replace(":", ".").partition(".")[0]
    remedy = (
        f"If you trust whoever made the run and this module, say so: --trust {top} (or the folder that it is in, "
        f"--trust DIR) on the command line, rsl_jax.trust('{top}') in Python."
    )
    return UntrustedNameError(
        f"{source} names the {what} '{path}', which is refused: the files of a run may name parts of rsl_jax, what you "
        f"name yourself, and classes of installed packages that build on it. {why or remedy}"
    )


def _is_of_python(module: str) -> bool:
    return module.partition(".")[0] in {*sys.stdlib_module_names, *sys.builtin_module_names}


def _is_trusted(module: str) -> bool:
    if any(f"{module}.".startswith(f"{trusted}.") for trusted in _trusted.modules):
        return True
    origin = _origin(module.partition(".")[0])
    return origin is not None and any(origin.is_relative_to(folder) for folder in _trusted.folders)


def _origin(top: str) -> Path | None:
    """The file of a package or module without a parent, which is not imported for it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    where = spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)
    return None if where is None else Path(where).resolve()


def _is_of_dependent(module: str) -> bool:
    """Whether a module belongs to a package that is installed, and says that it requires rsl_jax."""
    origin = _origin(module.partition(".")[0])
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    paths |= {site.getusersitepackages()} if site.ENABLE_USER_SITE else set()
    return origin is not None and any(
        Path(str(distribution.locate_file(file))).resolve() == origin
        for distribution in importlib.metadata.distributions(path=sorted(paths))
        if any(_REQUIRES_US.match(requirement) for requirement in distribution.requires or ())
        for file in distribution.files or ()
    )


def _require_trusted(target: Any, *, refuse: Callable[[str], Exception], bases: Sequence[str]) -> None:
    """Refuse what a trusted module has only imported: ``my_project.tools:os.system``."""
    home = getattr(target, "__module__", None) or ""
    if not (_is_trusted(home) or _is_of(target, bases)):
        raise refuse(f"It is from {home or 'another module'}, which you did not say that you trust.")


def _require_base(target: Any, *, refuse: Callable[[], Exception], bases: Sequence[str]) -> None:
    if not (_is_of(target, bases) and (not isinstance(target, type) or _is_of_dependent(target.__module__))):
        raise refuse()


def _is_of(target: Any, bases: Sequence[str]) -> bool:
    """Whether something is a class that derives from one of the library's, or an object of such a class."""
    lineage = (target if isinstance(target, type) else type(target)).__mro__
    return any(getattr(importlib.import_module(home), name) in lineage for home, name in map(split, bases))
