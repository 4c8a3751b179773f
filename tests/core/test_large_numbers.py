"""Formulas on numbers that are large enough to overflow, or equal: compared with RSL-RL in PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsl_jax import ops
from rsl_jax.distributions.beta import beta
from rsl_jax.distributions.gaussian import gaussian
from rsl_jax.modules import init_normalizer, normalize, update_normalizer
from rsl_jax.ops.optimizers import adam, apply_gradients, rmsprop

torch = pytest.importorskip("torch")

HUGE = np.array([3e37, -4e37, 0.0], np.float32)


def test_large_gradients_are_clipped_to_the_norm():
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.from_numpy(HUGE.copy())
    torch.nn.utils.clip_grad_norm_([weight], 1.0)
    np.testing.assert_array_equal(weight.grad, 0.0)  # RSL-RL goes on, without a step
    clipped, norm = ops.clip_by_global_norm({"a": jnp.asarray(HUGE[:1]), "b": jnp.asarray(HUGE[1:])}, 1.0)
    np.testing.assert_allclose(norm, 5e37, rtol=1e-6)
    np.testing.assert_allclose(jnp.concatenate([clipped["a"], clipped["b"]]), [0.6, -0.8, 0.0], rtol=1e-6)
    # The norm of the largest gradients is beyond float32; their clipped step is not.
    clipped, _ = ops.clip_by_global_norm(jnp.full(4, 3e38), 1.0)
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_ordinary_gradients_are_clipped_to_the_last_bit_as_ever(scale):
    gradients = jnp.asarray(np.random.default_rng(0).normal(size=64) * scale, jnp.float32)
    clipped, norm = ops.clip_by_global_norm(gradients, 1.0)
    plain = optax.tree.norm(gradients)
    np.testing.assert_array_equal(norm, plain)
    np.testing.assert_array_equal(clipped, gradients * jnp.minimum(1, 1.0 / (plain + 1e-6)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_stay_so(bad):
    clipped, norm = ops.clip_by_global_norm({"a": jnp.array([1.0, bad]), "b": jnp.ones(2)}, 1.0)
    assert not np.isfinite(clipped["a"]).all()
    assert not np.isfinite(norm)
    assert not np.isfinite(ops.largest_entry({"a": jnp.array([1.0, bad])}))


@pytest.mark.parametrize("optimizer", [adam(), rmsprop()])
def test_optimisers_go_on_after_large_gradients(optimizer):
    params, state = jnp.zeros(3), optimizer.init(jnp.zeros(3))
    params, state = apply_gradients(optimizer, jnp.asarray(HUGE), state, params, jnp.asarray(0.1))
    for _ in range(3):  # PyTorch's second moments are infinite by now, and its steps zero for good
        before = params
        params, state = apply_gradients(optimizer, jnp.asarray(HUGE), state, params, jnp.asarray(0.1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, state)))
    assert np.abs(params - before)[:2].min() > 1e-3


def test_large_numbers_are_standardised_as_pytorch_does():
    x = np.array([1e25, -1e25, 3e25, 2e37], np.float32)
    expected = (torch.from_numpy(x) - torch.mean(torch.from_numpy(x))) / (torch.std(torch.from_numpy(x)) + 1e-8)
    np.testing.assert_allclose(ops.standardize(jnp.asarray(x)), expected, rtol=1e-5)
    parts = jax.vmap(lambda part: ops.standardize(part, axis_name="devices"), axis_name="devices")
    np.testing.assert_allclose(jnp.ravel(parts(jnp.asarray(x).reshape(2, 2))), expected, rtol=1e-5)


@pytest.mark.parametrize("large", [1e8, 1e20, 3e38])
def test_moments_of_finite_samples_are_finite(large):
    x = jnp.array([[large, 1.0], [-large, 2.0], [large, 3.0]])
    state = update_normalizer(update_normalizer(init_normalizer((2,)), x), x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    np.testing.assert_allclose(state.var[1], 2 / 3, rtol=1e-5)
    assert np.isfinite(normalize(state, x)).all()


@pytest.mark.parametrize("log_ratio", [30.0, 100.0, 1e6])
@pytest.mark.parametrize("advantage", [1.0, -1.0, 0.0])
def test_ratios_that_overflow_have_gradients_that_do_not(log_ratio, advantage):
    gradient = jax.grad(
        lambda x: ops.surrogate_loss(x, jnp.zeros(1), jnp.full(1, advantage), clip_param=0.2), allow_int=False
    )(jnp.full(1, log_ratio))
    assert np.isfinite(gradient).all()  # PyTorch's is NaN or infinite from 89 on
    if advantage < 0:
        assert gradient[0] > 1e12  # such a sample is to be learned from, not left out
    else:
        assert gradient[0] == 0


def test_a_value_loss_that_overflows_has_the_gradient_of_rsl_rl():
    values, returns = np.array([1e20, 1.0], np.float32), np.array([-1e20, 0.0], np.float32)
    theirs = torch.from_numpy(values.copy()).requires_grad_()
    (theirs - torch.from_numpy(returns)).pow(2).mean().backward()
    loss, gradient = jax.value_and_grad(ops.value_loss)(jnp.asarray(values), jnp.asarray(returns))
    assert np.isinf(loss)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-6)
    clipped = jax.grad(functools.partial(ops.clipped_value_loss, clip_param=0.2))
    assert np.isfinite(clipped(jnp.asarray(values), jnp.zeros(2), jnp.asarray(returns))).all()


@pytest.mark.parametrize("action", [-1.0, 1.0, -1.5, 0.9999999])
def test_beta_is_finite_at_its_bounds(action):
    def log_prob(output):
        distribution = beta(1)
        return jnp.sum(distribution.log_prob(distribution.params(output, ()), jnp.full((1, 1), action)))

    for size in (0.0, 1e3, 1e8):
        value, gradient = jax.value_and_grad(log_prob)(jnp.array([[[size], [-size]]]))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_a_divergence_that_overflows_lowers_the_learning_rate():
    distribution = gaussian(1)
    old, new = ((jnp.full((1, 1), mean), jnp.full((1, 1), 1e-6)) for mean in (0.0, 1e30))
    kl = jnp.mean(distribution.kl(old, new))
    assert np.isinf(kl)
    np.testing.assert_allclose(ops.adapt_learning_rate(jnp.array(1.5e-3), kl, desired_kl=0.01), 1e-3, rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("size", [(5, 7), (6, 4), (1, 1)])
@pytest.mark.parametrize("pool", ["global", "window"])
def test_of_equal_pixels_pytorchs_takes_the_gradient(pool, size, levels):
    generator = np.random.default_rng(0)
    images = generator.integers(levels, size=(2, 3, *size)).astype(np.float64)
    theirs = torch.from_numpy(images).requires_grad_()
    pools = {"global": torch.nn.AdaptiveMaxPool2d((1, 1)), "window": torch.nn.MaxPool2d(3, stride=2, padding=1)}
    output = pools[pool](theirs)
    weights = generator.normal(size=output.shape)
    (output * torch.from_numpy(weights)).sum().backward()

    def total(x):
        y = {"global": ops.global_max_pool, "window": ops.max_pool}[pool](jnp.transpose(x, (0, 2, 3, 1)))
        return jnp.sum(jnp.transpose(y, (0, 3, 1, 2)) * weights)

    value, gradient = jax.value_and_grad(total)(jnp.asarray(images))
    np.testing.assert_allclose(value, (output.detach().numpy() * weights).sum(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-12, atol=1e-12)
