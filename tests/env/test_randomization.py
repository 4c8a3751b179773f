"""Physics that differ between environments, on a robot that observes its mass."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import Transition, evaluation_options, make_env, vectorize
from rsl_jax.runners import OnPolicyRunner
from rsl_jax.training import make_train
from rsl_jax.training.sharding import AXIS, EACH_ENV, EVERYWHERE, Devices
from rsl_jax.trees import nested, plain_leaves, restore

N = 4


SMALL = {
    "algorithm": {"class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 1},
    "actor": {
        "class_name": "MLPModel",
        "hidden_dims": [4],
        "distribution_cfg": {"class_name": "GaussianDistribution"},
    },
    "critic": {"class_name": "MLPModel", "hidden_dims": [4]},
    "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
}


class Mass:
    """Is accelerated by its action; heavier ones less. Shows its mass, too."""

    num_actions = 1
    max_episode_length = 3

    def __init__(self):
        self.model = {"mass": jnp.ones(()), "size": jnp.arange(2.0), "gravity": 9.81}

    def domain_randomizer(self, model, keys):
        masses = jax.vmap(lambda key: jax.random.uniform(key, minval=1.0, maxval=2.0))(keys)
        return {**model, "mass": masses}, {"mass": 0, "size": None, "gravity": None}

    def reset(self, key):
        state = jax.random.uniform(key, (1,))
        return state, self._observe(state)

    def step(self, state, action):
        state = state + action / self.model["mass"]
        log = {"mass": self.model["mass"], "gravity": self.model["gravity"]}
        return state, Transition(self._observe(state), -jnp.abs(state[0]), jnp.zeros((), bool), log=log)

    def _observe(self, state):
        return jnp.stack([state[0], self.model["mass"]])


def two_leaves(model, keys):
    """Another randomizer: of a vector along its last axis, and of what all share."""
    sizes = jax.vmap(lambda key: jax.random.uniform(key, (2,)), out_axes=1)(keys)
    return {**model, "size": sizes, "gravity": 1.62}, {"mass": None, "size": 1, "gravity": None}


def masses(state):
    return np.asarray(state.env.model["mass"])


@pytest.fixture(scope="module")
def batches():
    """Batches by the way they reset: environment, compiled reset, step and beginning of an iteration."""
    made = {}
    for mode in ("pool", "full", "cached"):
        env = vectorize(Mass(), N, auto_reset=mode, randomize=True, randomize_every=None if mode == "cached" else 2)
        made[mode] = (env, jax.jit(env.reset), jax.jit(env.step), jax.jit(env.begin_iteration))
    return made


@pytest.mark.parametrize("mode", ["pool", "full", "cached"])
def test_each_robot_moves_by_its_own_physics_until_its_episode_ends(batches, mode):
    _, reset, step, begin = batches[mode]
    state, seen = reset(jax.random.key(0))
    first = masses(state)
    assert len(np.unique(first)) == N
    assert ((first >= 1) & (first <= 2)).all()
    np.testing.assert_array_equal(seen["policy"][:, 1], first)
    state = begin(state, jax.random.key(1))
    np.testing.assert_array_equal(masses(state), first)
    for steps_left in (2, 1, 0):
        before = seen["policy"]
        state, timestep = step(state, jnp.ones((N, 1)))
        final, seen = timestep.final_observations["policy"], timestep.observations
        np.testing.assert_allclose(final[:, 0], before[:, 0] + 1 / first, rtol=1e-6)
        np.testing.assert_array_equal(final[:, 1], first)
        assert timestep.dones.tolist() == [steps_left == 0] * N
        assert timestep.log["mass"] == pytest.approx(first.mean())
        assert timestep.log["gravity"] == pytest.approx(9.81)
    # The next episode's robots are those that its starts were made with.
    np.testing.assert_array_equal(seen["policy"][:, 1], masses(state))
    assert np.isin(masses(state), first).all()
    if mode != "pool":
        np.testing.assert_array_equal(masses(state), first)


@pytest.mark.parametrize("mode", ["pool", "full"])
def test_models_are_drawn_anew_at_the_interval(batches, mode):
    _, reset, step, begin = batches[mode]
    state, _ = reset(jax.random.key(0))
    drawn = []
    for iteration in range(5):
        state = begin(state, jax.random.key(iteration))
        running = masses(state)
        drawn.append(np.asarray(state.models.drawn["mass"]))
        for _ in range(3):
            state, timestep = step(state, jnp.zeros((N, 1)))
        np.testing.assert_array_equal(timestep.final_observations["policy"][:, 1], running)  # to the end of the episode
        assert np.isin(masses(state), drawn[-1]).all()
    changed = [not np.array_equal(before, after) for before, after in itertools.pairwise(drawn)]
    assert changed == [False, True, False, True]
    assert len(np.unique(np.concatenate(drawn))) == 3 * N


def test_the_state_holds_all_that_was_drawn(batches):
    _, reset, step, begin = batches["pool"]
    state, _ = step(begin(reset(jax.random.key(3))[0], jax.random.key(4)), jnp.ones((N, 1)))
    written = jax.tree.map(np.asarray, nested(plain_leaves(state)))
    read = restore(reset(jax.random.key(7))[0], written)
    for _ in range(4):
        state, read = (step(begin(each, jax.random.key(5)), jnp.ones((N, 1)))[0] for each in (state, read))
    jax.tree.map(np.testing.assert_array_equal, plain_leaves(read), plain_leaves(state))


def test_other_axes_shared_changes_and_pools_of_another_size():
    env = vectorize(Mass(), N, randomize=two_leaves, reset_pool_size=2 * N, randomize_every=1)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    assert state.env.model["size"].shape == (N, 2)
    assert state.models.drawn["size"].shape == state.pool[0].model["size"].shape == (2 * N, 2)
    state = jax.jit(env.begin_iteration)(state, jax.random.key(1))
    _, timestep = jax.jit(env.step)(state, jnp.ones((N, 1)))
    assert timestep.log["gravity"] == pytest.approx(1.62)
    assert set(state.env.model) == {"size", "gravity"}


def test_seeds_and_iterations_differ_within_one_program():
    cfg = {**SMALL, "num_steps_per_env": 3}
    # With as many robots as models all start in each iteration, so means tell whether models have changed.
    env = vectorize(Mass(), N, auto_reset="full", randomize=True, randomize_every=2)
    train = jax.jit(jax.vmap(make_train(env, cfg, 6)))
    _, metrics = train(jax.random.split(jax.random.key(0), 3))
    means = np.asarray(metrics["Episode/mass"])
    assert (np.abs(means[:, None] - means[None])[~np.eye(3, dtype=bool)] > 1e-6).all()
    # Redrawn models come with the next episode, which is the one of the next iteration: hence the shift by one.
    np.testing.assert_allclose(means[:, 0], means[:, 1], rtol=1e-6)
    assert (np.ptp(means[:, [0, 3, 5]], axis=1) > 1e-4).all()


def test_devices_have_robots_of_their_own():
    devices = Devices.choose(2)
    env = vectorize(Mass(), N, randomize=True)
    part = devices.part_of_env(env)
    assert part.num_envs == N // 2

    def reset(key):
        return part.reset(jax.random.fold_in(key, jax.lax.axis_index(AXIS)))[0]

    state = jax.jit(devices.run(reset, EVERYWHERE, EACH_ENV))(jax.random.key(0))
    assert masses(state).shape == state.models.drawn["mass"].shape == (N,)
    assert len(np.unique(masses(state))) == N


def test_a_run_goes_on_bit_for_bit(tmp_path):
    cfg = {**SMALL, "num_steps_per_env": 2, "seed": 3}
    options = {"randomize": True, "randomize_every": 1, "sensors": {"noise": {"policy": 0.1}, "action_delay": [0, 2]}}
    env = make_env("tests.env.test_randomization:Mass", num_envs=N, **options)
    whole = OnPolicyRunner(env, cfg)
    whole.learn(2)
    whole.save(tmp_path / "model_2")
    whole.learn(2)
    resumed = OnPolicyRunner(env, cfg)
    resumed.load(tmp_path / "model_2")
    resumed.learn(2)
    for name in ("state", "loop_state"):
        both = (plain_leaves(getattr(runner, name)) for runner in (whole, resumed))
        jax.tree.map(np.testing.assert_array_equal, *both)


def test_evaluation_has_the_model_as_it_is():
    options = evaluation_options({"randomize": True, "randomize_every": 1})
    env = make_env("tests.env.test_randomization:Mass", num_envs=N, **options)
    _, observations = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(observations["policy"][:, 1], 1)


def test_gymnax_has_parameters_to_draw():
    pytest.importorskip("gymnax")

    def gravity(params, keys):
        drawn = jax.vmap(lambda key: jax.random.uniform(key, minval=5.0, maxval=15.0))(keys)
        return params.replace(g=drawn), jax.tree.map(lambda _: None, params).replace(g=0)

    env = make_env("gymnax/Pendulum-v1", num_envs=2, randomize=gravity)
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    assert state.env.model["g"].shape == (2,)
    assert jax.eval_shape(env.step, state, jnp.zeros((2, 1)))[0].env.model["g"].shape == (2,)


def returning(result):
    """A randomizer that returns ``result(model, keys)``."""

    def bad(model, keys):
        return result(model, keys)

    return bad


NONE = {"mass": None, "size": None, "gravity": None}


@pytest.mark.parametrize(
    ("randomize", "error", "message"),
    [
        (returning(lambda model, _: model), TypeError, r"bad must return \(model, in_axes\).* returned a dict"),
        (returning(lambda model, _: ({}, NONE)), TypeError, "same structure"),
        (returning(lambda model, _: (model, NONE)), ValueError, "changes nothing"),
        (returning(lambda model, _: (model, {"mass": 0})), TypeError, "in_axes .* do not fit its model"),
        (
            returning(lambda model, _: ({**model, "mass": jnp.ones(3)}, {**NONE, "mass": 0})),
            ValueError,
            "shape of mass",
        ),
        (returning(lambda model, _: ({**model, "size": jnp.ones(3)}, NONE)), ValueError, "shape of size"),
        (
            returning(lambda model, keys: ({**model, "mass": jnp.ones(len(keys), int)}, {**NONE, "mass": 0})),
            ValueError,
            "dtype of mass from float32 to int32",
        ),
        (
            returning(lambda model, keys: ({**model, "mass": jnp.ones(len(keys))}, {**NONE, "mass": "0"})),
            TypeError,
            "whole numbers or None",
        ),
        ("yes", ImportError, "domain randomizer"),
        (3, ValueError, "randomize is 3"),
    ],
)
def test_randomizers_that_are_refused(randomize, error, message):
    with pytest.raises(error, match=message):
        vectorize(Mass(), N, randomize=randomize)


def test_settings_that_are_refused():
    point = "tests.environments:PointMass"
    with pytest.raises(ValueError, match="PointMass cannot be randomized: it has no attribute model"):
        make_env(point, num_envs=N, randomize=True)
    with pytest.raises(ValueError, match="nothing is randomized"):
        make_env(point, num_envs=N, randomize_every=2)
    with pytest.raises(ValueError, match="randomize_every is 0"):
        vectorize(Mass(), N, randomize=True, randomize_every=0)
    with pytest.raises(ValueError, match="'cached'"):
        vectorize(Mass(), N, randomize=True, randomize_every=2, auto_reset="cached")
    with pytest.raises(ValueError, match="are for single environments, but"):
        make_env("tests.env.test_randomization:batch", num_envs=N, randomize=True)
    without = Mass()
    without.domain_randomizer = None
    with pytest.raises(ValueError, match="Mass has no domain randomizer"):
        vectorize(without, N, randomize=True)


def batch(num_envs):
    """A factory of a batch."""
    return vectorize(Mass(), num_envs)
