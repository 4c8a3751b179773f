"""Git state of the code of a run."""

from __future__ import annotations

import os
from pathlib import Path


def store_git_state(path: str | os.PathLike[str], out_dir: str | os.PathLike[str]) -> Path | None:
    """Write commit, status and uncommitted changes of the repository that holds ``path`` to ``out_dir/<name>.diff``.

    A file of an earlier start of the run is kept: if the code has changed since, the new state goes to
    ``<name>-1.diff``, and so on.

    Args:
        path: a file or folder in the repository.
        out_dir: folder to write to, created if it is missing.

    Returns:
        the file written, or None if there was nothing to write: no repository, no git, or the same state on disk.
    """
    state = _git_state(path)
    if state is None:
        return None
    name, text = state
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    target, count = out / f"{name}.diff", 0
    while target.exists():
        if target.read_text(encoding="utf-8", errors="surrogateescape") == text:
            return None
        count += 1
        target = out / f"{name}-{count}.diff"
    target.write_text(text, encoding="utf-8", errors="surrogateescape")
    return target


def _git_state(path: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Return name of the repository and its state as text."""
    try:
        import git  # raises ImportError on machines without a git executable
    except ImportError:
        return None
    try:
        with git.Repo(path, search_parent_directories=True) as repo:
            if repo.working_dir is None:
                return None
            has_commit = repo.head.is_valid()
            commit = repo.head.commit.hexsha if has_commit else "none yet"
            diff = repo.git.diff("HEAD", no_color=True, no_ext_diff=True) if has_commit else ""
            text = f"# commit\n{commit}\n\n# status\n{repo.git.status()}\n\n# diff\n{diff}\n"
            return Path(repo.working_dir).name, text
    except (git.GitError, OSError, ValueError):
        # Logging the state of the code is optional: no repository, or one that git rejects, must not stop training.
        return None
