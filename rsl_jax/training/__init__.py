"""training of rsl_jax."""
