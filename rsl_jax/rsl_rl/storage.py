"""Stand-in for RSL-RL's storage, to import."""

from rsl_jax.rsl_rl.stand_ins import stand_in

__all__ = ["RolloutStorage"]

RolloutStorage = stand_in(
    "RolloutStorage",
    "Rollout: see :class:`rsl_jax.types.Rollout`.",
    way_out="A rollout is an immutable value here (rsl_jax.types.Rollout): collecting returns it, learning reads it.",
)
