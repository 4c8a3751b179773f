"""Stand-ins for RSL-RL's extensions, to import; a config enables the extensions."""

from rsl_jax.rsl_rl.stand_ins import refused, stand_in

__all__ = ["RandomNetworkDistillation", "Symmetry", "resolve_rnd_config", "resolve_symmetry_config"]

_WAY_OUT = (
    "Extensions are records of pure functions here, which the config enables ('rnd_cfg', 'symmetry_cfg' and "
    "'extensions' in the algorithm's section): docs/curiosity.md, docs/symmetry.md, docs/custom_parts.md."
)

RandomNetworkDistillation = stand_in("RandomNetworkDistillation", "Curiosity.", way_out=_WAY_OUT)
Symmetry = stand_in("Symmetry", "Mirrored data and the mirror loss.", way_out=_WAY_OUT)
resolve_rnd_config = refused("resolve_rnd_config", f"sections are read when the runner is built. {_WAY_OUT}")
resolve_symmetry_config = refused("resolve_symmetry_config", f"sections are read when the runner is built. {_WAY_OUT}")
