"""Noise, delay, history and pushes, on a robot whose observations show what it received and when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.env import (
    Sensors,
    Transition,
    WithActionDelay,
    WithHistory,
    WithNoise,
    WithObservationDelay,
    WithPushes,
    evaluation_options,
    make_env,
    vectorize,
)

N, STEPS, LIMIT = 8, 11, 5


class Clock:
    """Counts its steps in ``time``, shows the action that reached it in ``given``, and how fast it was pushed."""

    num_actions = 2
    step_dt = 0.5
    max_episode_length = LIMIT

    def reset(self, key):
        state = {"time": jnp.zeros(()), "speed": jnp.zeros(2), "given": jnp.zeros(2)}
        return state, self.observe(state)

    def step(self, state, action):
        state = {**state, "time": state["time"] + 1, "given": action}
        return state, Transition(self.observe(state), action[0], jnp.zeros((), bool))

    def push(self, state, velocity):
        return {**state, "speed": state["speed"] + velocity}

    def observe(self, state):
        return {"time": jnp.stack([state["time"], -state["time"]]), "given": state["given"], "speed": state["speed"]}

    def coordinates(self, state):
        return state["speed"]

    def at(self, state, coordinates):
        return {**state, "speed": coordinates}


def played(single_env, **options):
    """What is seen before each step and at its end: observations ``[STEPS, N, ...]``, final ones, ends, rewards.

    The action of step t is t + 1.
    """
    env = vectorize(single_env, N, **options)

    def run(key):
        state, first = env.reset(key)

        def step(carry, t):
            state, seen = carry
            state, timestep = env.step(state, jnp.full((N, 2), t + 1.0))
            return (state, timestep.observations), (seen, timestep)

        return jax.lax.scan(step, (state, first), jnp.arange(STEPS, dtype=float))[1]

    seen, timestep = jax.device_get(jax.jit(run)(jax.random.key(0)))
    return seen, timestep.final_observations, timestep.dones, timestep.rewards


def test_history_shows_the_last_ones_newest_last_and_starts_anew():
    seen, final, dones, _ = played(WithHistory(Clock(), {"time": 3, "given": 1}))
    np.testing.assert_array_equal(seen["time"][0, 0], [0, 0] * 3)
    np.testing.assert_array_equal(seen["time"][1, 0], [0, 0, 0, 0, 1, -1])
    np.testing.assert_array_equal(seen["time"][4, 0], [2, -2, 3, -3, 4, -4])
    # The episode ends with its own last observations; the next one knows nothing of them.
    assert dones[LIMIT - 1].all()
    np.testing.assert_array_equal(final["time"][4, 0], [3, -3, 4, -4, 5, -5])
    np.testing.assert_array_equal(seen["time"][5, 0], [0, 0] * 3)
    assert seen["given"].shape == (STEPS, N, 2)  # a history of one changes nothing


@pytest.mark.parametrize("auto_reset", ["pool", "full"])
def test_delays_are_drawn_for_each_episode(auto_reset):
    delayed = WithActionDelay(WithObservationDelay(Clock(), {"time": (0, 2), "speed": 0}), (1, 3))
    delays = {"time": set(), "given": set()}
    seen, final, _, rewards = played(delayed, auto_reset=auto_reset)
    for start in (0, LIMIT):
        for robot in range(N):
            late = (4 - seen["time"][start + 4, robot, 0]).astype(int)
            expected = np.maximum(np.arange(LIMIT) - late, 0)
            np.testing.assert_array_equal(seen["time"][start : start + LIMIT, robot, 0], expected)
            assert final["time"][start + 4, robot, 0] == 5 - late
            sent = start + 1 + np.arange(LIMIT)
            slow = (sent[-1] - rewards[start + 4, robot]).astype(int)
            # Zeros until the first action arrives; what an episode sent before does not reach the next one.
            np.testing.assert_array_equal(rewards[start : start + slow, robot], 0)
            np.testing.assert_array_equal(rewards[start + slow : start + LIMIT, robot], sent[: LIMIT - slow])
            delays["time"].add(int(late))
            delays["given"].add(int(slow))
    assert delays == {"time": {0, 1, 2}, "given": {1, 2, 3}}  # 16 draws of three


def test_noise_is_of_its_group_level_and_distribution():
    def noise(distribution, levels):
        seen, final, dones, _ = played(WithNoise(Clock(), {"time": levels, "speed": 0.5}, distribution=distribution))
        clean = np.arange(STEPS) % LIMIT
        assert (seen["given"] == np.where(clean > 0, np.arange(STEPS), 0)[:, None, None]).all()
        # What is handed over at an end is as noisy, and the same where the episode goes on.
        np.testing.assert_array_equal(final["time"][:-1][~dones[:-1]], seen["time"][1:][~dones[:-1]])
        assert (final["time"][dones] != 5).any()
        return seen["time"] - np.stack([clean, -clean], -1)[:, None], seen["speed"]

    of_time, of_speed = noise("uniform", [0.1, 0.0])
    assert (of_time[..., 1] == 0).all()
    assert 0.05 < np.abs(of_time[..., 0]).max() <= 0.1 + 1e-6
    assert 0.3 < np.abs(of_speed).max() <= 0.5
    assert len(np.unique(of_time[:LIMIT, :, 0])) > 0.9 * LIMIT * N  # anew at each step, for each robot
    of_time, of_speed = noise("gaussian", 0.1)
    assert np.std(of_time) == pytest.approx(0.1, rel=0.3)
    assert np.std(of_speed) == pytest.approx(0.5, rel=0.3)


def test_pushes_come_at_intervals_of_their_own():
    seen, final, _, _ = played(WithPushes(Clock(), interval=(1.0, 1.5), speed=(0.5, 2.0)))  # 2 or 3 steps
    after = np.concatenate([seen["speed"][1:LIMIT], final["speed"][LIMIT - 1 : LIMIT]])
    kicks = np.linalg.norm(np.diff(after, axis=0, prepend=0), axis=-1)  # [LIMIT, N]
    for robot in range(N):
        times = np.flatnonzero(kicks[:, robot]) + 1
        assert set(np.diff(times, prepend=0)) <= {2, 3}
        assert times[-1] >= LIMIT - 2
    assert ((kicks[kicks > 0] >= 0.5 - 1e-5) & (kicks[kicks > 0] <= 2 + 1e-5)).all()
    assert len(np.unique(kicks[kicks > 0])) == (kicks > 0).sum()
    assert (seen["speed"][LIMIT] == 0).all()  # the next episode starts at rest


def test_all_of_them_compose_and_pass_on_what_the_robot_can():
    sensors = Sensors(
        push_interval=[0.5, 0.5],
        action_delay=1,
        noise={"time": 0.01},
        observation_delay={"time": [1, 1]},
        history={"time": 2},
    )
    seen, final, _, rewards = played(sensors.wrap(Clock()))
    np.testing.assert_allclose(seen["time"][4, 0], [2, -2, 3, -3], atol=0.011)
    np.testing.assert_allclose(final["time"][4, 0], [3, -3, 4, -4], atol=0.011)
    assert rewards[:3, 0].tolist() == [0, 1, 2]
    assert (np.linalg.norm(seen["speed"][4], axis=-1) > 0).all()
    # The last observation of noise and delay is remembered as it was seen.
    np.testing.assert_array_equal(seen["time"][3, :, 2:], seen["time"][4, :, :2])
    env = vectorize(Clock(), N, sensors=sensors)
    robot = env.single_env
    state, _ = robot.reset(jax.random.key(0))
    moved = robot.at(state, jnp.ones(2))
    np.testing.assert_array_equal(robot.coordinates(moved), 1)
    assert (robot.step_dt, env.max_episode_length) == (0.5, LIMIT)
    assert not hasattr(robot, "render")


def test_evaluation_is_without_noise_and_pushes():
    options = {"randomize": True, "randomize_every": 3, "auto_reset": "full", "sensors": {"noise": {"a": 1.0}}}
    options["sensors"] |= {"push_interval": [1, 2], "history": {"a": 2}, "action_delay": [0, 1]}
    kept = evaluation_options(options)
    assert kept == {"auto_reset": "full", "sensors": Sensors(history={"a": 2}, action_delay=[0, 1])}
    assert evaluation_options({"sensors": None}) == {"sensors": None}


def of_clock(**sensors):
    return vectorize(Clock(), N, sensors=sensors)


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        ({"history": {"tim": 2}}, "history names .*'tim'.* given, speed, time.* Did you mean 'time'"),
        ({"observation_delay": {"policy": 2}}, "observation_delay names .*'policy'"),
        ({"noise": {"sped": 2}}, "noise names .*'sped'.* Did you mean 'speed'"),
        ({"noise": {"time": [0.1, 0.1, 0.1]}}, "'time' has 3 levels"),
        ({"noise": {"time": -1}}, "must not be negative"),
        ({"noise": {"time": 1}, "noise_distribution": "normal"}, "noise distribution.*'normal'"),
        ({"noise": 0.1}, "noise is 0.1, but must be given by group"),
        ({"history": {"time": 0}}, "history of 'time' is 0"),
        ({"action_delay": [2, 1]}, "action_delay is .*, or a range"),
        ({"action_delay": 0.5}, "action_delay is 0.5"),
        ({"observation_delay": {"time": -1}}, "observation_delay of 'time' is -1"),
        ({"push_interval": [0, float("inf")]}, "push_interval is"),
        ({"push_interval": [1, 2], "push_speed": 2.0}, "push_speed is 2.0"),
        ({"histroy": {}}, "key of sensors.*'histroy'.* Did you mean 'history'"),
    ],
)
def test_what_is_refused(sensors, message):
    with pytest.raises(ValueError, match=message):
        of_clock(**sensors)


def test_robots_that_cannot():
    class Chooser(Clock):
        discrete = True

    with pytest.raises(ValueError, match="are discrete"):
        WithActionDelay(Chooser(), 1)
    with pytest.raises(ValueError, match="cannot be pushed"):
        make_env("tests.environments:PointMass", num_envs=2, sensors={"push_interval": [1, 2]})
