"""Formulas against numbers computed by hand, and against identities."""

import contextlib
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from rsl_jax import ops
from rsl_jax.modules import denormalize, init_normalizer, normalize, update_normalizer
from rsl_jax.modules.activations import elu
from rsl_jax.ops import generalized_advantage_estimation as gae
from rsl_jax.ops.guards import keep_if_finite, non_finite
from rsl_jax.ops.optimizers import apply_gradients
from rsl_jax.trees import select_rows


@contextlib.contextmanager
def chex_disabled():
    """Without any of chex's assertions."""
    chex.disable_asserts()
    try:
        yield
    finally:
        chex.enable_asserts()


def test_gae_by_hand():
    # gamma = lam = 1/2; the episode ends after the second of three steps.
    advantages, returns = ops.generalized_advantage_estimation(
        rewards=jnp.array([[1.0], [2.0], [3.0]]),
        values=jnp.array([[4.0], [8.0], [16.0]]),
        dones=jnp.array([[False], [True], [False]]),
        last_values=jnp.array([32.0]),
        gamma=0.5,
        lam=0.5,
    )
    # t=2: 3 + 16 - 16 = 3;  t=1: 2 - 8 = -6;  t=0: 1 + 4 - 4 + 0.25 * -6 = -0.5
    np.testing.assert_allclose(advantages[:, 0], [-0.5, -6.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(returns[:, 0], [3.5, 2.0, 19.0], rtol=1e-6)


def test_gae_with_lam_one_is_the_discounted_return():
    rewards = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)), jnp.float32)
    values = jnp.ones((7, 3))
    _, returns = ops.generalized_advantage_estimation(
        rewards, values, jnp.zeros((7, 3), bool), jnp.full(3, 5.0), gamma=0.9, lam=1.0
    )
    expected = sum(0.9**t * rewards[t] for t in range(7)) + 0.9**7 * 5.0
    np.testing.assert_allclose(returns[0], expected, rtol=1e-5)


def test_surrogate_loss_clips_only_what_would_gain():
    ratios, advantages = jnp.array([1.5, 0.5, 1.5, 0.5]), jnp.array([1.0, 1.0, -1.0, -1.0])
    loss = ops.surrogate_loss(jnp.log(ratios), jnp.zeros(4), advantages, clip_param=0.2)
    np.testing.assert_allclose(loss, -np.mean([1.2, 0.5, -1.5, -0.8]), rtol=1e-6)


def test_value_losses_by_hand():
    values, old, returns = jnp.array([2.0, 1.1]), jnp.array([1.0, 1.0]), jnp.array([3.0, 0.0])
    np.testing.assert_allclose(ops.value_loss(values, returns), (1.0 + 1.21) / 2, rtol=1e-6)
    clipped = ops.clipped_value_loss(values, old, returns, clip_param=0.2)
    np.testing.assert_allclose(clipped, ((3 - 1.2) ** 2 + 1.1**2) / 2, rtol=1e-6)


@pytest.mark.parametrize(("kl", "factor"), [(0.03, 1 / 1.5), (0.01, 1.0), (0.004, 1.5), (0.0, 1.0)])
def test_learning_rate_follows_the_divergence(kl, factor):
    new = ops.adapt_learning_rate(jnp.array(1e-3), jnp.array(kl), desired_kl=0.01)
    np.testing.assert_allclose(new, 1e-3 * factor, rtol=1e-6)


def test_learning_rate_stays_within_bounds():
    np.testing.assert_allclose(ops.adapt_learning_rate(jnp.array(1.1e-5), jnp.array(1.0), desired_kl=0.01), 1e-5)
    np.testing.assert_allclose(ops.adapt_learning_rate(jnp.array(9e-3), jnp.array(1e-4), desired_kl=0.01), 1e-2)


def test_gradient_clipping_by_hand():
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    clipped, norm = ops.clip_by_global_norm(gradients, 1.0)
    np.testing.assert_allclose(norm, 5.0)
    np.testing.assert_allclose(clipped["b"], 4.0 / (5.0 + 1e-6), rtol=1e-6)
    untouched, _ = ops.clip_by_global_norm(gradients, 10.0)
    np.testing.assert_array_equal(untouched["a"], gradients["a"])


def test_standardize_uses_the_unbiased_deviation():
    x = jnp.array([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_allclose(ops.standardize(x), (x - 3.0) / np.std(np.asarray(x), ddof=1), rtol=1e-6)


def test_reductions_over_devices_see_the_whole_batch():
    x = jnp.asarray(np.random.default_rng(1).normal(2.0, 3.0, size=(4, 5, 2)), jnp.float32)
    whole = ops.standardize(x)
    parts = jax.vmap(lambda part: ops.standardize(part, axis_name="devices"), axis_name="devices")(x)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    learn = jax.vmap(
        lambda part: update_normalizer(init_normalizer((2,)), part, axis_name="devices"), axis_name="devices"
    )
    merged = learn(x)
    np.testing.assert_allclose(merged.mean[0], np.mean(x, (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(merged.var[3], np.var(x, (0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(merged.count, np.full(4, 20))


def test_normalizer_merges_batches_into_the_moments_of_all():
    data = np.random.default_rng(2).normal(5.0, 2.0, size=(60, 3)).astype(np.float32)
    state = init_normalizer((3,))
    for batch in np.split(data, [7, 30]):
        state = update_normalizer(state, jnp.asarray(batch))
    np.testing.assert_allclose(state.mean, data.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.var, data.var(0), rtol=1e-4)
    x = jnp.asarray(data).reshape(4, 15, 3)
    np.testing.assert_allclose(denormalize(state, normalize(state, x)), x, rtol=1e-5)


def test_normalizer_stops_learning_at_until():
    state = update_normalizer(init_normalizer((1,)), jnp.ones((8, 1)), until=8)
    again = update_normalizer(state, 5 * jnp.ones((8, 1)), until=8)
    jax.tree.map(np.testing.assert_array_equal, again, state)


def test_guard_keeps_the_old_where_something_is_not_finite():
    reports = non_finite({"loss": jnp.array([1.0, jnp.nan, jnp.inf]), "rewards": jnp.ones(2)})
    assert {name: int(count) for name, count in reports.items()} == {"NonFinite/loss": 2, "NonFinite/rewards": 0}
    assert keep_if_finite(jnp.array(1), jnp.array(0), reports) == 0
    assert keep_if_finite(jnp.array(1), jnp.array(0), {"NonFinite/rewards": reports["NonFinite/rewards"]}) == 1


# --- derivatives of activations ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_elu_has_every_derivative():
    x = jnp.linspace(-3.0, 3.0, 8)
    check_grads(jax.vmap(elu), (x,), order=2, modes=("fwd", "rev"))
    y, slope = jax.jvp(elu, (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(y, jax.nn.elu(x), rtol=1e-15, atol=1e-15)
    np.testing.assert_array_equal(slope, jax.vmap(jax.grad(elu))(x))
    np.testing.assert_array_equal(slope, jnp.diag(jax.jacfwd(elu)(x)))
    assert jax.grad(elu)(0.0) == 1.0


def test_elu_keeps_nothing_but_its_output():
    def kept(x):
        y, pullback = jax.vjp(elu, x)
        return y, jax.tree.leaves(pullback)

    y, residuals = kept(jnp.linspace(-1.0, 1.0, 5))
    large = [x for x in residuals if x.shape == y.shape]
    assert len(large) == 1
    np.testing.assert_array_equal(large[0], y)


# --- what is refused --------------------------------------------------------------------------------------------------

T_N, N_, WRONG = jnp.zeros((3, 2)), jnp.zeros(2), jnp.zeros((3, 2, 1))
SCALARS = {"gamma": 0.9, "lam": 0.9}
IMAGES, KERNEL = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 1))


@pytest.mark.parametrize(
    ("function", "arguments", "says"),
    [
        (partial(gae, **SCALARS), (N_, N_, N_, jnp.zeros(())), r"has rank 1 .*rewards, values and dones are \[T, N\]"),
        (partial(gae, **SCALARS), (T_N, jnp.zeros((3, 1)), T_N, N_), r"rewards, values and dones are \[T, N\]"),
        (partial(gae, **SCALARS), (T_N, T_N, T_N, T_N), r"last_values are \[N\]"),
        (partial(gae, gamma=N_, lam=0.9), (T_N, T_N, T_N, N_), "gamma and lam are scalars"),
        (partial(ops.surrogate_loss, clip_param=0.2), (T_N, T_N, WRONG), "advantages of the surrogate loss"),
        (partial(ops.surrogate_loss, clip_param=N_), (T_N, T_N, T_N), "clip_param is a scalar"),
        (ops.value_loss, (WRONG, T_N), "values and returns"),
        (partial(ops.clipped_value_loss, clip_param=0.2), (T_N, N_, T_N), "old_values"),
        (partial(ops.clipped_value_loss, clip_param=N_), (T_N, T_N, T_N), "clip_param is a scalar"),
        (ops.standardize, (jnp.zeros(3, jnp.int32),), "floats"),
        (ops.clip_by_global_norm, ({"a": N_}, N_), "max_norm is a scalar"),
        (partial(ops.adapt_learning_rate, desired_kl=0.01), (jnp.zeros(()), N_), r"kl \(a mean\)"),
        (
            lambda g, p: apply_gradients(optax.identity(), g, optax.EmptyState(), p, jnp.ones(())),
            ({"a": N_}, {"a": T_N}),
            "gradients and parameters",
        ),
        (
            lambda g, p: apply_gradients(optax.identity(), g, optax.EmptyState(), p, N_),
            ({"a": N_}, {"a": N_}),
            "learning_rate is a scalar",
        ),
        (ops.reset_carry, (((N_,),), T_N), r"must have the shape \[N\]"),
        (ops.reset_carry, (((T_N,),), N_), "as many rows as the mask"),
        (select_rows, (N_, {"a": N_}, {"a": T_N.T}), "rows to select from"),
        (lambda new, old: keep_if_finite(new, old, {}), (T_N, N_), "the new and the old to keep"),
        (lambda new, old: keep_if_finite(new, old, {}), (N_, jnp.zeros(2, jnp.int32)), "the new and the old to keep"),
        (partial(ops.to_rank, rank=1), (T_N,), "reduced to rank 1"),
        (ops.convolution, (IMAGES[0], KERNEL), "images are"),
        (ops.convolution, (IMAGES, KERNEL[:2]), "a kernel is"),
        (ops.convolution, (IMAGES, KERNEL[:, :, :1]), "channels C of the images"),
        (partial(ops.convolution, dilation=2), (IMAGES, KERNEL), "larger than the images' height"),
        (ops.convolution, (IMAGES[:, :, :2], KERNEL), "larger than the images' width"),
        (lambda x: ops.pad_images(x, (1, 1), "zeros"), (IMAGES[0],), "images are"),
        (lambda x: ops.pad_images(x, (1,), "zeros"), (IMAGES,), "one for the height and one for the width"),
        (ops.max_pool, (IMAGES[0],), "images are"),
    ],
)
def test_wrong_shapes_are_refused_while_tracing(function, arguments, says):
    with pytest.raises(AssertionError, match=says):
        jax.eval_shape(function, *arguments)


def test_assertions_hold_in_batches_on_devices_and_leave_no_trace():
    mesh = jax.make_mesh((2,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    rewards = jnp.arange(24.0).reshape(3, 4, 2)  # [T, N] of two runs

    def advantages(rewards):
        dones, last = jnp.zeros(rewards.shape, bool), jnp.zeros(rewards.shape[1:])
        return gae(rewards, rewards, dones, last, gamma=0.9, lam=0.5)[0]

    both = jax.vmap(advantages, in_axes=2, out_axes=2)
    spread = jax.sharding.PartitionSpec(None, "devices")
    on_two = jax.jit(jax.shard_map(both, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False))
    np.testing.assert_allclose(on_two(rewards), both(rewards), rtol=1e-6)
    with chex_disabled():
        without = jax.make_jaxpr(advantages)(rewards[..., 0])
    assert str(jax.make_jaxpr(advantages)(rewards[..., 0])) == str(without)
