"""Mismatched environments are rejected when they are built, with a reason."""

from typing import NamedTuple

import jax.numpy as jnp
import pytest

from rsl_jax.env import Transition, vectorize


class Fits:
    """Nothing is wrong with it."""

    num_actions = 2

    def reset(self, key):
        return {"position": jnp.zeros(2)}, jnp.zeros(3)

    def step(self, state, action):
        return {"position": state["position"] + action}, self.transition()

    def transition(self, **changes):
        return Transition(**{"observations": jnp.zeros(3), "reward": 0.0, "terminated": False, **changes})


def stepping(**changes):
    """A robot whose step answers something else."""

    class Robot(Fits):
        def step(self, state, action):
            return state, self.transition(**changes)

    return Robot()


def resetting(observations):
    """A robot that sees something else at first."""

    class Robot(Fits):
        def reset(self, key):
            return super().reset(key)[0], observations

    return Robot()


class Pair(NamedTuple):
    x: object
    y: object


def altered(method):
    """A robot with another step."""
    return type("Robot", (Fits,), {"step": method})()


def test_what_fits_is_accepted():
    env = vectorize(Fits(), 2)
    assert env.num_actions == 2


@pytest.mark.parametrize(
    ("robot", "error", "message"),
    [
        (stepping(reward=jnp.zeros(1)), ValueError, r"The reward of Robot.step must be a scalar \[\].*shape \[1\]"),
        (stepping(terminated=jnp.zeros(2)), ValueError, r"terminated of Robot.step must be a scalar"),
        (stepping(truncated=jnp.zeros(2)), ValueError, r"truncated of Robot.step must be a scalar"),
        (stepping(log={"speed": jnp.zeros(2)}), ValueError, r"The log entry 'speed' of Robot.step must be a scalar"),
        (
            stepping(observations=jnp.zeros(4)),
            ValueError,
            r"observations.policy of Robot has the shape \[3\] after reset",
        ),
        (stepping(observations={"policy": {}}), TypeError, r"'policy' is a value of type dict"),
        (
            stepping(observations={"other": jnp.zeros(3)}),
            ValueError,
            r"only reset gives observations.policy and only step",
        ),
        (stepping(observations=jnp.zeros(())), ValueError, r"'policy' of Robot.step is a scalar; give a vector"),
        (resetting({}), ValueError, r"Robot.reset returns no observations"),
        (resetting(3.0), TypeError, r"'policy' is a value of type float"),
        (altered(lambda self, s, a: (s, a, 1)), TypeError, r"must return \(state, .*Transition.*returned a tuple of 3"),
        (altered(lambda self, s, a: (s, a)), TypeError, r"must return \(state, rsl_jax.env.Transition"),
        (
            altered(lambda self, s, a: ({**s, "extra": a}, self.transition())),
            ValueError,
            r"same fields, but only step gives state.extra",
        ),
        (
            altered(lambda self, s, a: ({"position": jnp.zeros(5)}, self.transition())),
            ValueError,
            r"state.position of Robot has the shape \[2\] after reset, but \[5\] after step",
        ),
        (
            type("Robot", (Fits,), {"reset": lambda self, key: jnp.zeros(3)})(),
            TypeError,
            r"Robot.reset\(key\) must return \(state, observations\)",
        ),
        (type("Robot", (Fits,), {"num_actions": 0})(), ValueError, r"num_actions must be a positive int, but is 0"),
        (type("Robot", (Fits,), {"num_actions": (2,)})(), ValueError, r"num_actions must be a positive int"),
    ],
)
def test_what_does_not_fit_says_why(robot, error, message):
    with pytest.raises(error, match=message):
        vectorize(robot, 2)


def test_states_of_different_types():
    class Robot(Fits):
        def reset(self, key):
            return Pair(jnp.zeros(1), jnp.zeros(1)), jnp.zeros(3)

        def step(self, state, action):
            return {"x": state.x, "y": state.y}, self.transition()

    with pytest.raises(ValueError, match=r"must give pytrees of the same types"):
        vectorize(Robot(), 2)


def test_an_error_of_the_robots_own_says_where_it_was_met():
    robot = altered(lambda self, s, a: (_ for _ in ()).throw(KeyError("wheel")))
    with pytest.raises(KeyError, match="wheel") as caught:
        vectorize(robot, 2)
    assert "while tracing Robot.step(state, action) with an action [2] of float" in caught.value.__notes__[0]
