"""The flag ``--compilation-cache``."""

from __future__ import annotations

from typing import Annotated

from rsl_jax.cli.arguments import option
from rsl_jax.compilation_cache import use_compilation_cache

CacheFlag = Annotated[str | None, option("DIR|none", default="in the user's cache folder")]
NONE = "none"


def choose_cache(choice: str | None) -> None:
    """Apply the flag: a folder, ``none`` for no cache, or None for the user's cache folder."""
    if choice == NONE:
        import jax

        jax.config.update("jax_compilation_cache_dir", None)
    else:
        use_compilation_cache(choice)
