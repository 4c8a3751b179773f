"""A controller of Unitree's Go1: an exported policy in a simulator other than the one it was trained in.

It needs mujoco (in C, not MJX), onnxruntime, numpy and the robot's files in MuJoCo Playground, but no JAX. Physics is
more exact than in training (2 ms, converged contacts, the whole body collides); floors and pushes differ. After
``rsl-jax train playground/Go1JoystickFlatTerrain --log-dir logs/go1``: ``python deploy_go1.py
logs/go1/exported/policy.onnx --video go1.mp4``. For a real robot, replace the class ``Go1`` by its drivers.
"""

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")  # osmesa renders on the CPU if there is no EGL

import mujoco
import numpy as np
import onnxruntime


class Policy:
    """An exported policy; it keeps the hidden states of a recurrent one."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.facts = json.loads(self.session.get_modelmeta().custom_metadata_map["metadata_json"])
        self.layout = [t for group in self.facts["observation_groups"] for t in self.facts["observation_terms"][group]]

    def reset(self):
        """Reset the hidden states."""
        inputs = [value for value in self.session.get_inputs() if value.name != "obs"]
        self.memory = {x.name: np.zeros([x.shape[0], 1, *x.shape[2:]], np.float32) for x in inputs}

    def __call__(self, obs):
        """Compute an action from an observation."""
        action, *memory = self.session.run(None, {"obs": obs.astype(np.float32)[None], **self.memory})
        self.memory = dict(zip(self.memory, memory, strict=True))
        return np.clip(action[0], -self.facts["action_clip"], self.facts["action_clip"])


class Go1:
    """The robot: sensors with the names of the policy's observation terms, and joints with position targets."""

    def __init__(self, facts, scene="scene_mjx_fullcollisions_flat_terrain.xml"):
        self.facts, self.model = facts, (model := load_model(scene))
        self.data, joints = mujoco.MjData(model), [model.joint(name).id for name in facts["joint_names"]]
        self.qpos, self.dofs = model.jnt_qposadr[joints], model.jnt_dofadr[joints]
        self.motors = [list(model.actuator_trnid[:, 0]).index(joint) for joint in joints]
        model.dof_damping[self.dofs] = facts["joint_damping"]
        model.actuator_gainprm[self.motors, 0] = facts["joint_stiffness"]
        model.actuator_biasprm[self.motors, 1:3] = [[-stiffness, 0.0] for stiffness in facts["joint_stiffness"]]
        self.substeps = round(facts["control_dt"] / model.opt.timestep)
        self.pose = np.array(facts["default_joint_pos"])

    def reset(self):
        """Put the robot into its default pose, at rest."""
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("home").id)
        self.last_action, self.command = np.zeros(len(self.pose)), np.zeros(3)
        mujoco.mj_forward(self.model, self.data)

    def observe(self, layout):
        """Read the sensors, in the order of the policy's observation terms."""
        tilt, joints = self.data.site("imu").xmat.reshape(3, 3), self.data.qpos[self.qpos]
        linvel, gyro = (self.data.sensor(name).data for name in ("local_linvel", "gyro"))
        measured = {"linvel": linvel, "gyro": gyro, "gravity": -tilt[2], "command": self.command}
        measured |= {"joint_pos": joints - self.pose, "joint_vel": self.data.qvel[self.dofs]}
        return np.concatenate([{**measured, "last_action": self.last_action}[term] for term in layout])

    def act(self, action):
        """Hold the joint targets until the next action."""
        self.last_action = action
        self.data.ctrl[self.motors] = self.pose + self.facts["action_scale"] * action
        mujoco.mj_step(self.model, self.data, self.substeps)

    def has_fallen(self):
        """Check whether the robot is tilted by 60 degrees, or lies on its belly."""
        return self.data.site("imu").xmat[8] < 0.5 or self.data.body("trunk").xpos[2] < 0.12


def load_model(scene):
    """Load Playground's model of the robot, with MuJoCo's own physics settings instead of those that make MJX fast."""
    package = Path(importlib.util.find_spec("mujoco_playground").submodule_search_locations[0])
    xmls, meshes = package / "_src/locomotion/go1/xmls", package / "external_deps/mujoco_menagerie/unitree_go1/assets"
    files = [*xmls.glob("*.xml"), *(xmls / "assets").glob("*"), *meshes.glob("*")]
    assets = {file.name: file.read_bytes() for file in files if file.is_file()}
    model = mujoco.MjModel.from_xml_string((xmls / scene).read_text(), assets)
    defaults = mujoco.MjModel.from_xml_string("<mujoco/>").opt
    for setting in ("timestep", "iterations", "ls_iterations", "disableflags"):
        setattr(model.opt, setting, getattr(defaults, setting))
    return model


def episode(robot, policy, random, options, renderer, frames):
    """Walk as commanded until the robot falls or time is up; return whether it fell, and its errors ``[steps, 2]``."""
    robot.reset()
    policy.reset()
    robot.model.geom("floor").friction[0] = random.uniform(*options.friction)
    low, high = options.speed * np.array(robot.facts["command_limits"]).T
    rate, errors = round(1 / robot.facts["control_dt"]), []
    for step in range(round(options.seconds * rate)):
        if step % (5 * rate) == 0:
            robot.command = random.uniform(low, high)
        if step % (3 * rate) == 2 * rate:
            direction = random.uniform(0, 2 * np.pi)
            robot.data.qvel[:2] += options.push * np.array([np.cos(direction), np.sin(direction)])
        robot.act(policy(robot.observe(policy.layout)))
        if renderer is not None and step % 2 == 0:
            renderer.update_scene(robot.data, "track")
            frames.append(renderer.render())
        if step % (5 * rate) >= rate:  # a second to get up to speed
            x, y = robot.data.sensor("local_linvel").data[:2] - robot.command[:2]
            errors.append([np.hypot(x, y), abs(robot.data.sensor("gyro").data[2] - robot.command[2])])
        if robot.has_fallen():
            return True, errors
    return False, errors


def main(args=None):
    """Play some episodes and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", help="policy.onnx, from rsl-jax export or the end of a training")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="of an episode")
    parser.add_argument("--speed", type=float, default=0.7, help="share of the commands' range in training")
    parser.add_argument("--push", type=float, default=0.5, help="m/s that a push adds, after 2, 5, 8, ... seconds")
    parser.add_argument("--friction", type=float, nargs=2, default=(0.4, 1.2), help="of the floor; 0.6 in training")
    parser.add_argument("--video", help="film all episodes, .mp4 or .gif")
    options = parser.parse_args(args)
    policy, random, frames = Policy(options.policy), np.random.default_rng(0), []
    robot = Go1(policy.facts)
    renderer = mujoco.Renderer(robot.model) if options.video else None
    results = [episode(robot, policy, random, options, renderer, frames) for _ in range(options.episodes)]
    falls, errors = sum(fell for fell, _ in results), [error for _, errors in results for error in errors]
    velocity, turning = np.mean(errors, axis=0) if errors else (np.nan, np.nan)
    print(f"{options.episodes} episodes, {falls} falls; mean errors {velocity:.2f} m/s and {turning:.2f} rad/s")
    if frames:
        seconds = 2 * policy.facts["control_dt"]
        rate = {"duration": 1000 * seconds, "loop": 0} if options.video.endswith(".gif") else {"fps": 1 / seconds}
        importlib.import_module("imageio").mimwrite(options.video, frames, **rate)
    return {"falls": falls, "velocity_error": velocity, "turning_error": turning}


if __name__ == "__main__":
    main()
