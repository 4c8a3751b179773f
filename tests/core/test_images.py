"""Convolution of images: its custom gradients against XLA's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rsl_jax.ops import convolution


def plain(x, kernel, stride, dilation):
    return jax.lax.conv_general_dilated(
        *(x, kernel, (stride, stride), "VALID"),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("size", "stride", "dilation", "channels"),
    [(3, 1, 1, 2), (3, 2, 1, 5), (4, 2, 1, 3), (2, 3, 1, 5), (5, 3, 1, 2), (3, 2, 2, 5), (3, 1, 3, 2), (1, 1, 1, 5)],
)
def test_gradients_are_those_of_the_plain_convolution(size, stride, dilation, channels):
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(2, 11, 9, channels)))
    kernel = jnp.asarray(generator.normal(size=(size, size, channels, 3)))

    def gradients(function):
        return jax.jit(jax.grad(lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel))), argnums=(0, 1)))(x, kernel)

    ours = gradients(lambda x, kernel: convolution(x, kernel, stride=stride, dilation=dilation))
    theirs = gradients(lambda x, kernel: plain(x, kernel, stride, dilation))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("size", "stride", "dilation", "channels"), [(3, 2, 1, 5), (4, 2, 1, 3), (3, 2, 2, 5)])
def test_forward_mode_is_that_of_the_plain_convolution(size, stride, dilation, channels):
    generator = np.random.default_rng(0)
    x, along_x = (jnp.asarray(generator.normal(size=(2, 11, 9, channels))) for _ in range(2))
    kernel, along_kernel = (jnp.asarray(generator.normal(size=(size, size, channels, 3))) for _ in range(2))

    def ours(x, kernel):
        return convolution(x, kernel, stride=stride, dilation=dilation)

    def derivatives(function):
        def along(x, kernel):
            both = jax.jvp(function, (x, kernel), (along_x, along_kernel))
            return both, jax.jvp(lambda kernel: function(x, kernel), (kernel,), (along_kernel,))[1]

        return jax.jit(along)(x, kernel)

    def close(mine, other):
        np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-11)

    jax.tree.map(close, derivatives(ours), derivatives(lambda x, kernel: plain(x, kernel, stride, dilation)))
    check_grads(ours, (x, kernel), order=2, modes=("fwd", "rev"))


def test_gradients_keep_images_and_kernel_alone():
    x, kernel = jnp.ones((1, 7, 7, 2)), jnp.ones((3, 3, 2, 5))
    _, pullback = jax.vjp(lambda x, kernel: convolution(x, kernel, stride=2), x, kernel)
    kept = sorted(leaf.shape for leaf in jax.tree.leaves(pullback))
    assert kept == [x.shape, kernel.shape]
