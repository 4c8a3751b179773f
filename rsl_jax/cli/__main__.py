"""``python -m rsl_jax.cli`` is equivalent to ``rsl-jax``."""

import sys

from rsl_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
