"""RSL-RL's modules and names on top of rsl_jax.

``rsl_jax.rsl_rl.runners`` replaces ``rsl_rl.runners`` in scripts, and so on for ``env``, ``algorithms``, ``models``,
``modules``, ``extensions``, ``storage`` and ``utils``. :mod:`rsl_jax.as_rsl_rl` redirects the import of ``rsl_rl`` to
this package; ``docs/migrating.md`` lists what is the same, what differs and why.
"""

VERSION = "5.5.1"
"""Version of RSL-RL whose interface this package has."""
