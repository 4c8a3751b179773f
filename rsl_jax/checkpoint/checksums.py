"""SHA-256 of every file of a checkpoint, in a file that ``sha256sum -c`` reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUMS = "SHA256SUMS"
"""Name of the file."""


class DamageError(ValueError):
    """Error for a damaged checkpoint; its message is the end of a sentence."""


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of all files of a folder into it, and that of the list itself as its first line."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    (folder / SUMS).write_bytes(_text({name: _digest_of(folder / name) for name in names}))


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Read the SHA-256 of each file of a folder; None if they were never written.

    Raises:
        DamageError: if the list itself is damaged.
    """
    try:
        content = (folder / SUMS).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
    lines = content.decode("utf-8", errors="replace").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines[1:])}
    if content != _text(sums):
        raise DamageError(f"'{SUMS}', the list of its checksums, has been changed")
    return sums


def check_files(folder: Path, sums: dict[str, str], *, below: str = "") -> None:
    """Compare the files of a folder with their checksums.

    Args:
        folder: the folder.
        sums: SHA-256 by name.
        below: what the names of the files to compare begin with.

    Raises:
        DamageError: if one is missing or differs; names the first.
    """
    for name, digest in sums.items():
        if not name.startswith(below):
            continue
        try:
            found = _digest_of(folder / name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise DamageError(f"its file '{name}' is missing") from None
        if found != digest:
            raise DamageError(f"its file '{name}' has been changed (the SHA-256 differs)")


def _text(sums: dict[str, str]) -> bytes:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    return f"# SHA-256 of the lines below: {hashlib.sha256(lines).hexdigest()}\n".encode() + lines


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
