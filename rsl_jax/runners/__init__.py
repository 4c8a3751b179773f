"""runners of rsl_jax."""
