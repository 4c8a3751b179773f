"""interop of rsl_jax."""
