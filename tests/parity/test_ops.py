"""Building blocks against recordings of rsl-rl-lib and PyTorch, one by one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.distributions import gaussian
from rsl_jax.modules import init_normalizer, normalize, resolve_activation, update_normalizer
from rsl_jax.ops import clip_by_global_norm
from rsl_jax.ops.optimizers import apply_gradients, resolve_optimizer

from .cases import ACTIVATIONS, MAX_NORMS, NORMALIZER_BATCHES, NORMALIZER_UNTIL, OPTIMIZERS, STD_RANGE, STD_TYPES
from .comparison import Arrays, assert_close, load, section


@pytest.fixture
def ops(dtype: str) -> Arrays:
    return load("ops", dtype)


def test_recordings_hold_every_activation() -> None:
    assert {name.split("/")[1] for name in load("ops", "float64") if name.startswith("activation/")} == {
        "x",
        *ACTIVATIONS,
    }


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_its_derivative(ops: Arrays, dtype: str, name: str) -> None:
    recorded = section(ops, "activation")
    activation = resolve_activation(name)
    x = jnp.asarray(recorded["x"])
    y, vjp = jax.vjp(activation, x)
    assert_close(y, recorded[f"{name}/y"], dtype, name)
    # At 0 itself PyTorch takes a leaky ReLU's derivative from the left and JAX from the right.
    compared = x != 0 if name == "lrelu" else x == x
    derivative = vjp(jnp.ones_like(y))[0]
    assert_close(derivative[compared], recorded[f"{name}/dy"][compared], dtype, f"derivative of {name}")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_with_a_changing_learning_rate(ops: Arrays, dtype: str, name: str) -> None:
    recorded = section(ops, "optimizer")
    optimizer = resolve_optimizer(name)
    params = jnp.asarray(recorded["start"])
    opt_state = optimizer.init(params)
    for step, (gradient, rate) in enumerate(zip(recorded["gradients"], recorded["learning_rates"], strict=True)):
        params, opt_state = apply_gradients(optimizer, jnp.asarray(gradient), opt_state, params, jnp.asarray(rate))
        assert_close(params, recorded[name][step], dtype, f"{name} after step {step}")


def test_normalizer_merges_batches_until_it_has_seen_enough(ops: Arrays, dtype: str) -> None:
    recorded = section(ops, "normalizer")
    state = init_normalizer((4,), jnp.zeros(()).dtype)
    counts = []
    for index in range(len(NORMALIZER_BATCHES)):
        batch = jnp.asarray(recorded[f"{index}/batch"])
        state = update_normalizer(state, batch, until=NORMALIZER_UNTIL)
        assert_close(state.mean, recorded[f"{index}/mean"], dtype, f"mean after batch {index}")
        assert_close(state.var, recorded[f"{index}/var"], dtype, f"variance after batch {index}")
        assert_close(normalize(state, batch), recorded[f"{index}/normalized"], dtype, f"batch {index}, normalised")
        assert int(state.count) == int(recorded[f"{index}/count"])
        counts.append(int(state.count))
    assert counts[-1] == counts[-2] >= NORMALIZER_UNTIL, (
        "the recording must go on after the normaliser stopped learning"
    )


@pytest.mark.parametrize("index", range(len(MAX_NORMS)))
def test_gradient_clipping(ops: Arrays, dtype: str, index: int) -> None:
    recorded = section(ops, "clip")
    gradients = [jnp.asarray(recorded["0"]), jnp.asarray(recorded["1"])]
    clipped, norm = clip_by_global_norm(gradients, MAX_NORMS[index])
    in_a_row = np.concatenate([np.ravel(gradient) for gradient in clipped])
    assert_close(norm, recorded["norm"], dtype, "norm")
    assert_close(in_a_row, recorded[f"clipped/{index}"], dtype, f"gradients clipped to {MAX_NORMS[index]}")


@pytest.mark.parametrize("kind", STD_TYPES)
def test_gaussian_within_and_beyond_the_range_of_its_std(ops: Arrays, dtype: str, kind: str) -> None:
    recorded = section(ops, "gaussian")
    mean, new_mean, actions = (jnp.asarray(recorded[name]) for name in ("mean", "new_mean", "actions"))
    distribution = gaussian(mean.shape[-1], std_range=STD_RANGE, std_type=kind)
    name, to_parameter = {"scalar": ("std", jnp.asarray), "log": ("log_std", jnp.log)}[kind]

    def evaluate(std: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        params = distribution.params(mean, {name: std})
        log_prob, entropy = distribution.log_prob(params, actions), distribution.entropy(params)
        return jnp.sum(log_prob) + jnp.sum(entropy), (log_prob, entropy)

    std = to_parameter(recorded["std"])
    gradient, (log_prob, entropy) = jax.grad(evaluate, has_aux=True)(std)
    old = distribution.params(mean, {name: std})
    new = distribution.params(new_mean, {name: to_parameter(recorded["new_std"])})
    for what, ours in {
        "log_prob": log_prob,
        "entropy": entropy,
        "kl": distribution.kl(old, new),
        "gradient": gradient,
    }.items():
        assert_close(ours, recorded[f"{kind}/{what}"], dtype, f"{what} with a {kind} standard deviation")


@pytest.mark.parametrize("kind", STD_TYPES)
def test_kl_of_an_unchanged_policy_is_zero_despite_rounding(dtype: str, kind: str) -> None:
    """The reference's adaptive rate takes 0 for "has not moved"; a KL of 1e-15 would raise the rate in every update."""
    size = 512
    distribution = gaussian(size, std_type=kind)
    generator = np.random.default_rng(0)
    mean = jnp.asarray(generator.normal(size=(4, size)), dtype)
    std = generator.uniform(0.1, 2.0, size)
    extra = {"std": jnp.asarray(std, dtype)} if kind == "scalar" else {"log_std": jnp.asarray(np.log(std), dtype)}
    slightly_off = mean * (1 + jnp.finfo(mean.dtype).eps)
    old = jax.jit(distribution.params)(mean, extra)
    # The new parameters are made in the program that takes the divergence, where the compiler knows that all rows share
    # one standard deviation and divides by it as it likes.
    kl = jax.jit(lambda old, mean, extra: distribution.kl(old, distribution.params(mean, extra)))
    assert float(jnp.max(jnp.abs(kl(old, slightly_off, extra)))) == 0.0
