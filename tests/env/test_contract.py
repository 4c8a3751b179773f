"""Host environments that violate the contract: the first step says what was expected and what was given."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.env.contract import CheckedEnv, complete_final_observations, floats_of_log
from rsl_jax.env.limits import LARGEST, step_limit
from rsl_jax.runners import OnPolicyRunner
from tests.environments import PointMass
from tests.helpers import assert_trees_equal, small_config

torch = pytest.importorskip("torch", reason="torch is installed by CI")

N = 4


class Host:
    """Keeps the contract, until a test replaces something."""

    num_envs, num_actions, max_episode_length, device, cfg = N, 2, 10, "cpu", {}

    def __init__(self):
        self.answer = {"rewards": np.zeros(N, np.float32), "dones": np.zeros(N, bool)}
        self.extras = {"time_outs": np.zeros(N, bool)}
        self.observations = {"policy": np.zeros((N, 3), np.float32), "extra": np.zeros((N, 1), np.float32)}
        self.shown = dict(self.observations)
        self.returned = None

    def get_observations(self):
        return self.shown

    def step(self, actions):
        if self.returned is not None:
            return self.returned(self)
        return self.observations, self.answer["rewards"], self.answer["dones"], self.extras


def nans(*shape):
    return np.full(shape, np.nan, np.float32)


def put(where, **changes):
    return lambda env: getattr(env, where).update(changes)


def swap(where, value):
    return lambda env: setattr(env, where, value)


SHOWN = {
    "a tuple": (swap("shown", (np.zeros((N, 3)), {})), r"get_observations\(\) returned a tuple of 2.*alone"),
    "None": (swap("shown", None), r"returned None for observations"),
    "no group": (swap("shown", {}), r"no observation group at all"),
    "other rows": (put("shown", policy=np.zeros((N + 1, 3))), r"'policy' the shape \[5, 3\]; expected \[4, ...\]"),
    "a scalar": (put("shown", policy=1.0), r"'policy' the shape \[\]; expected \[4, ...\]"),
    "a group that is None": (put("shown", policy=None), r"'policy' as None; expected an array"),
    "text": (put("shown", policy=np.array(["a"] * N)), r"'policy' as ndarray of <U1; expected an array of numbers"),
    "a ragged list": (put("shown", policy=[[1.0], [1.0, 2.0]]), r"'policy' as list; expected an array"),
    "complex numbers": (put("shown", policy=np.zeros((N, 3), complex)), r"'policy' as ndarray of complex128"),
    "nested groups": (put("shown", policy={"a": np.zeros((N, 3))}), r"'policy'.*is a dict.*not nested"),
    "num_envs a float": (swap("num_envs", 4.0), r"num_envs of the environment \(Host\) is 4.0; expected an int"),
    "no environments": (swap("num_envs", 0), r"num_envs .* is 0; expected an int of at least 1"),
    "num_actions None": (swap("num_actions", None), r"num_actions .* is None; expected an int"),
    "num_actions a bool": (swap("num_actions", True), r"num_actions .* is True; expected an int"),
}
"""What is wrong before any step: seen when the runner is built."""

STEP = {
    "five values": (swap("returned", lambda env: (env.observations, 0, 0, 0, {})), r"returned 5 values.*gymnasium's"),
    "three values": (swap("returned", lambda env: (env.observations, 0, 0)), r"returned 3 values; expected \(obs"),
    "None": (swap("returned", lambda env: {}), r"returned dict; expected \(observations"),
    "extras None": (swap("extras", None), r"extras that are None; expected a dict"),
    "extras a list": (swap("extras", []), r"extras that are list; expected a dict"),
    "rewards [N, 1]": (put("answer", rewards=np.zeros((N, 1))), r"rewards of shape \[4, 1\]; expected \[4\].*squeeze"),
    "rewards a number": (put("answer", rewards=0.0), r"rewards of shape \[\]; expected \[4\]"),
    "rewards of other rows": (put("answer", rewards=np.zeros(3)), r"rewards of shape \[3\]; expected \[4\]"),
    "rewards None": (put("answer", rewards=None), r"gave rewards as None; expected an array"),
    "rewards by term": (put("answer", rewards={"alive": np.zeros(N)}), r"gave rewards as dict; expected an array"),
    "rewards of torch [N, 1]": (put("answer", rewards=torch.zeros(N, 1)), r"rewards of shape \[4, 1\]; expected \[4\]"),
    "rewards of JAX [1, N]": (put("answer", rewards=jnp.zeros((1, N))), r"rewards of shape \[1, 4\]; expected \[4\]"),
    "dones [N, 1]": (put("answer", dones=np.zeros((N, 1), bool)), r"dones of shape \[4, 1\]; expected \[4\].*squeeze"),
    "dones a bool": (put("answer", dones=False), r"dones of shape \[\]; expected \[4\]"),
    "dones NaN": (put("answer", dones=nans(N)), r"dones with NaN, which is neither true nor false"),
    "dones NaN of torch": (put("answer", dones=torch.full((N,), torch.nan)), r"dones with NaN"),
    "dones None": (put("answer", dones=None), r"gave dones as None"),
    "dones text": (put("answer", dones=["no"] * N), r"gave dones as list; expected an array of numbers"),
    "time_outs [N, 1]": (put("extras", time_outs=np.zeros((N, 1))), r"time_outs'\] of shape \[4, 1\]; expected \[4\]"),
    "time_outs of other rows": (put("extras", time_outs=np.zeros(5)), r"time_outs'\] of shape \[5\]; expected \[4\]"),
    "time_outs NaN": (put("extras", time_outs=nans(N)), r"time_outs'\] with NaN"),
    "a group that vanishes": (lambda env: env.observations.pop("extra"), r"no observation group 'extra', which"),
    "a group that appears": (put("observations", polcy=np.zeros((N, 1))), r"group 'polcy'.*not give.*mean 'policy'"),
    "a group of other rows": (put("observations", policy=np.zeros((2, 3))), r"'policy' the shape \[2, 3\]; expected"),
    "a group of other size": (
        put("observations", policy=np.zeros((N, 4))),
        r"'policy' with shape \[4, 4\]; expected \[4, 3\]",
    ),
    "a group of other rank": (put("observations", policy=np.zeros((N, 3, 1))), r"\[4, 3, 1\]; expected \[4, 3\]"),
    "a group that is None": (put("observations", extra=None), r"'extra' as None"),
    "observations None": (swap("observations", None), r"step\(\) returned None for observations"),
    "a bare array for groups": (swap("observations", np.zeros((N, 3))), r"no observation group 'extra'"),
    "final observations of the ends": (
        put("extras", final_observations={"policy": np.zeros((1, 3)), "extra": np.zeros((1, 1))}),
        r"final_observations'\] gave the observation group 'policy' the shape \[1, 3\]",
    ),
    "final observations lack a group": (
        put("extras", final_observations={"policy": np.zeros((N, 3))}),
        r"final_observations'\] has no observation group 'extra'",
    ),
    "a log of text": (put("extras", log={"note": "hello"}), r"extras\['log'\]\['note'\].*'hello'; expected a number"),
    "a log that is a number": (put("extras", log=3.0), r"extras\['log'\] of the environment is float; expected a dict"),
    "a nested log": (put("extras", log={"rew": {"a": 1.0}}), r"extras\['log'\]\['rew'\].*expected a number"),
}
"""What is wrong with what a step returns."""


@pytest.mark.parametrize(("spoil", "says"), SHOWN.values(), ids=SHOWN)
def test_what_is_wrong_from_the_start(spoil, says):
    env = Host()
    spoil(env)
    with pytest.raises((TypeError, ValueError), match=says):
        OnPolicyRunner(env, small_config(), console=False)


@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize(("spoil", "says"), STEP.values(), ids=STEP)
def test_what_is_wrong_with_a_step(spoil, says, from_the_start):
    env = Host()
    checked = CheckedEnv(env)
    if not from_the_start:
        checked.step(np.zeros((N, 2)))
        checked.step(np.zeros((N, 2)))
    spoil(env)
    for _ in range(2):  # and again, for who catches the error and tries once more
        with pytest.raises((TypeError, ValueError), match=says):
            floats_of_log(checked.step(np.zeros((N, 2))).log)  # as at the end of each rollout


def test_at_least_forty_ways_are_tried():
    assert len(SHOWN) + len(STEP) >= 40


def test_what_the_environment_raises_names_the_actions():
    env = Host()
    env.returned = lambda env: 1 / 0
    with pytest.raises(ZeroDivisionError) as error:
        CheckedEnv(env).step(np.zeros((N, 2)))
    assert "actions of shape [4, 2] (its num_envs is 4, its num_actions 2)" in error.value.__notes__[0]


# --- what is right ----------------------------------------------------------------------------------------------------


class Worn(JaxVecEnv):
    """A pure environment whose answers are changed."""

    def change(self, *answer):
        return answer

    def step(self, actions):
        return self.change(*super().step(actions))


@pytest.fixture(scope="module")
def env():
    return vectorize(PointMass(), 16, max_episode_length=20)


@pytest.fixture(scope="module")
def collect(env):
    """What learning gets of an environment whose answers are changed; nothing but acting is compiled."""
    worn = Worn(env, seed=2)
    runner = OnPolicyRunner(worn, small_config(), seed=3, console=False)
    start, key = (worn.state, worn._lengths, worn._observations), runner.loop_state.key

    def collected(change, steps=3):
        from rsl_jax.training.host_loop import _rollout

        worn.state, worn._lengths, worn._observations = start
        worn.change = change
        loop = runner._loop
        loop._num_steps, loop._hands_over_finals = 24, False
        carry, seen, answers, logs = loop._collect(runner.state, (), key)
        return _rollout(carry, (*seen, ()), answers), logs

    return collected


def unchanged(observations, rewards, dones, extras):
    return observations, rewards, dones, extras


SAME = {
    "numpy": lambda o, r, d, e: ({k: np.asarray(x) for k, x in o.items()}, np.asarray(r), np.asarray(d), e),
    "float64 rewards": lambda o, r, d, e: (o, np.asarray(r, np.float64), d, e),
    "lists": lambda o, r, d, e: (o, np.asarray(r).tolist(), np.asarray(d).tolist(), e),
    "int64 dones": lambda o, r, d, e: (o, r, np.asarray(d, np.int64), e),
    "float dones": lambda o, r, d, e: (o, r, np.asarray(d, np.float32), e),
    "uint8 time_outs": lambda o, r, d, e: (o, r, d, {**e, "time_outs": np.asarray(e["time_outs"], np.uint8)}),
    "torch rewards": lambda o, r, d, e: (o, torch.tensor(np.asarray(r)), torch.tensor(np.asarray(d)).long(), e),
    "float64 torch": lambda o, r, d, e: (o, torch.tensor(np.asarray(r)).double(), d, e),
    "final observations at ends": lambda o, r, d, e: (
        (o, r, d, e if np.any(d) else {k: x for k, x in e.items() if k != "final_observations"})
    ),
}
"""Other ways to say the same."""


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_is_right_is_learned_from_as_it_is(change, collect):
    expected, _ = collect(unchanged)
    rollout, _ = collect(change)
    assert rollout.dones.any()
    assert_trees_equal(rollout, expected)


def test_whole_rewards_are_floats(collect):
    rollout, _ = collect(lambda o, r, d, e: (o, np.ones(16, np.int64), d, e))
    assert rollout.rewards.dtype == jnp.float32


def test_dones_may_not_become_nan_later(collect):
    steps = iter(range(100))

    def later(o, r, d, e):
        return o, r, np.where(next(steps) == 9, np.nan, np.asarray(d, np.float32)), e

    with pytest.raises(ValueError, match="dones with NaN"):
        collect(later)


def test_final_observations_lack_where_an_episode_ended():
    seen = [np.full((2, 1), float(i)) for i in range(3)]
    dones = np.array([[False, False], [True, False], [False, False]])
    completed = complete_final_observations([None, "final", None], seen, dones)
    assert completed == [seen[0], "final", seen[2]]
    with pytest.raises(ValueError, match="not in step 1 of this rollout, in which an episode ended"):
        complete_final_observations(["final", None, None], seen, dones)


def test_logged_numbers_keep_all_their_bits(collect):
    log = {"steps": 5_000_000_000, "of_torch": torch.tensor([2**40 + 1]), "half": torch.ones(2).bfloat16()}
    floats = floats_of_log({**log, "of_jax": jnp.ones(3), "flag": True})
    assert [floats[name].tolist() for name in floats] == [[5e9], [2.0**40 + 1], [1.0, 1.0], [1.0] * 3, [1.0]]
    from rsl_jax.training.host_loop import mean_of_logs

    _, logs = collect(lambda o, r, d, e: (o, r, d, {**e, "log": log}))
    assert mean_of_logs(logs) == {"steps": 5e9, "of_torch": 2.0**40 + 1, "half": 1.0}


# --- time limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [5e10, 50_000_000_000, float("inf"), np.int64(5 * 10**10), torch.tensor(5 * 10**10)])
def test_practically_endless_episodes(limit):
    assert step_limit(limit) == LARGEST
    assert vectorize(PointMass(), 2, max_episode_length=limit).max_episode_length == LARGEST


def test_limits_are_whole_steps():
    assert step_limit(None) is None
    assert step_limit(2.5) == 3
    assert step_limit(np.array([5e10, 7])).tolist() == [LARGEST, 7]
    for wrong in (0, -1, float("nan"), "long", [3, 0]):
        with pytest.raises(ValueError, match="a number of steps of at least 1"):
            step_limit(wrong)
    with pytest.raises(ValueError, match=r"shape \[3\]; expected one number, or \[4\]"):
        OnPolicyRunner(_with(max_episode_length=np.ones(3)), small_config(), console=False)


def _with(**attributes):
    env = Host()
    vars(env).update(attributes)
    return env


@pytest.mark.parametrize(
    "lengths", [np.zeros(N, np.int64), np.zeros(N, np.int16), torch.zeros(N).long(), torch.zeros(N), jnp.zeros(N, int)]
)
def test_lengths_keep_their_dtype_when_they_are_drawn(lengths):
    from rsl_jax.training.host_loop import HostLoop
    from rsl_jax.training.sharding import Devices

    loop = object.__new__(HostLoop)
    env = SimpleNamespace(episode_length_buf=lengths, max_episode_length=float("inf"), num_envs=N)
    loop.env, loop._limit = env, np.full(N, 30_000, np.int32)
    loop._devices = Devices.choose(None)
    import jax

    loop.randomize_episode_lengths(None, jax.random.key(0))
    assert (type(env.episode_length_buf), env.episode_length_buf.dtype) == (type(lengths), lengths.dtype)
    assert np.max(np.asarray(env.episode_length_buf)) > 100


def test_random_starts_need_a_limit_and_lengths_that_can_be_set(env):
    class Fixed(Host):
        @property
        def episode_length_buf(self):
            return np.zeros(N, int)

    for host, says in ((_with(max_episode_length=None), "is missing"), (Fixed(), "cannot be set")):
        runner = OnPolicyRunner(host, small_config(), console=False)
        assert not runner.can_start_at_random()
        with pytest.raises(ValueError, match=f"init_at_random_ep_len needs.*{says}"):
            runner.learn(1, init_at_random_ep_len=True)
    assert OnPolicyRunner(
        _with(episode_length_buf=np.zeros(N, int)), small_config(), console=False
    ).can_start_at_random()
