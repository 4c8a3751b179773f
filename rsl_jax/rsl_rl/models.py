"""RSL-RL's models, to derive from and to name in a config; ``runner.alg.actor`` is what answers for one."""

from rsl_jax.rsl_rl.stand_ins import stand_in

__all__ = ["CNNModel", "MLPModel", "RNNModel"]

MLPModel = stand_in("MLPModel", "An MLP: the name of :class:`rsl_jax.models.MLPModel`.")
RNNModel = stand_in("RNNModel", "An RNN before an MLP: the name of :class:`rsl_jax.models.RNNModel`.")
CNNModel = stand_in("CNNModel", "Encoders of images before an MLP: the name of :class:`rsl_jax.models.CNNModel`.")
