"""Gymnasium's vector environments."""

import numpy as np
import pytest

from rsl_jax.env import VecEnv, make_env, make_vec_env, to_jax_observations
from rsl_jax.env.gymnasium import GymnasiumVecEnv

gym = pytest.importorskip("gymnasium")
AutoresetMode = gym.vector.AutoresetMode
N = 2


class Count(gym.Env):
    """Counts steps; falls at 4, is cut short at 3 where it was started to be; shows all kinds of things."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = gym.spaces.Box(np.array([-1.0, -2.0]), np.array([1.0, 2.0]), dtype=np.float64)

    def __init__(self, start=0, cut_short=False, dictionary=True, render_mode=None):
        self.start, self.cut_short, self.dictionary, self.render_mode = start, cut_short, dictionary, render_mode
        count = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = count
        if dictionary:
            self.observation_space = gym.spaces.Dict(
                count=count,
                camera=gym.spaces.Box(0, 255, (4, 6, 3), np.uint8),
                stack=gym.spaces.Box(-1, 1, (2, 4, 6), np.float32),
                grid=gym.spaces.Box(0, 9, (2, 2), np.int64),
                choice=gym.spaces.Discrete(3, start=5),
                switches=gym.spaces.MultiBinary(2),
            )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = self.start
        return self.see(), {}

    def step(self, action):
        self.count += 1
        self.action = action
        return self.see(), float(action[0]), self.count == 4, self.cut_short and self.count == 3, {"speed": 1.0}

    def see(self):
        count = np.full(1, self.count, np.float64)
        if not self.dictionary:
            return count
        camera = np.zeros((4, 6, 3), np.uint8)
        camera[0, 1, 2] = 255
        return {
            "count": count,
            "camera": camera,
            "stack": np.full((2, 4, 6), 0.5, np.float32),
            "grid": np.arange(4).reshape(2, 2),
            "choice": np.int64(6),
            "switches": np.array([0, 1], np.int8),
        }

    def render(self):
        return np.full((2, 3, 3), self.count, np.uint8)


def counts(mode, *, limit=None, dictionary=True, **options):
    """One that starts at 0 and one at 2, the latter cut short at 3."""
    makers = [
        lambda: Count(0, dictionary=dictionary, render_mode="rgb_array"),
        lambda: Count(2, cut_short=True, dictionary=dictionary, render_mode="rgb_array"),
    ]
    envs = gym.vector.SyncVectorEnv(makers, autoreset_mode=mode, copy=False)
    return GymnasiumVecEnv(envs, max_episode_length=limit, **options)


@pytest.mark.parametrize("mode", [AutoresetMode.DISABLED, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("dictionary", [True, False])
def test_ends_and_what_was_seen_before_the_reset(mode, dictionary):
    env = counts(mode, dictionary=dictionary)
    name = "count" if dictionary else "policy"
    kept = env.get_observations()
    assert kept[name].tolist() == [[0], [2]]
    seen, final, dones, time_outs, lengths = [], [], [], [], []
    for _ in range(5):
        observations, _, done, extras = env.step(np.zeros((N, 2)))
        assert env.get_observations() is observations
        seen.append(observations)
        final.append(extras["final_observations"])
        dones.append(done.tolist())
        time_outs.append(extras["time_outs"].tolist())
        lengths.append(env.episode_length_buf.tolist())
    # Looked at afterwards, because gymnasium writes over what it gave.
    assert kept[name].tolist() == [[0], [2]]
    assert [x[name][:, 0].tolist() for x in seen] == [[1, 2], [2, 2], [3, 2], [0, 2], [1, 2]]
    assert [x[name][:, 0].tolist() for x in final] == [[1, 3], [2, 3], [3, 3], [4, 3], [1, 3]]
    assert dones == [[False, True]] * 3 + [[True, True]] + [[False, True]]
    assert time_outs == [[False, True]] * 5
    assert lengths == [[1, 0], [2, 0], [3, 0], [0, 0], [1, 0]]


def test_groups_of_all_kinds():
    env = counts(AutoresetMode.DISABLED)
    groups = env.get_observations()
    assert {name: group.shape for name, group in groups.items()} == {
        "count": (N, 1),
        "camera": (N, 3, 4, 6),
        "stack": (N, 2, 4, 6),
        "grid": (N, 4),
        "choice": (N, 3),
        "switches": (N, 2),
    }
    assert all(np.issubdtype(x.dtype, np.floating) for name, x in groups.items() if name != "camera")
    assert groups["camera"][0, 2, 0, 1] == groups["camera"].sum() / N == 255
    assert groups["camera"].dtype == np.uint8
    assert groups["choice"].tolist() == [[0, 1, 0]] * N
    assert groups["switches"].tolist() == [[0, 1]] * N
    assert set(to_jax_observations(groups)) == set(groups)
    flat = counts(AutoresetMode.DISABLED, flatten=True).get_observations()
    assert (flat["camera"].shape, flat["stack"].shape) == ((N, 72), (N, 48))


def test_a_time_limit_and_lengths_are_kept_from_here():
    env = counts(AutoresetMode.DISABLED, limit=3)
    assert isinstance(env, VecEnv)
    assert env.max_episode_length == 3
    env.episode_length_buf = np.array([1, 0])
    _, _, dones, _ = env.step(np.zeros((N, 2)))
    assert dones.tolist() == [False, True]
    observations, _, dones, extras = env.step(np.zeros((N, 2)))
    assert dones.tolist() == extras["time_outs"].tolist() == [True, True]
    assert observations["count"][0] == 0
    assert extras["final_observations"]["count"][0] == 2
    with pytest.raises(ValueError, match=r"must have the shape \[2\]"):
        env.episode_length_buf = np.zeros(3)
    itself = counts(AutoresetMode.SAME_STEP)
    with pytest.raises(AttributeError, match="cannot be set in an environment that resets itself"):
        itself.episode_length_buf = np.zeros(N)
    env.episode_length_buf = np.array([5_000_000_000, 0])
    assert env.episode_length_buf.tolist() == [5_000_000_000, 0]
    with pytest.raises(ValueError, match="A time limit of 3 steps cannot be imposed"):
        counts(AutoresetMode.SAME_STEP, limit=3)


def test_a_reset_in_the_next_step_is_refused():
    with pytest.raises(ValueError, match=r"autoreset_mode='NextStep'.*not a real step"):
        counts(AutoresetMode.NEXT_STEP)


def test_boxes_of_actions_are_clipped():
    env = counts(AutoresetMode.DISABLED)
    assert (env.num_actions, env.discrete) == (2, False)
    _, rewards, _, _ = env.step(np.array([[0.5, 9.0], [-7.0, 0.0]], np.float32))
    assert rewards.tolist() == [0.5, -1]
    assert env.envs.envs[0].action.tolist() == [0.5, 2]
    assert env.envs.envs[0].action.dtype == np.float64
    with pytest.raises(ValueError, match=r"Actions must have the shape \[2, 2\], but have \[2\]"):
        env.step(np.zeros(N))


def test_spaces_that_cannot_be_used():
    class Odd(Count):
        def __init__(self, **spaces):
            super().__init__(dictionary=False)
            vars(self).update(spaces)

    def make(**spaces):
        envs = gym.vector.SyncVectorEnv([lambda: Odd(**spaces)], autoreset_mode=AutoresetMode.DISABLED)
        return GymnasiumVecEnv(envs)

    with pytest.raises(ValueError, match="Actions are MultiDiscrete"):
        make(action_space=gym.spaces.MultiDiscrete([2, 2]))
    with pytest.raises(ValueError, match=r"The observation group 'policy' is Tuple.*FlattenObservation"):
        make(observation_space=gym.spaces.Tuple([gym.spaces.Discrete(2)]))


def test_registered_names():
    env = make_vec_env("gymnasium/Pendulum-v1", num_envs=N, seed=3)
    again = make_vec_env("gymnasium/Pendulum-v1", num_envs=N, seed=3)
    other = make_vec_env("gymnasium/Pendulum-v1", num_envs=N, seed=4)
    first = env.get_observations()["policy"]
    np.testing.assert_array_equal(first, again.get_observations()["policy"])
    assert (first != other.get_observations()["policy"]).any()
    assert (first[0] != first[1]).any()
    assert (env.max_episode_length, env.num_actions, env.discrete, env.device) == (200, 1, False, "cpu")
    assert env.cfg["name"] == "gymnasium/Pendulum-v1"
    for i in range(200):
        observations, _, dones, extras = env.step(np.zeros((N, 1)))
        assert dones.tolist() == extras["time_outs"].tolist() == [i == 199] * N
    assert (observations["policy"] != extras["final_observations"]["policy"]).any(axis=1).all()
    for each in (env, again, other):
        each.close()


@pytest.mark.parametrize("limit", [7, 600])
def test_registered_names_with_another_limit(limit):
    env = make_env("gymnasium/MountainCar-v0", num_envs=1, max_episode_length=limit)  # registered with 200
    assert (env.max_episode_length, env.num_actions, env.discrete) == (limit, 3, True)
    for _ in range(limit):
        _, _, dones, extras = env.step(np.ones((1, 1)))
    assert dones.tolist() == extras["time_outs"].tolist() == [True]
    env.close()


def test_falling_is_no_time_out():
    env = make_env("gymnasium/CartPole-v1", num_envs=1, seed=0)
    for _ in range(30):
        _, _, dones, extras = env.step(np.ones(1))
        if dones[0]:
            break
    assert dones.tolist() == [True]
    assert extras["time_outs"].tolist() == [False]
    assert abs(extras["final_observations"]["policy"][0, 2]) > 0.2
    env.close()


def test_pictures():
    env = counts(AutoresetMode.DISABLED)
    assert env.render().tolist() == [[[0] * 3] * 3] * 2
    env.envs.render_mode = None
    with pytest.raises(NotImplementedError, match="render_mode='rgb_array'"):
        env.render()


def test_processes():
    env = make_env("gymnasium/Pendulum-v1", num_envs=N, vectorization_mode="async", seed=0, max_episode_length=2)
    same = make_env("gymnasium/Pendulum-v1", num_envs=N, seed=0, max_episode_length=2)
    for _ in range(3):
        for ours, theirs in zip(env.step(np.ones((N, 1))), same.step(np.ones((N, 1))), strict=True):
            compare(ours, theirs)
    env.close()
    same.close()


def compare(x, y):
    if isinstance(x, dict):
        assert x.keys() == y.keys()
        for name in x:
            compare(x[name], y[name])
    else:
        np.testing.assert_array_equal(x, y)
