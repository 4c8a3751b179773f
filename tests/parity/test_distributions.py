"""Distributions against recordings of rsl-rl-lib, and at the start of training."""

from __future__ import annotations

from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.distributions import Distribution
from rsl_jax.ops import adapt_learning_rate
from rsl_jax.registry import resolve_part

from .cases import CASES, DISTRIBUTIONS, NUM_ACTIONS
from .comparison import assert_close, load, section


def distribution_of(cfg: dict[str, Any]) -> Distribution:
    arguments = {name: value for name, value in cfg.items() if name != "class_name"}
    return resolve_part(cfg["class_name"], "distribution")(NUM_ACTIONS, **arguments)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution_of_a_networks_output(dtype: str, name: str) -> None:
    recorded = load("distributions", dtype)
    expected = section(recorded, name)
    output, new_output = (jnp.asarray(recorded[key]) for key in ("output", "new_output"))
    actions = jnp.asarray(expected["actions"])
    distribution = distribution_of(DISTRIBUTIONS[name])

    def evaluate(output: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        params = distribution.params(output, ())
        results = {
            "log_prob": distribution.log_prob(params, actions),
            "entropy": distribution.entropy(params),
            "kl": distribution.kl(params, distribution.params(new_output, ())),
            "mode": distribution.mode(params),
            "std": distribution.std(params),
        }
        return jnp.sum(results["log_prob"]) + jnp.sum(results["entropy"]), results

    gradient, results = jax.jit(jax.grad(evaluate, has_aux=True))(output)
    for what, ours in {**results, "gradient": gradient}.items():
        assert_close(ours, expected[what], dtype, f"{what} of {name}")


@pytest.mark.parametrize("name", ["heteroscedastic", "beta"])
def test_the_last_layer_starts_as_in_rsl_rl(dtype: str, name: str) -> None:
    """In the half that spreads the samples, which is not random."""
    recorded = section(load(name, dtype), "initial/actor")
    distribution = distribution_of(CASES[name].train_cfg["actor"]["distribution_cfg"])
    assert distribution.head_kernel is not None
    assert distribution.head_bias is not None
    kernel, bias = jnp.full((8, 2 * NUM_ACTIONS), 0.3), jnp.full(2 * NUM_ACTIONS, 0.4)
    kernel, bias = distribution.head_kernel(kernel), distribution.head_bias(bias)
    np.testing.assert_array_equal(kernel[:, NUM_ACTIONS:], recorded["mlp.4.weight"].T[:, NUM_ACTIONS:])
    np.testing.assert_allclose(bias[NUM_ACTIONS:], recorded["mlp.4.bias"][NUM_ACTIONS:], rtol=1e-6)
    assert np.all(kernel[:, :NUM_ACTIONS] == 0.3)
    assert np.all(bias[:NUM_ACTIONS] == 0.4)


@pytest.mark.parametrize("name", ["heteroscedastic", "beta"])
def test_samples_have_the_moments_that_are_told(name: str) -> None:
    distribution = distribution_of(DISTRIBUTIONS[name])
    output = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, NUM_ACTIONS)), jnp.float32)
    params = jax.tree.map(lambda x: jnp.repeat(x, 20_000, axis=0), distribution.params(output, ()))
    samples = distribution.sample(params, jax.random.key(0))
    np.testing.assert_allclose(jnp.mean(samples, 0), distribution.mode(params)[0], atol=0.05)
    np.testing.assert_allclose(jnp.std(samples, 0), distribution.std(params)[0], rtol=0.03)


@pytest.mark.parametrize("moved", [0.3, 3.0])
def test_divergence_of_near_betas_is_more_than_rounding(moved: float) -> None:
    """Against distrax in float64, also where alpha and beta are so large that its formula has no digits left."""
    generator = np.random.default_rng(0)
    old = generator.normal(scale=4.0, size=(64, 2, NUM_ACTIONS)) + np.linspace(0, 300, 64)[:, None, None]
    new = old + moved * generator.normal(size=old.shape)
    ours = distribution_of(DISTRIBUTIONS["beta"])
    params = [jax.tree.map(np.asarray, ours.params(jnp.asarray(output, jnp.float32), ())) for output in (old, new)]
    with jax.enable_x64(True):
        betas = [distrax.Beta(*(jnp.asarray(param, jnp.float64) for param in pair)) for pair in params]
        expected = np.asarray(jnp.sum(betas[0].kl_divergence(betas[1]), -1))
    kl = jax.jit(ours.kl)(*params)
    assert kl.dtype == jnp.float32
    assert np.linalg.norm(kl - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_adaptive_rate_takes_a_policy_that_differs_by_rounding_for_unchanged(name: str) -> None:
    distribution = distribution_of(DISTRIBUTIONS[name])
    output = jnp.asarray(np.random.default_rng(0).normal(size=(64, 2, NUM_ACTIONS)), jnp.float32)
    old = distribution.params(output, ())
    new = tuple(param * (1 + jnp.finfo(param.dtype).eps) for param in old)
    kl = jnp.mean(distribution.kl(old, new))
    rate = jnp.asarray(1e-3)
    assert adapt_learning_rate(rate, kl, desired_kl=0.01) == rate
