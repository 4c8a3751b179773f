"""Shared parts of the tests of the command line: custom classes, and errors without their frame."""


def said(capsys):
    """What was written to standard error, as one line without the frame around it."""
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


class Model:
    """Stands for a model; is never built."""

    def __init__(self, obs_shapes, obs_groups, output_dim, distribution, width=4, scale=(1.0, 1.0)):
        self.width, self.scale = width, scale


def point_mass(num_envs, max_episode_length=20):
    """The point mass with a given time limit."""
    from rsl_jax.env import vectorize
    from tests.environments import PointMass

    robot = PointMass()
    robot.deployment = lambda: {"joint_names": ["slide"], "control_dt": 0.05}
    return vectorize(robot, num_envs, max_episode_length=max_episode_length)


def half_seen(num_envs, max_episode_length=20):
    """The point mass of which only a teacher sees the speed."""
    from rsl_jax.env import vectorize
    from tests.environments import HalfSeen

    return vectorize(HalfSeen(), num_envs, max_episode_length=max_episode_length)
