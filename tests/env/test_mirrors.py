"""Mirrors from the names and axes of joints; compiles nothing."""

import numpy as np
import pytest

from rsl_jax.config import Mirror
from rsl_jax.env import make_env, regroup
from rsl_jax.env.mirrors import joint_mirror, mirror_for, mirror_of_names, robot_mirror

mujoco = pytest.importorskip("mujoco")

ARMS = """
<mujoco><worldbody><body name="trunk"><freejoint/><geom size="0.1"/>
  <body pos="0 0.2 0"><joint name="left_roll" axis="1 0 0"/><geom size="0.1"/>
    <body pos="0.3 0 0"><joint name="left_pitch" axis="0 1 0"/><geom size="0.1"/></body></body>
  <body pos="0 -0.2 0"><joint name="right_roll" axis="{roll}"/><geom size="0.1"/>
    <body pos="{at}"><joint name="right_pitch" axis="0 1 0"/><geom size="0.1"/></body></body>
  <body><joint name="neck_yaw" axis="0 0 1"/><geom size="0.1"/></body>
  <body><joint name="rail_side" type="slide" axis="0 1 0"/><geom size="0.1"/></body>
</body></worldbody>
<actuator><motor joint="right_pitch"/><motor joint="neck_yaw"/><motor joint="left_pitch"/></actuator></mujoco>
"""


def arms(roll="1 0 0", at="0.3 0 0"):
    return mujoco.MjModel.from_xml_string(ARMS.format(roll=roll, at=at))


def test_names_pair_up():
    legs = mirror_of_names(("FR_hip", "FR_knee", "FL_hip", "FL_knee", "tail"), (-1, 1, -1, 1, -1))
    assert legs == Mirror(5, swap=((0, 2), (1, 3)), flip=(0, 2, 4))
    assert mirror_of_names(("LF_HAA", "RF_HAA", "LH_HAA", "RH_HAA")).permutation == (1, 0, 3, 2)
    assert mirror_of_names(("knee_left", "base", "knee_right")).permutation == (2, 1, 0)
    with pytest.raises(ValueError, match=r"no partner .*: 'left_knee' \(no 'right_knee'\), 'FR_hip' \(no 'fl_hip'\)\."):
        mirror_of_names(("left_knee", "FR_hip", "waist"))
    with pytest.raises(ValueError, match=r"No name says left or right .*: knee1, knee2"):
        mirror_of_names(("knee1", "knee2"))


def test_signs_are_those_of_the_axes():
    names = ("left_roll", "left_pitch", "right_roll", "right_pitch", "neck_yaw", "rail_side")
    assert joint_mirror(arms()) == mirror_of_names(names, (-1, 1, -1, 1, -1, -1))
    # A right arm whose roll is counted the other way.
    assert joint_mirror(arms(roll="-1 0 0")).signs == (1, 1, 1, 1, -1, -1)
    with pytest.raises(ValueError, match=r"'left_roll' and 'right_roll' are not each other's mirror image: axes"):
        joint_mirror(arms(roll="1 1 0"))
    with pytest.raises(ValueError, match=r"'left_pitch' and 'right_pitch' are not each other's mirror image"):
        joint_mirror(arms(at="0.3 0 0.1"))


def test_observations_of_terms():
    mirror = robot_mirror(
        arms(),
        {"policy": ["spin", "actuators", Mirror(1, flip=(0,))], "feet": ["feet_vectors", "phase"]},
        feet=("left", "right"),
    )
    assert mirror.actions == Mirror(3, swap=((0, 2),), flip=(1,))
    assert mirror.observations["policy"] == Mirror(7, swap=((3, 5),), flip=(0, 2, 4, 6))
    feet = mirror.observations["feet"]
    assert feet.permutation == (3, 4, 5, 0, 1, 2, 7, 6, 9, 8)
    assert feet.flip == (1, 4)
    with pytest.raises(ValueError, match=r"Unknown term 'spine'.* Did you mean 'spin'"):
        robot_mirror(arms(), {"policy": ["spine"]})
    with pytest.raises(ValueError, match=r"'phase'.* Name the feet"):
        robot_mirror(arms(), {"policy": ["phase"]})


def test_tasks_of_which_nothing_is_known():
    with pytest.raises(ValueError, match="Nothing is known of the mirror of 'PointMass'"):
        mirror_for(regroup(make_env("tests.environments:PointMass", num_envs=2), {"a": "policy"}))
    with pytest.raises(ValueError, match="vectorized environments; got ndarray"):
        mirror_for(np.zeros(3))
