"""The flag ``--compilation-cache``."""

from __future__ import annotations

from typing import Annotated

import tyro

from rsl_jax.compilation_cache import use_compilation_cache

CacheFlag = Annotated[str | None, tyro.conf.arg(metavar="DIR|none")]
NONE = "none"


def choose_cache(choice: str | None) -> None:
    """Follow the flag: a folder, ``none`` for no cache, or None for the user's cache folder."""
    if choice == NONE:
        import jax

        jax.config.update("jax_compilation_cache_dir", None)
    else:
        use_compilation_cache(choice)
