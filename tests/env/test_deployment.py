"""Metadata of environments for controllers."""

import numpy as np
import pytest

from rsl_jax.env import JaxVecEnv, regroup, vectorize
from rsl_jax.env.deployment import WITHIN_LIMITS, deployment_of, facts_of_playground
from rsl_jax.types import Spec
from tests.environments import PointMass


class Told(PointMass):
    step_dt = 0.05

    def deployment(self):
        return {"joint_names": ["slide"], "observation_terms": {"policy": {"position": 1, "velocity": 1}}}


def test_what_an_environment_tells_is_found_within_others():
    robot = Told()
    batch = vectorize(robot, 2)
    for env in (robot, batch, regroup(batch, {"seen": "policy"})):
        assert deployment_of(env) == robot.deployment()
    assert deployment_of(vectorize(PointMass(), 2)) == {}


def test_layouts_of_other_sizes_are_left_out_and_the_period_is_added():
    spec = Spec({"policy": (2,)}, num_envs=2, num_actions=1, step_dt=0.05)
    assert deployment_of(Told(), spec) == {"control_dt": 0.05, **Told().deployment()}
    stacked = Spec({"policy": (4,)}, num_envs=2, num_actions=1)
    assert deployment_of(Told(), stacked) == {"joint_names": ["slide"], "observation_terms": {}}


class Rounds:
    """Its own environment, as some wrappers are."""

    @property
    def env(self):
        return self


def test_an_environment_that_wraps_itself_ends_the_search():
    assert deployment_of(Rounds()) == {}


@pytest.fixture(scope="module")
def model():
    """Two motors in another order than the joints, the second without a limit of its own."""
    mujoco = pytest.importorskip("mujoco")
    leg = '<body><joint name="{0}" range="-1 1" damping="{1}"/><geom size="0.1"/>{2}</body>'
    legs = leg.format("hip", 0.5, leg.format("knee", 0.25, ""))
    motors = '<position joint="knee" kp="30" kv="2"/><position joint="hip" kp="20" forcerange="-5 5"/>'
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><body><freejoint/><geom size="0.1"/>{legs}</body></worldbody>'
        f"<actuator>{motors}</actuator></mujoco>"
    )


def test_joints_come_in_the_order_of_the_actions(model):
    class Robot:
        mj_model, sim_dt, action_size = model, 0.004, 2
        _default_pose, _config = np.array([0.1, 0.9], np.float32), {"action_scale": 0.5}
        _lowers, _uppers = np.array([-1.0, -1.0]), np.array([1.0, 1.0])

    facts = facts_of_playground(Robot(), WITHIN_LIMITS[0], control_dt=0.02)
    assert facts == {
        "environment": f"playground/{WITHIN_LIMITS[0]}",
        "control_dt": 0.02,
        "simulation_dt": 0.004,
        "joint_names": ["knee", "hip"],
        "default_joint_pos": [0.9, 0.1],
        "action_scale": 0.5,
        "joint_stiffness": [30.0, 20.0],
        "joint_damping": [2.25, 0.5],
        "joint_effort_limit": [None, 5.0],
        "joint_target_limits": [[-1.0, -1.0], [1.0, 1.0]],
    }


def test_a_batch_behind_methods_tells_it_too():
    assert deployment_of(JaxVecEnv(vectorize(Told(), 2))) == Told().deployment()
