"""The checker of mirrors, on environments with known symmetry."""

import jax
import jax.numpy as jnp
import pytest

from rsl_jax.config import Mirror, MirrorSpec
from rsl_jax.env import JaxVecEnv, Transition, check_symmetry, vectorize


class Pendulum:
    """A pole that is seen by cosine and sine, so that a mirrored state must be searched for."""

    num_actions = 1

    def __init__(self, wind=0.0, prefer=0.0, stop=jnp.inf):
        self._wind, self._prefer, self._stop = wind, prefer, stop

    def reset(self, key):
        state = jnp.stack([jax.random.uniform(key, (), minval=-3.0, maxval=3.0), 0.0])
        return state, self._observe(state)

    def step(self, state, action):
        speed = state[1] + 0.05 * (15.0 * jnp.sin(state[0]) + 3.0 * action[0] + self._wind)
        state = jnp.stack([state[0] + 0.05 * speed, speed])
        reward = jnp.cos(state[0]) - 0.01 * speed**2 + self._prefer * speed
        return state, Transition(self._observe(state), reward, terminated=speed > self._stop)

    def _observe(self, state):
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])


MIRROR = MirrorSpec({"policy": Mirror(3, flip=(1, 2))}, Mirror(1, flip=(0,)))


def check(mirror=MIRROR, mirror_state=None, **env):
    return check_symmetry(vectorize(Pendulum(**env), 8), mirror, mirror_state=mirror_state, warm_up=6)


def test_a_symmetry_is_found_to_hold():
    report = check()
    assert report.holds
    assert "is a symmetry" in str(report)


def test_a_given_mirrored_state_is_taken():
    assert check(mirror_state=lambda state: -state).holds
    wrong = check(mirror_state=lambda state: state)
    assert not wrong.dynamics_hold
    assert "No state was found" not in str(wrong)


class Simulator(Pendulum):
    """The pendulum in a simulator: what it steps is its own copy of the angle and speed that it reports."""

    def reset(self, key):
        state, observations = super().reset(key)
        return {"reported": state, "own": state}, observations

    def step(self, state, action):
        following, transition = super().step(state["own"], action)
        return {"reported": following, "own": following}, transition

    def coordinates(self, state):
        return state["reported"]

    def at(self, state, coordinates):
        return {"reported": coordinates, "own": coordinates}


def test_searches_among_the_coordinates_of_a_simulator():
    assert check_symmetry(vectorize(Simulator(), 8), MIRROR, warm_up=6).holds


@pytest.mark.parametrize(
    ("mirror", "env", "says"),
    [
        (MirrorSpec({"policy": Mirror(3, flip=(1,))}, Mirror(1, flip=(0,))), {}, "obs['policy'] goes apart at"),
        (MirrorSpec({"policy": Mirror(3, flip=(1, 2))}, Mirror(1)), {}, "No state was found"),
        (MIRROR, {"wind": 5.0}, "obs['policy'] goes apart at"),
        (MIRROR, {"prefer": 0.1}, "- rewards differ by"),
        (MIRROR, {"stop": 1.0}, "only one of the two was terminated"),
    ],
)
def test_what_is_no_symmetry_is_told(mirror, env, says):
    report = check(mirror, **env)
    assert not report.holds
    assert says in str(report)
    assert report.dynamics_hold == (mirror is MIRROR and "wind" not in env)


def test_functions_are_checked_as_well():
    def function(env, obs, actions):
        flip = lambda x, signs: None if x is None else jnp.concatenate([x, x * signs[None]])  # noqa: E731
        seen = None if obs is None else {"policy": flip(obs["policy"], jnp.array([1.0, -1.0, -1.0]))}
        return seen, flip(actions, jnp.array([-1.0]))

    assert check(function).holds
    threefold = lambda env, obs, actions: jax.tree.map(lambda x: jnp.concatenate([x, -x, x]), (obs, actions))  # noqa: E731
    with pytest.raises(ValueError, match=r"returned 2 of each sample"):
        check(threefold)


def test_refuses_what_it_cannot_check():
    env = vectorize(Pendulum(), 4)
    with pytest.raises(TypeError, match=r"got JaxVecEnv"):
        check_symmetry(JaxVecEnv(env), MIRROR)
    big = type("Big", (Pendulum,), {})()
    big.reset = lambda key: ((jnp.zeros(300), Pendulum.reset(big, key)[0]), Pendulum.reset(big, key)[1])
    big.step = lambda state, action: (
        (state[0], Pendulum.step(big, state[1], action)[0]),
        Pendulum.step(big, state[1], action)[1],
    )
    with pytest.raises(ValueError, match=r"has 302 numbers to search among.*mirror_state"):
        check_symmetry(vectorize(big, 4), MIRROR)
