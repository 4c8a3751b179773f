"""The recurrent model: many steps at once against one at a time, resets, gradients through time, invalid input."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import RunnerConfig
from rsl_jax.models import RNNModel, build_model
from rsl_jax.ops import reset_carry
from rsl_jax.types import Spec
from tests.helpers import drawn_by_numpy

T, N = 5, 3
SHAPES = {"policy": (4,), "command": (2,)}


def make(kind: str, layers: int, **kwargs):
    model = RNNModel(
        obs_shapes=SHAPES,
        obs_groups=tuple(SHAPES),
        output_dim=2,
        hidden_dims=(6,),
        obs_normalization=True,
        rnn_type=kind,
        rnn_hidden_dim=7,
        rnn_num_layers=layers,
        **kwargs,
    )
    return model, drawn_by_numpy(lambda: init(model))


def init(model):
    first = {group: jnp.zeros((1, *shape)) for group, shape in SHAPES.items()}
    return model.init(jax.random.key(0), first, model.initial_carry(1))


@pytest.fixture(scope="module", params=[("gru", 1), ("lstm", 2)], ids="{0[0]}-{0[1]}".format)
def built(request):
    return make(*request.param)


@pytest.fixture(scope="module")
def observations():
    generator = np.random.default_rng(1)
    return {g: jnp.asarray(generator.normal(size=(T, N, *s)), jnp.float32) for g, s in SHAPES.items()}


@pytest.fixture(scope="module")
def dones():
    return jnp.zeros((T, N), bool).at[1, 0].set(True).at[3, 0].set(True).at[4, 1].set(True)


def carry_of(model, seed=2):
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(generator.normal(size=x.shape), x.dtype), model.initial_carry(N))


def unroll(model, variables, observations, carry, dones):
    return jax.jit(lambda *args: model.apply(variables, *args, method="unroll"))(observations, carry, dones)


def at(observations, *index):
    return jax.tree.map(lambda x: x[index], observations)


def test_many_steps_equal_one_at_a_time(built, observations, dones):
    model, variables = built
    step = jax.jit(lambda *args: model.apply(variables, *args))
    carry, outputs = carry_of(model), []
    for t in range(T):
        output, carry = step(at(observations, t), carry)
        carry = reset_carry(carry, dones[t])
        outputs.append(output)
    unrolled = unroll(model, variables, observations, carry_of(model), dones)
    np.testing.assert_allclose(unrolled, np.stack(outputs), rtol=1e-5, atol=1e-6)


def test_resets_equal_separate_episodes(built, observations, dones):
    """The first environment's rollout holds three episodes: steps 0-1, 2-3 and 4."""
    model, variables = built
    whole = unroll(model, variables, observations, carry_of(model), dones)
    carry = carry_of(model)
    for episode in (slice(0, 2), slice(2, 4), slice(4, 5)):
        part = at(observations, episode)
        alone = unroll(model, variables, part, carry, jnp.zeros_like(dones[episode]))
        np.testing.assert_allclose(whole[episode, 0], alone[:, 0], rtol=1e-5, atol=1e-6)
        carry = model.initial_carry(N)


def test_looking_ahead_advances_nothing(built, observations, dones):
    """At the true next observation, with the memory after the step and before any reset."""
    model, variables = built
    following = jax.tree.map(lambda x: x[::-1] + 1.0, observations)
    look = jax.jit(lambda *args: model.apply(variables, *args, method="unroll_ahead"))
    step = jax.jit(lambda *args: model.apply(variables, *args))
    ahead = look(observations, following, carry_of(model), dones)
    carry = carry_of(model)
    for t in range(T):
        _, carry = step(at(observations, t), carry)
        np.testing.assert_allclose(ahead[t], step(at(following, t), carry)[0], rtol=1e-5, atol=1e-6)
        carry = reset_carry(carry, dones[t])


def test_gradients_through_time_stop_at_the_end_of_an_episode(built, observations, dones):
    model, variables = built

    def last_output(observations):
        return jnp.sum(unroll(model, variables, observations, carry_of(model), dones)[-1])

    reach = jnp.any(jax.grad(last_output)(observations)["policy"] != 0, axis=-1)
    expected = np.ones((T, N), bool)
    expected[:4, 0] = False  # its last episode began with the last step; that of environment 1 ends after it
    np.testing.assert_array_equal(reach, expected)


def test_parameters_start_as_pytorch_draws_them(built):
    model, _ = built
    variables = jax.jit(lambda: init(model))()
    bound = 1 / np.sqrt(7)
    for leaf in jax.tree.leaves(variables["params"]["rnn"]):
        assert np.max(np.abs(leaf)) <= bound
    kernel = variables["params"]["rnn"]["layer_0"]["hidden_kernel"]
    assert np.std(kernel) == pytest.approx(bound / np.sqrt(3), rel=0.1)
    assert len(variables["params"]["rnn"]) == model.rnn_num_layers


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_mixed_precision_keeps_the_memory_in_full(kind, observations, dones):
    model, variables = make(kind, 1)
    half = model.clone(dtype=jnp.bfloat16)
    exact = unroll(model, variables, observations, carry_of(model), dones)
    rough = unroll(half, variables, observations, carry_of(model), dones)
    chex.assert_type(rough, jnp.float32)
    np.testing.assert_allclose(rough, exact, atol=0.03)
    assert not np.array_equal(rough, exact)


# --- bad input --------------------------------------------------------------------------------------------------------


def build(observations=None, **section):
    cfg = RunnerConfig.from_dict({"critic": {"class_name": "RNNModel", **section}}).critic
    spec = Spec(observations or {"policy": (4,)}, num_actions=2, num_envs=8)
    return build_model(cfg, spec, obs_set="critic", obs_groups={"critic": tuple(spec.observations)}, output_dim=1)


def test_names_are_understood_in_either_case():
    assert len(build(rnn_type="GRU").initial_carry(2)[0]) == 1
    assert len(build(rnn_type="LSTM").initial_carry(2)[0]) == 2


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"rnn_type must be one of lstm, gru; got 'grru'\. Did you mean 'gru'"):
        build(rnn_type="grru")


def test_sizes_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"rnn_num_layers must be at least 1; got 0"):
        build(rnn_num_layers=0)


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"RNNModel takes 1-D observation groups; 'camera' of the set 'critic'"):
        build(observations={"policy": (4,), "camera": (1, 8, 8)})
