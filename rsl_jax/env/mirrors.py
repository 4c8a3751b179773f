"""Mirrors of robots from their models: which joints are left and right, and which change their sign.

:func:`mirror_for` gives the mirror of Playground's Go1 and G1 joystick tasks, :func:`robot_mirror` that of any robot of
MuJoCo whose observations are made of terms like theirs. :func:`rsl_jax.env.check_symmetry` tests one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rsl_jax.config import Mirror, MirrorSpec
from rsl_jax.env.extras import import_extra
from rsl_jax.env.randomization import Robot
from rsl_jax.env.wrappers import Wrapped, Wrapper
from rsl_jax.extensions.mirror import mirror_function
from rsl_jax.registry import nearest
from rsl_jax.types import Array, Observations

SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("fl", "fr"),
    ("rl", "rr"),
    ("hl", "hr"),
    ("lf", "rf"),
    ("lh", "rh"),
)
"""Pairs of name parts for left and right, in any case: ``left_knee``, ``FL_hip_joint``, ``RH_HAA``."""

Term = str | Mirror
"""Part of an observation: a name of :data:`TERMS`, or a mirror."""

TERMS = {
    "vector": "a vector of three entries: velocity, acceleration, gravity, force",
    "spin": "an angular velocity or a torque",
    "command": "speeds forwards and to the left, and the rate of turning",
    "joints": "one for each joint in the model's order: positions, speeds",
    "actuators": "one for each actuator: actions, torques",
    "feet": "one for each foot",
    "feet_vectors": "a vector for each foot, foot by foot",
    "scalar": "one entry that is the same in the mirror",
    "phase": "cosines of the phases of both feet, then sines",
}
"""Terms of robots' observations; x is forwards and y to the left."""

_TOLERANCE = 0.01
"""Tolerance, in metres and parts of an axis, for positions and axes of mirrored joints: models are rounded."""


def mirror_of_names(names: Sequence[str], signs: Sequence[int] | None = None) -> Mirror:
    """Build the mirror of a vector that has an entry for each name.

    Args:
        names: names of joints, feet or actuators, ``[size]``. A name that says left is swapped with the one that says
            right in its place (:data:`SIDES`); others stay.
        signs: -1 for entries that change their sign, ``[size]``; 1 for all if None.

    Raises:
        ValueError: if a name has no partner, or none says left or right.
    """
    index = {name.lower(): position for position, name in enumerate(names)}
    partners = [_other_side(name) for name in names]
    missing = [
        f"'{name}' (no '{partner}')" for name, partner in zip(names, partners, strict=True) if partner not in index
    ]
    if missing:
        raise ValueError(f"These names have no partner on the other side: {', '.join(missing)}.")
    if all(partner == name.lower() for name, partner in zip(names, partners, strict=True)):
        words = ", ".join("/".join(pair) for pair in SIDES)
        raise ValueError(f"No name says left or right ({words}): {', '.join(names)}.")
    return Mirror.from_permutation([index[partner] for partner in partners], signs)


def joint_mirror(model: Any, joints: Sequence[int] | None = None) -> Mirror:
    """Build the mirror of joint positions, or of anything else with one entry per joint.

    Signs come from the axes of the joints where all positions are zero: a joint that turns about y turns the same way
    in the mirror, one that turns about x or z the other way.

    Args:
        model: ``mujoco.MjModel`` that looks along x, with y to its left.
        joints: indices of the joints, in order; all hinges and slides if None.

    Raises:
        ValueError: if names do not pair up, or two that do are not each other's mirror image.
    """
    mujoco: Any = import_extra("mujoco", "playground")
    if joints is None:
        joints = [j for j in range(model.njnt) if model.jnt_type[j] in _HINGE_OR_SLIDE]
    data = mujoco.MjData(model)
    data.qpos[[model.jnt_qposadr[j] for j in joints]] = 0
    mujoco.mj_kinematics(model, data)
    names = [model.joint(j).name for j in joints]
    pairs = mirror_of_names(names).permutation
    signs = [_sign(model, data, joints[here], joints[there]) for here, there in enumerate(pairs)]
    return mirror_of_names(names, signs)


def robot_mirror(model: Any, observations: Mapping[str, Sequence[Term]], *, feet: Sequence[str] = ()) -> MirrorSpec:
    """Build the mirror of a robot of MuJoCo.

    Args:
        model: ``mujoco.MjModel``.
        observations: terms of each group, in order: :data:`TERMS` by name, or mirrors.
        feet: names of the feet, in the order of the observations.

    Raises:
        ValueError: for an unknown term, or names that do not pair up.
    """
    terms = _terms(model, feet)
    return MirrorSpec(
        {group: _joined([_term(term, terms) for term in parts]) for group, parts in observations.items()},
        terms["actuators"],
    )


class Task(NamedTuple):
    """Observations and state entries of a task of Playground.

    Attributes:
        feet: names of the feet, in its order.
        state: terms of the group ``state``.
        privileged: terms that ``privileged_state`` has after those.
        info: terms by the entry of the state's ``info``.
    """

    feet: tuple[str, ...]
    state: tuple[str, ...]
    privileged: tuple[str, ...]
    info: Mapping[str, str]


_REMEMBERED = {
    "command": "command",
    "last_act": "actuators",
    "last_last_act": "actuators",
    "feet_air_time": "feet",
    "last_contact": "feet",
    "swing_peak": "feet",
}
_GO1 = Task(
    feet=("FR", "FL", "RR", "RL"),
    state=("vector", "spin", "vector", "joints", "joints", "actuators", "command"),
    privileged=(
        *("spin", "vector", "vector", "vector", "spin", "joints", "joints", "actuators"),
        *("feet", "feet_vectors", "feet", "vector", "scalar"),
    ),
    info={**_REMEMBERED, "pert_dir": "vector"},
)
_G1 = Task(
    feet=("left_foot", "right_foot"),
    state=("vector", "spin", "vector", "command", "joints", "joints", "actuators", "phase"),
    privileged=(
        *("spin", "vector", "vector", "vector", "spin", "joints", "joints", "scalar", "actuators"),
        *("feet", "feet_vectors", "feet"),
    ),
    info={**_REMEMBERED, "motor_targets": "actuators", "phase": "feet", "push": "push"},
)
TASKS = {
    "playground/Go1JoystickFlatTerrain": _GO1,
    "playground/Go1JoystickRoughTerrain": _GO1,
    "playground/G1JoystickFlatTerrain": _G1,
    "playground/G1JoystickRoughTerrain": _G1,
}
"""Tasks with a known mirror."""


def mirror_for(env: Any) -> MirrorSpec:
    """Return the mirror of an environment of :data:`TASKS`.

    A group with a history is mirrored observation by observation.

    Args:
        env: the environment, as returned by :func:`rsl_jax.env.make_env`.

    Raises:
        ValueError: if its mirror is unknown, or its observations are of other sizes.
    """
    robot, task = _robot_of(env)
    mirror = robot_mirror(
        robot.env.mj_model, {"state": task.state, "privileged_state": (*task.state, *task.privileged)}, feet=task.feet
    )
    _, observations = jax.eval_shape(env.reset, jax.random.key(0))
    sizes = {group: x.shape[-1] for group, x in observations.items() if group in mirror.observations}
    groups = {group: _repeated(group, mirror.observations[group], size) for group, size in sizes.items()}
    return MirrorSpec(groups, mirror.actions)


def mirror_state_for(env: Any) -> Callable[[Any], Any]:
    """Return ``mirror_state`` of :func:`rsl_jax.env.check_symmetry` for an environment of :data:`TASKS`.

    A randomized robot keeps its model, which the check then assumes to be symmetric.

    Raises:
        ValueError: if its mirror is unknown; from the returned function, for an environment with sensors.
    """
    robot, task = _robot_of(env)
    while isinstance(robot, Wrapper):
        robot = robot.inner
    model = robot.env.mj_model
    terms = {**_terms(model, task.feet), "push": Mirror(2, flip=(1,))}
    base = Mirror(7, flip=(1, 4, 6))  # position, and the quaternion (w, x, y, z)
    positions, speeds = _joined([base, terms["joints"]]), _joined([terms["vector"], terms["spin"], terms["joints"]])

    def mirror_state(state: Any) -> Any:
        if isinstance(state, Robot):
            return state._replace(env=mirror_state(state.env))
        if isinstance(state, Wrapped):
            raise ValueError("The memory of sensors has no mirror image here; check the mirror without sensors.")
        qpos, qvel = robot.coordinates(state)
        state = robot.at(state, (_apply(positions, qpos), _apply(speeds, qvel)))
        info = {name: _apply(terms[term], state.info[name]) for name, term in task.info.items()}
        return state.replace(info={**state.info, **info})

    return mirror_state


def robot_symmetry(env: Any, obs: Observations | None, actions: Array | None) -> tuple[Any, Any]:
    """Mirror samples of an environment of :data:`TASKS`: a ``data_augmentation_func`` for ``symmetry_cfg``.

    In a config it is ``rsl_jax.env.mirrors:robot_symmetry``.

    Raises:
        ValueError: if the mirror of the environment, or of one of its groups, is unknown.
    """
    mirror = mirror_for(env)
    if obs is not None:
        unknown = [group for group in obs if group not in mirror.observations]
        if unknown:
            raise ValueError(f"There is no known mirror of the group '{unknown[0]}'. {_MAKE_ONE}")
        mirror = MirrorSpec({group: mirror.observations[group] for group in obs}, mirror.actions)
    return mirror_function(mirror)(env, obs, actions)


_MAKE_ONE = "Make one by rsl_jax.env.mirrors.robot_mirror, and give it to symmetry_cfg as mirror_spec."
_HINGE_OR_SLIDE = (2, 3)  # mjtJoint: slide, hinge


def _other_side(name: str) -> str:
    """Return the name on the other side, in lower case."""
    other = {**dict(SIDES), **{right: left for left, right in SIDES}}
    return "".join(other.get(word, word) for word in re.split(r"(_|-|\.|/|\d+)", name.lower()))


def _sign(model: Any, data: Any, here: int, there: int) -> int:
    """Return the sign of a joint's partner in the mirror: 1 for the same direction, -1 for the opposite."""
    flip = np.array([1, -1, 1])
    axis = data.xaxis[here] * (flip if model.jnt_type[here] == _HINGE_OR_SLIDE[0] else -flip)
    sign = int(np.sign(axis @ data.xaxis[there])) or 1
    # The position of a joint's anchor along its axis has no effect.
    apart = data.xanchor[here] * flip - data.xanchor[there]
    apart = apart - (apart @ data.xaxis[there]) * data.xaxis[there]
    if np.abs(axis - sign * data.xaxis[there]).max() > _TOLERANCE or np.abs(apart).max() > _TOLERANCE:
        names = f"'{model.joint(here).name}' and '{model.joint(there).name}'"
        raise ValueError(
            f"The joints {names} are not each other's mirror image: axes {data.xaxis[here].round(3).tolist()} and "
            f"{data.xaxis[there].round(3).tolist()}, at {data.xanchor[here].round(3).tolist()} and "
            f"{data.xanchor[there].round(3).tolist()}. Mirrors are at the plane y = 0."
        )
    return sign


def _terms(model: Any, feet: Sequence[str]) -> dict[str, Mirror]:
    vector = Mirror(3, flip=(1,))
    terms = {
        "vector": vector,
        "spin": Mirror(3, flip=(0, 2)),
        "command": Mirror(3, flip=(1, 2)),
        "scalar": Mirror(1),
        "joints": joint_mirror(model),
        "actuators": joint_mirror(model, [int(j) for j in model.actuator_trnid[:, 0]]),
    }
    if feet:
        pairs = mirror_of_names(feet)
        places = [3 * foot + axis for foot in pairs.permutation for axis in range(3)]
        terms["feet"] = pairs
        terms["feet_vectors"] = Mirror.from_permutation(places, [1, -1, 1] * len(feet))
        terms["phase"] = _joined([pairs, pairs])
    return terms


def _term(term: Term, terms: Mapping[str, Mirror]) -> Mirror:
    if isinstance(term, Mirror):
        return term
    if term not in terms:
        missing = " Name the feet: feet=..." if term in TERMS else nearest(term, terms)
        raise ValueError(f"Unknown term '{term}' of an observation. Known: {', '.join(terms)}.{missing}")
    return terms[term]


def _joined(mirrors: Sequence[Mirror]) -> Mirror:
    """Join mirrors of vectors into the mirror of their concatenation."""
    starts = np.cumsum([0, *(mirror.size for mirror in mirrors)])
    places = [
        int(start) + place for start, mirror in zip(starts, mirrors, strict=False) for place in mirror.permutation
    ]
    return Mirror.from_permutation(places, [sign for mirror in mirrors for sign in mirror.signs])


def _repeated(group: str, mirror: Mirror, size: int) -> Mirror:
    if size % mirror.size:
        raise ValueError(
            f"The group '{group}' has {size} entries, but its known mirror has {mirror.size}: the task has "
            "been changed. Create the mirror with rsl_jax.env.mirrors.robot_mirror."
        )
    return _joined([mirror] * (size // mirror.size))


def _apply(mirror: Mirror, x: Array) -> Array:
    mirrored = x[np.array(mirror.permutation)]
    return mirrored if x.dtype == bool else mirrored * np.array(mirror.signs, x.dtype)


def _robot_of(env: Any) -> tuple[Any, Task]:
    """Return the single environment in an environment, and its task."""
    while not hasattr(env, "single_env"):
        if not hasattr(env, "env"):
            raise ValueError(f"Mirrors are known only for vectorized environments; got {type(env).__name__}.")
        env = env.env
    cfg = getattr(env.single_env, "cfg", {})
    name = cfg.get("name", "") if isinstance(cfg, Mapping) else ""
    if name not in TASKS:
        raise ValueError(
            f"Nothing is known of the mirror of '{name or type(env.single_env).__name__}'. Known: {', '.join(TASKS)}."
            f"{nearest(name, TASKS)} {_MAKE_ONE}"
        )
    return env.single_env, TASKS[name]
