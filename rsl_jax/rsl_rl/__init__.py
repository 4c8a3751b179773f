"""RSL-RL's modules, names and habits on top of rsl_jax.

``rsl_jax.rsl_rl.runners`` is to scripts what ``rsl_rl.runners`` is, and so on for ``env``, ``algorithms``, ``models``,
``modules``, ``extensions``, ``storage`` and ``utils``. :mod:`rsl_jax.as_rsl_rl` makes the name ``rsl_rl`` lead here;
what is the same, what differs and why is in ``docs/migrating.md``.
"""

VERSION = "5.5.1"
"""The version of RSL-RL whose interface this is."""
