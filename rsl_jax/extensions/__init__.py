"""extensions of rsl_jax."""
