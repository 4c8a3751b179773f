"""Restriction of the imports that the files of a run may ask for.

A config names components by import paths, and importing a module executes it. Paths that the user writes (in Python, as
a flag, in their own config file) are imported without restriction. Paths in files that came with a run (a checkpoint's
metadata, ``run.yaml``) are imported only if they lead to

- a component of the library (:data:`rsl_jax.registry.PARTS`),
- something that the user named too (:func:`user_names`),
- a module or a folder that the user trusts (:func:`trust`), or
- a class that derives from the library's bases, of an installed package that requires rsl_jax.

They are not imported from the working directory. :func:`rsl_jax.registry.load`, through which every import by name
goes, calls :func:`permit`. docs/security.md describes the whole threat model.
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
"""Name of the file in a log folder with the settings of the run."""

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\S*|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_REQUIRES_US = re.compile(r"rsl[-_.]+jax\b", re.IGNORECASE)


class UntrustedNameError(ValueError):
    """Error for a file of a run that names something which it may not import."""


@dataclass(frozen=True)
class _Trusted:
    """Names, modules and folders that the user trusts.

    Attributes:
        names: import paths, with dots only.
        modules: modules, and packages with everything in them.
        folders: folders, with all modules in them.
    """

    names: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    folders: frozenset[Path] = frozenset()


_trusted = _Trusted()
_source: ContextVar[str | None] = ContextVar("source of the names that are read", default=None)


# --- the user's trust -------------------------------------------------------------------------------------------------


def trust(*names: str | os.PathLike[str]) -> None:
    """Let the files of runs import from these modules and folders, until the process ends.

    Args:
        *names: modules (``"my_project"``, with everything in it), or folders of modules (``"./tasks"``,
            ``Path("src")``), which become importable; so does a package whose folder is given.

    Raises:
        ValueError: for a module of Python's standard library, or a name that is neither a module nor an existing
            folder.
    """
    for name in names:
        is_module = isinstance(name, str) and _MODULE.fullmatch(name) is not None
        if is_module and _is_of_python(str(name)):
            raise ValueError(f"'{name}' is a module of Python, which has no components of a run. Trust your own.")
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
    """Record import paths that the user has written, so that a run's files may name the same ones."""
    for path in paths:
        _add(names=path.replace(":", "."))


def names_in(content: Any) -> list[str]:
    """Return all strings in nested mappings and lists that have the form of an import path."""
    if isinstance(content, str):
        return [content] if _PATH.fullmatch(content) else []
    if isinstance(content, Mapping):
        return [name for item in content.values() for name in names_in(item)]
    return [name for item in content for name in names_in(item)] if isinstance(content, (list, tuple)) else []


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Limit what is trusted within to this context."""
    global _trusted
    before = _trusted
    try:
        yield
    finally:
        _trusted = before


# --- names in files ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading_run(source: object) -> Iterator[None]:
    """Check the names that are read in this context, as those of a file that came with a run.

    Args:
        source: the file, for errors; in nested contexts the outermost one counts.
    """
    token = _source.set(_source.get() or str(source))
    try:
        yield
    finally:
        _source.reset(token)


def is_reading_run() -> bool:
    """Return whether a file that came with a run is being read."""
    return _source.get() is not None


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], content: Any) -> Iterator[None]:
    """Read a config file: its names are checked if it came with a run; otherwise they count as the user's."""
    if is_run_file(path):
        with reading_run(path):
            yield
    else:
        user_names(*names_in(content))
        yield


def is_run_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file came with a run: it is called run.yaml, or is beside checkpoints or in their ``params``."""
    path = Path(path)
    folder = path.absolute().parent
    if folder.name == "params":  # of Isaac Lab and mjlab
        folder = folder.parent
    return path.name == RUN_FILE or any(
        child.suffix == ".pt" or (child / "metadata").exists() for child in folder.glob("model_*")
    )


def permit(path: str, what: str, *, bases: Sequence[str] = ()) -> Callable[[Any], None]:
    """Check that a name may be imported, before it is.

    Args:
        path: the import path.
        what: what it names, for errors.
        bases: import paths of the library's classes that it may derive from.

    Returns:
        a function to call with the imported object; raises the same error if the object comes from elsewhere.

    Raises:
        UntrustedNameError: if a file of a run is being read, and it may not use the name.
    """
    source = _source.get()
    if source is None:
        return lambda _: None
    module, attribute = split(path)
    refuse = functools.partial(_refused, source, what, path)
    if _is_of_python(module):
        raise refuse("It is a module of Python, which has no components.")
    if f"{module}.{attribute}" in _trusted.names:
        return lambda _: None
    if _is_trusted(module):
        return functools.partial(_require_trusted, refuse=refuse, bases=bases)
    if bases and _is_of_dependent(module):
        return functools.partial(_require_base, refuse=refuse, bases=bases)
    raise refuse()


def split(path: str) -> tuple[str, str]:
    """Split ``"module.path:Attr"`` or ``"module.path.Attr"`` into module and attribute."""
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
        f"If you trust the author of the run and this module, add --trust {top} (or its folder, --trust DIR) on the "
        f"command line, or call rsl_jax.trust('{top}') in Python."
    )
    return UntrustedNameError(
        f"{source} names the {what} '{path}', which is refused: the files of a run may name components of rsl_jax, "
        f"what you name yourself, and classes of installed packages that build on it. {why or remedy}"
    )


def _is_of_python(module: str) -> bool:
    return module.partition(".")[0] in {*sys.stdlib_module_names, *sys.builtin_module_names}


def _is_trusted(module: str) -> bool:
    if any(f"{module}.".startswith(f"{trusted}.") for trusted in _trusted.modules):
        return True
    origin = _origin(module.partition(".")[0])
    return origin is not None and any(origin.is_relative_to(folder) for folder in _trusted.folders)


def _origin(top: str) -> Path | None:
    """Return the file of a top-level package or module, without importing it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    where = spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)
    return None if where is None else Path(where).resolve()


def _is_of_dependent(module: str) -> bool:
    """Return whether a module belongs to an installed package that requires rsl_jax."""
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
    """Reject an object that a trusted module merely imports: ``my_project.tools:os.system``."""
    home = getattr(target, "__module__", None) or ""
    if not (_is_trusted(home) or _is_of(target, bases)):
        raise refuse(f"It comes from {home or 'another module'}, which you do not trust.")


def _require_base(target: Any, *, refuse: Callable[[], Exception], bases: Sequence[str]) -> None:
    if not (_is_of(target, bases) and (not isinstance(target, type) or _is_of_dependent(target.__module__))):
        raise refuse()


def _is_of(target: Any, bases: Sequence[str]) -> bool:
    """Return whether an object is a subclass of one of the library's classes, or an instance of one."""
    lineage = (target if isinstance(target, type) else type(target)).__mro__
    return any(getattr(importlib.import_module(home), name) in lineage for home, name in map(split, bases))
