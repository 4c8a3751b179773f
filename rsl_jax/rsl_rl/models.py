"""Stand-ins for RSL-RL's models, to derive from and to name in a config; ``runner.alg.actor`` has their interface."""

from rsl_jax.rsl_rl.stand_ins import stand_in

__all__ = ["CNNModel", "MLPModel", "RNNModel"]

MLPModel = stand_in("MLPModel", "MLP: stands for :class:`rsl_jax.models.MLPModel`.")
RNNModel = stand_in("RNNModel", "RNN followed by an MLP: stands for :class:`rsl_jax.models.RNNModel`.")
CNNModel = stand_in("CNNModel", "Image encoders followed by an MLP: stands for :class:`rsl_jax.models.CNNModel`.")
