"""Description of an environment for the controller that runs its policy on a robot.

An environment can have a method ``deployment()``, which returns plain values by name; exported policies contain
them (``docs/export.md`` lists the names).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rsl_jax.types import Spec

TERMS = "observation_terms"
"""Key of the layout of observation groups: sizes of their terms, by group and in order."""

FROM_DEFAULT_POSE = ("Go1Joystick", "G1Joystick", "BerkeleyHumanoidJoystick", "T1Joystick")
"""Prefixes of Playground's environments whose joint targets are ``default_joint_pos + action_scale * action``.

Others add to the joints' positions or to the last targets (Getup, Handstand).
"""

WITHIN_LIMITS = (
    "BarkourJoystick",
    "H1InplaceGaitTracking",
    "Op3Joystick",
    "SpotFlatTerrainJoystick",
    "SpotJoystickGaitTracking",
)
"""The same, with targets that are clipped to the joints' limits."""


def deployment_of(env: Any, spec: Spec | None = None) -> dict[str, Any]:
    """Return the deployment facts of an environment, or of those that it wraps.

    Args:
        env: an ``Env``, ``VecEnv`` or ``SingleEnv``; its method ``deployment()`` is called, or that of the wrapped
            environment (``env``, ``single_env``).
        spec: the spec that the policy was built for; layouts of other sizes are left out, because a wrapper has changed
            the observations.

    Returns:
        plain values by name, to be written into an exported policy; at least ``control_dt`` where ``spec`` has it.
    """
    facts: dict[str, Any] = {}
    if spec is not None and spec.step_dt:
        facts["control_dt"] = float(spec.step_dt)
    facts |= _ask(env)
    if spec is not None and TERMS in facts:
        sizes = {group: shape[0] for group, shape in spec.observations.items() if len(shape) == 1}
        facts[TERMS] = {
            group: terms for group, terms in facts[TERMS].items() if sizes.get(group) == sum(terms.values())
        }
    return facts


def _ask(env: Any) -> Mapping[str, Any]:
    met: list[Any] = []
    while env is not None and not any(env is other for other in met):
        method = getattr(env, "deployment", None)
        if callable(method):
            return dict(method())
        met.append(env)
        env = getattr(env, "single_env", None) or getattr(env, "env", None)
    return {}


def layout_of(name: str, num_joints: int) -> dict[str, dict[str, int]]:
    """Return the terms of the observation groups of Playground's joystick tasks of the Go1 and the G1, in their order.

    Args:
        name: such as ``Go1JoystickFlatTerrain``.
        num_joints: how many joints the robot has.

    Returns:
        sizes of the terms, in order, by group; ``{}`` where the layout is not known.
    """
    joints = {"joint_pos": num_joints, "joint_vel": num_joints}
    measured = {"linvel": 3, "gyro": 3, "gravity": 3}
    if name.startswith("Go1Joystick"):
        state = {**measured, **joints, "last_action": num_joints, "command": 3}
        exact = {"gyro": 3, "accelerometer": 3, "gravity": 3, "linvel": 3, "global_angvel": 3, **joints}
        rest = {"actuator_force": num_joints, "contact": 4, "feet_vel": 12, "feet_air_time": 4, "push": 3, "pushed": 1}
    elif name.startswith("G1Joystick"):
        state = {**measured, "command": 3, **joints, "last_action": num_joints, "phase": 4}
        exact = {"gyro": 3, "accelerometer": 3, "gravity": 3, "linvel": 3, "global_angvel": 3, **joints}
        rest = {"root_height": 1, "actuator_force": num_joints, "contact": 2, "feet_vel": 6, "feet_air_time": 2}
    else:
        return {}
    return {"state": state, "privileged_state": {"state": sum(state.values()), **exact, **rest}}


def facts_of_playground(env: Any, name: str, *, control_dt: float, clip_actions: float | None = None) -> dict[str, Any]:
    """Return the facts of Playground's environments; joints and gains where actions are offsets from a default pose.

    Args:
        env: the environment of Playground.
        name: its name in Playground's registry.
        control_dt: seconds between two actions.
        clip_actions: actions are clipped to plus and minus this before they are used; None if they are not.
    """
    facts: dict[str, Any] = {
        "environment": f"playground/{name}",
        "control_dt": control_dt,
        "simulation_dt": float(env.sim_dt),
    }
    if clip_actions is not None:
        facts["action_clip"] = float(clip_actions)
    if name.startswith(FROM_DEFAULT_POSE + WITHIN_LIMITS):
        facts |= _joints(env.mj_model, np.asarray(env._default_pose), float(env._config["action_scale"]))
        if name.startswith(WITHIN_LIMITS):
            facts["joint_target_limits"] = [_numbers(np.asarray(bound)) for bound in (env._lowers, env._uppers)]
    terms = layout_of(name, int(env.action_size))
    if terms:
        facts |= {TERMS: terms, "command_names": ["lin_vel_x", "lin_vel_y", "ang_vel_yaw"]}
        facts["command_limits"] = _command_limits(env._config)
    return facts


def _joints(model: Any, pose: np.ndarray, action_scale: float) -> dict[str, Any]:
    """Return the joints in the order of the actions, which are targets of their position controllers."""
    joints = model.actuator_trnid[:, 0]
    efforts = [
        np.where(limited.astype(bool), bounds[:, 1], np.inf)  # of the motor, and of the joint
        for limited, bounds in (
            (model.actuator_forcelimited, model.actuator_forcerange),
            (model.jnt_actfrclimited[joints], model.jnt_actfrcrange[joints]),
        )
    ]
    return {
        "joint_names": [model.joint(int(joint)).name for joint in joints],
        # The pose is that of the joints behind the floating base, in the model's order.
        "default_joint_pos": _numbers(pose[model.jnt_qposadr[joints] - (model.nq - len(pose))]),
        "action_scale": action_scale,
        "joint_stiffness": _numbers(model.actuator_gainprm[:, 0]),
        "joint_damping": _numbers(model.dof_damping[model.jnt_dofadr[joints]] - model.actuator_biasprm[:, 2]),
        "joint_effort_limit": _numbers(np.minimum(*efforts)),
    }


def _numbers(array: np.ndarray) -> list[float | None]:
    """Round to the shortest digits of an array's own precision: float32 0.9 becomes 0.9; None stands for no limit."""
    return [float(str(value)) if np.isfinite(value) else None for value in array]


def _command_limits(config: Mapping[str, Any]) -> list[list[float]]:
    """Return the smallest and largest commanded velocities of the training."""
    if "lin_vel_x" in config:
        return [[float(bound) for bound in config[key]] for key in ("lin_vel_x", "lin_vel_y", "ang_vel_yaw")]
    return [[-float(bound), float(bound)] for bound in config["command_config"]["a"]]
