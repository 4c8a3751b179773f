"""RSL-RL in functional JAX."""
