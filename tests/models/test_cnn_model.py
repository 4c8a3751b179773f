"""The convolutional model: its computation, construction and errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO
from rsl_jax.algorithms.batches import Batch
from rsl_jax.algorithms.variables import parts_of, variables_of, with_parts
from rsl_jax.config import CNNConfig, CNNModelConfig, RunnerConfig
from rsl_jax.models import build_model
from rsl_jax.modules import CNN, TRAINING, plan_layers
from rsl_jax.types import Spec
from tests.helpers import drawn_by_numpy

T, N = 4, 3
SHAPES = {"policy": (2,), "depth": (1, 6, 7), "camera": (2, 5, 8)}
SMALL = CNNConfig((3,), 3)
NORMALIZED = CNNConfig((3, 4), 3, norm=("batch", "layer"), padding="zeros")


def make(*groups, **changes):
    cfg = CNNModelConfig(hidden_dims=(5,), **{"cnn_cfg": SMALL, **changes})
    model = build_model(cfg, Spec(SHAPES, 2, N), obs_set="actor", obs_groups={"actor": groups}, output_dim=2)
    return model, drawn_by_numpy(lambda: model.init(jax.random.key(0), first_of(model), ()))


def first_of(model):
    return {group: jnp.zeros((1, *SHAPES[group])) for group in model.obs_groups}


def observe(seed=1, *leading):
    generator = np.random.default_rng(seed)
    return {name: jnp.asarray(generator.normal(size=(*leading, *s)), jnp.float32) for name, s in SHAPES.items()}


def applied(model, variables, *args, **options):
    return jax.jit(lambda variables, *args: model.apply(variables, *args, **options))(variables, *args)


# --- what it computes -------------------------------------------------------------------------------------------------


def test_vectors_come_before_images_and_pixels_in_the_order_channel_height_width():
    model, variables = make("camera", "policy", cnn_cfg=CNNConfig((2,), 1, activation="identity"))
    layer = variables["params"]["cnns"]["camera"]["layer_0"]
    layer |= {"kernel": jnp.reshape(jnp.eye(2), (1, 1, 2, 2)), "bias": jnp.array([0.0, 10.0])}
    observations = observe(1, N)
    latent, _ = applied(model, variables, observations, (), method="latent")
    pixels = observations["camera"] + jnp.array([0.0, 10.0])[None, :, None, None]
    np.testing.assert_array_equal(latent, jnp.concatenate([observations["policy"], jnp.reshape(pixels, (N, -1))], 1))


def test_images_alone_are_enough():
    model, variables = make("camera")
    assert applied(model, variables, observe(1, N), (), method="mode")[0].shape == (N, 2)


def test_each_group_has_the_encoder_that_is_meant_for_it():
    model, variables = make("camera", "depth", cnn_cfg={"depth": CNNConfig((4,), 2), "camera": SMALL})
    shapes = jax.tree.map(jnp.shape, variables["params"]["cnns"])
    assert shapes["depth"]["layer_0"]["kernel"] == (2, 2, 1, 4)
    assert shapes["camera"]["layer_0"]["kernel"] == (3, 3, 2, 3)
    latent, _ = applied(model, variables, observe(1, N), (), method="latent")
    assert latent.shape == (N, 3 * 3 * 6 + 4 * 5 * 6)


def test_kernels_start_as_pytorch_draws_them():
    model, _ = make("camera", cnn_cfg=CNNConfig((200,), 3))
    variables = jax.jit(model.init)(jax.random.key(0), first_of(model), ())
    layer = variables["params"]["cnns"]["camera"]["layer_0"]
    bound = 1 / np.sqrt(3 * 3 * 2)
    for array in layer.values():
        assert np.max(np.abs(array)) <= bound
        assert np.std(array) == pytest.approx(bound / np.sqrt(3), rel=0.1)


@pytest.fixture(scope="module")
def normalized():
    model, variables = make("depth", "policy", cnn_cfg=NORMALIZED, obs_normalization=True)
    step = jax.jit(lambda variables, x: model.apply(variables, x, (), mutable=TRAINING))
    unroll = jax.jit(
        lambda variables, x: model.apply(variables, x, (), jnp.zeros((T, N), bool), method="unroll", mutable=TRAINING)
    )
    return model, variables, step, unroll


def test_many_steps_equal_one_at_a_time_and_move_the_running_moments_alike(normalized):
    _, variables, step, unroll = normalized
    observations = observe(2, T, N)
    outputs, moved = unroll(variables, observations)
    for t in range(T):
        (output, _), changed = step(variables, {name: x[t] for name, x in observations.items()})
        variables = {**variables, **changed}
        np.testing.assert_allclose(outputs[t], output, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(moved, {name: variables[name] for name in moved}, rtol=1e-5)


def test_training_normalises_by_the_batch_and_play_by_the_running_moments(normalized):
    model, variables, step, _ = normalized
    observations = observe(3, N)
    (trained, _), moved = step(variables, observations)
    played, _ = applied(model, variables, observations, ())
    assert np.max(np.abs(trained - played)) > 1e-3
    for _ in range(200):
        _, moved = step({**variables, **moved}, observations)
    later, _ = applied(model, {**variables, **moved}, observations, ())
    # The running variance is the unbiased one.
    np.testing.assert_allclose(later, trained, rtol=0.05, atol=0.02)


def test_a_batch_alone_does_not_see_its_neighbours_at_play(normalized):
    model, variables, _, _ = normalized
    observations = observe(4, N)
    together, _ = applied(model, variables, observations, (), method="mode")
    alone, _ = applied(model, variables, {name: x[:1] for name, x in observations.items()}, (), method="mode")
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-6)


def test_unrolls_at_play_too(normalized):
    model, variables, _, _ = normalized
    observations, dones = observe(5, T, N), jnp.zeros((T, N), bool)
    outputs = applied(model, variables, observations, (), dones, method="unroll")
    last, _ = applied(model, variables, {name: x[-1] for name, x in observations.items()}, ())
    np.testing.assert_allclose(outputs[-1], last, rtol=1e-5, atol=1e-6)


# --- configuration ----------------------------------------------------------------------------------------------------


def section(cnn_cfg):
    return {"actor": {"class_name": "rsl_rl.models:CNNModel", "cnn_cfg": cnn_cfg}}


def test_reads_one_encoder_for_all_and_goes_back_into_plain_types():
    given = {
        "output_channels": [8, 16],
        "kernel_size": [5, 3],
        "stride": 2,
        "norm": ["batch", "none"],
        "max_pool": True,
    }
    cfg = RunnerConfig.from_dict(section(given))
    expected = CNNConfig((8, 16), (5, 3), stride=2, norm=("batch", "none"), max_pool=True)
    assert cfg.actor == CNNModelConfig(cnn_cfg=expected)
    assert RunnerConfig.from_dict(cfg.to_dict()) == cfg


def test_reads_encoders_by_group():
    small = {"output_channels": [8], "kernel_size": 3}
    cfg = RunnerConfig.from_dict(section({"camera": small, "depth": {**small, "padding": "circular"}}))
    assert cfg.actor.cnn_cfg == {"camera": CNNConfig((8,), 3), "depth": CNNConfig((8,), 3, padding="circular")}
    assert RunnerConfig.from_dict(cfg.to_dict()) == cfg


@pytest.mark.parametrize(
    ("cnn_cfg", "error", "message"),
    [
        ({"kernel_size": 3}, ValueError, "actor.cnn_cfg needs the key 'output_channels'"),
        ({"output_channels": [8], "kernel_sizes": 3}, ValueError, "Unknown key 'kernel_sizes'.*'kernel_size'"),
        ({"output_channels": 8, "kernel_size": 3}, TypeError, "cnn_cfg.output_channels must be a list; got 8"),
        ({"output_channels": [8], "kernel_size": "3"}, TypeError, "kernel_size must be of type int; got '3'"),
        ({"output_channels": [8], "kernel_size": [3.5]}, TypeError, r"kernel_size\[0\] must be of type int; got 3.5"),
        ({"output_channels": [8], "kernel_size": 3, "padding": "zero"}, ValueError, "padding must be one of.*'zeros'"),
        (
            {"output_channels": [8], "kernel_size": 3, "norm": ["bach"]},
            ValueError,
            r"norm\[0\] must be one of.*'batch'",
        ),
        ({"camera": {"kernel_size": 3}}, ValueError, "actor.cnn_cfg.camera needs the key 'output_channels'"),
        ([8, 16], TypeError, "actor.cnn_cfg must be a section"),
        ({"output_channels": [], "kernel_size": 3}, ValueError, "output_channels is empty"),
        (
            {"output_channels": [8, 8], "kernel_size": [3]},
            ValueError,
            "kernel_size has 1 entries, output_channels has 2",
        ),
        (
            {"output_channels": [8], "kernel_size": 3, "activation": "elo"},
            ValueError,
            "activation must be one of.*'elu'",
        ),
        ({"output_channels": [8], "kernel_size": 3, "stride": 0}, ValueError, "stride must be at least 1; got 0"),
    ],
)
def test_refuses_what_is_no_encoder(cnn_cfg, error, message):
    with pytest.raises(error, match=message):
        RunnerConfig.from_dict(section(cnn_cfg))


@pytest.mark.parametrize(
    ("groups", "changes", "message"),
    [
        (("policy",), {}, r"CNNModel needs an image group.*'actor' are \{'policy': \(2,\)\}.*use an MLPModel"),
        (("camera",), {"cnn_cfg": None}, r"image groups \('camera',\) need a 'cnn_cfg', for example"),
        (("camera",), {"obs_normalization": True}, r"only the images \('camera',\).*'norm'"),
        (("camera",), {"cnn_cfg": {"camra": SMALL}}, r"encoders for \('camra',\).*'camra' is only among the encoders"),
        (("camera", "depth"), {"cnn_cfg": {"camera": SMALL}}, "'depth' is only among the groups"),
        (("camera",), {"cnn_cfg": CNNConfig((3,), 3, flatten=False)}, r"'camera' of the set 'actor'.*flatten to true"),
        (("camera",), {"cnn_cfg": CNNConfig((3,), 6)}, r"'camera'.*\(2, 5, 8\): layer 0 \(kernel_size 6.*5 x 8 input"),
        (("camera",), {"cnn_cfg": CNNConfig((3, 3), 3, stride=2)}, r"layer 1 .*leaves nothing of its 2 x 3 input"),
        (("camera",), {"cnn_cfg": CNNConfig((3,), 1, stride=4, padding="zeros")}, "negative padding"),
        (("depth",), {"cnn_cfg": CNNConfig((3,), 13, padding="reflect")}, "by 6 pixels, .*'reflect' needs .*only 5"),
    ],
)
def test_refuses_what_makes_no_model(groups, changes, message):
    with pytest.raises(ValueError, match=message):
        make(*groups, **changes)


def test_refuses_groups_that_are_neither_vectors_nor_images():
    spec = Spec({"heights": (4, 5), "camera": (1, 5, 8)}, 2, N)
    groups = {"actor": ("camera", "heights")}
    with pytest.raises(ValueError, match=r"'heights' of the set 'actor' has shape \(4, 5\).*images \[C, H, W\]|1-D"):
        build_model(CNNModelConfig(cnn_cfg=SMALL), spec, obs_set="actor", obs_groups=groups, output_dim=2)


@pytest.mark.parametrize("padding", ["none", "zeros"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(4, 1, 1), (5, 2, 1), (3, 2, 2), (8, 4, 1)])
def test_planned_sizes_are_the_real_ones(padding, kernel, stride, dilation):
    cfg = CNNConfig((2, 3), (kernel, 2), stride=(stride, 2), dilation=dilation, padding=padding, max_pool=(True, False))
    image = jax.ShapeDtypeStruct((1, 1, 37, 48), jnp.float32)
    output, _ = jax.eval_shape(lambda x: CNN(cfg).init_with_output(jax.random.key(0), x), image)
    height, width = plan_layers(cfg, (37, 48))[-1].pooled_size
    assert output.shape == (1, 3 * height * width)


# --- sharing ----------------------------------------------------------------------------------------------------------

SHARING = {
    "algorithm": {"class_name": "PPO", "share_cnn_encoders": True, "num_mini_batches": 1},
    "actor": {
        "class_name": "CNNModel",
        "hidden_dims": [5],
        "cnn_cfg": {"output_channels": [3], "kernel_size": 3},
        "distribution_cfg": {"class_name": "GaussianDistribution"},
    },
    "critic": {"class_name": "CNNModel", "hidden_dims": [4]},
    "obs_groups": {"actor": ["camera"], "critic": ["policy", "camera"]},
}


def sharing(**changes):
    return PPO.build(RunnerConfig.from_dict({**SHARING, **changes}), Spec(SHAPES, 2, N))


def batch_of(*leading):
    """A mini-batch, with axes in front."""
    shape = (*leading, N)
    return Batch(
        observations=observe(1, *shape),
        actions=jnp.zeros((*shape, 2)),
        distribution_params=(jnp.zeros((*shape, 2)), jnp.ones((*shape, 2))),
        **{name: jnp.zeros(shape) for name in ("log_probs", "values", "advantages", "returns", "dones")},
        carry=(),
    )


def test_shared_encoders_stand_in_the_state_once():
    params = jax.eval_shape(sharing().init, jax.random.key(0)).params
    assert set(params["actor"]) == {"cnns", "mlp", "distribution"}
    assert set(params["critic"]) == {"mlp"}


def test_moments_of_shared_encoders_stand_in_the_state_once():
    actor = {**SHARING["actor"], "cnn_cfg": {"output_channels": [3], "kernel_size": 3, "norm": "batch"}}
    ppo = sharing(actor=actor, critic={**SHARING["critic"], "obs_normalization": True})
    state = jax.eval_shape(ppo.init, jax.random.key(0))
    assert set(state.statistics["actor"]) == {"batch_statistics"}
    assert set(state.statistics["critic"]) == {"normalizer"}
    assert set(variables_of(state, "critic", ppo.shared)) == {"params", "batch_statistics", "normalizer"}
    learned, _ = jax.eval_shape(ppo.optimize, state, batch_of(1))
    assert jax.tree.structure(learned) == jax.tree.structure(state)


def test_parts_are_put_back_where_they_came_from():
    tree = {"actor": {"cnns": 1, "mlp": 2}, "critic": {"mlp": 3}}
    assert parts_of(tree, "critic", ("cnns",)) == {"cnns": 1, "mlp": 3}
    assert with_parts(tree, "critic", {"cnns": 4, "mlp": 5}, ("cnns",)) == {
        "actor": {"cnns": 4, "mlp": 2},
        "critic": {"mlp": 5},
    }
    assert with_parts(tree, "actor", {"cnns": 4, "mlp": 5}, ("cnns",)) == {
        "actor": {"cnns": 4, "mlp": 5},
        "critic": {"mlp": 3},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"critic": {"class_name": "MLPModel"}}, "both must be a CNNModel; the actor is CNNModel, the critic MLPModel"),
        (
            {"obs_groups": {"actor": ["camera"], "critic": ["depth"]}},
            r"same image groups.*the actor sees \('camera',\), the critic \('depth',\)",
        ),
    ],
)
def test_refuses_to_share_what_cannot_be_shared(changes, message):
    with pytest.raises(ValueError, match=message):
        sharing(**changes)


def test_an_image_given_to_an_mlp_is_refused():
    critic = {"class_name": "MLPModel"}
    algorithm = {"class_name": "PPO", "num_mini_batches": 1}
    with pytest.raises(ValueError, match=r"MLPModel.*'camera' of the set 'critic' has shape \(2, 5, 8\).*CNNModel"):
        sharing(algorithm=algorithm, critic=critic)


def test_running_moments_are_the_same_on_all_devices():
    cfg = {
        **SHARING,
        "algorithm": {**SHARING["algorithm"], "share_cnn_encoders": False},
        "critic": {"class_name": "MLPModel"},
    }
    cfg["obs_groups"] = {"actor": ["camera"], "critic": ["policy"]}
    cfg["actor"] = {**cfg["actor"], "cnn_cfg": {"output_channels": [3], "kernel_size": 3, "norm": "batch"}}
    ppo = PPO.build(RunnerConfig.from_dict(cfg), Spec(SHAPES, 2, N), axis_name="devices")
    state = jax.jit(ppo.init)(jax.random.key(0))
    batch = batch_of(2, 1)
    learned, _ = jax.jit(jax.vmap(ppo.optimize, in_axes=(None, 0), axis_name="devices"))(state, batch)
    moments = learned.statistics["actor"]["batch_statistics"]["cnns"]["camera"]["layer_1"]["mean"]
    assert np.all(moments[0] != 0)
    np.testing.assert_array_equal(moments[0], moments[1])
    alone = jax.jit(jax.vmap(lambda x: ppo.actor.apply(variables_of(state, "actor"), x, (), mutable=TRAINING)[1]))
    each = alone({"camera": batch.observations["camera"][:, 0]})["batch_statistics"]
    np.testing.assert_allclose(moments[0], jnp.mean(each["cnns"]["camera"]["layer_1"]["mean"], 0), rtol=1e-5)
