"""Drive rsl-rl-lib's distillation through its public classes and record its results.

What is hooked: the algorithm's ``loss_fn``, which sees every step; ``clip_grad_norm_`` and the optimiser's ``step``,
which see the gradients.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from rsl_rl.algorithms import Distillation
from tensordict import TensorDict

from tests.parity.cases import NUM_ACTIONS, NUM_ENVS, NUM_ROLLOUTS, NUM_STEPS, Case
from tests.parity.reference import (
    Arrays,
    SyntheticEnv,
    construct,
    default_dtype,
    prefixed,
    synthetic_rollout,
    to_array,
    to_tensor,
    vector,
)

MODELS = ("student", "teacher")
LABEL_SCALE = 6.0
"""What the teacher's last layer is multiplied by: untrained, its labels would all lie within Huber's parabola."""


def build_reference(train_cfg: dict[str, Any], env: SyntheticEnv) -> Distillation:
    """The reference's distillation, ready to learn."""
    algorithm = construct(Distillation, train_cfg, env)
    with torch.no_grad():
        for parameter in algorithm.teacher.mlp[-1].parameters():
            parameter *= LABEL_SCALE
    return algorithm


def record(case: Case, dtype: str) -> Arrays:
    """Rollouts and updates of a case, one after the other, so that all state is carried over.

    Args:
        case: the configuration.
        dtype: ``"float32"`` or ``"float64"``, PyTorch's default type while it runs.

    Returns:
        by name: ``initial/MODEL/NAME`` (state dicts of the models), for each rollout ``rollout_0/...`` what
        :func:`record_iteration` gives, and the names of the student's parameters in the order in which they stand in
        vectors: ``order/student`` those that have gradients, ``order/all`` all of them.
    """
    generator = np.random.default_rng(case.seed)
    with default_dtype(dtype):
        torch.manual_seed(case.seed)
        env = SyntheticEnv(NUM_ENVS, NUM_ACTIONS, case.observation_shapes)
        algorithm = build_reference(case.train_cfg, env)
        arrays: Arrays = {}
        for name in MODELS:
            state = getattr(algorithm, name).state_dict()
            arrays |= prefixed(f"initial/{name}", {key: to_array(value) for key, value in state.items()})
        names = [name for name, _ in algorithm.student.named_parameters()]
        arrays["order/all"] = np.array(names)
        arrays["order/student"] = np.array([name for name in names if not name.startswith("distribution")])
        for index in range(NUM_ROLLOUTS):
            arrays |= prefixed(f"rollout_{index}", record_iteration(algorithm, case, generator))
        after = {f"initial/teacher/{name}": to_array(x) for name, x in algorithm.teacher.state_dict().items()}
        assert all(np.array_equal(x, arrays[name]) for name, x in after.items()), "the teacher has moved"
    return arrays


def record_iteration(algorithm: Distillation, case: Case, generator: np.random.Generator) -> Arrays:
    """One rollout and one whole update.

    Returns:
        by name: what went in (``observations/GROUP [T + 1, N, D]``, ``dones [T, N]``), what acting showed (``mode`` of
        the student, ``labels`` of the teacher, each ``[T, N, A]``), ``losses [E * T]``, for each step of the optimiser
        ``norm [K]`` and the vectors ``gradient`` and, with ``max_grad_norm``, ``clipped`` ``[K, P]``; after the update
        ``behavior`` as it is reported, ``after [P]``, the hidden states ``hidden/0`` and, of an LSTM, ``/1``
        ``[layers, N, H]`` and, where observations are normalised, ``normalizer/NAME``.
    """
    arrays = synthetic_rollout(case, generator)
    arrays |= collect(algorithm, case, arrays)
    with recording(algorithm) as recorder:
        arrays["behavior"] = np.array(algorithm.update()["behavior"], arrays["rewards"].dtype)
    for name in ("losses", "norm", "gradient", *(["clipped"] if algorithm.max_grad_norm else [])):
        arrays[name] = np.array(getattr(recorder, name), arrays["rewards"].dtype)
    arrays["after"] = vector(algorithm.student.parameters())
    hidden = algorithm.last_hidden_states[0]
    parts = () if hidden is None else hidden if isinstance(hidden, tuple) else (hidden,)
    arrays |= {f"hidden/{index}": to_array(part) for index, part in enumerate(parts)}
    buffers = {name.removeprefix("obs_normalizer."): to_array(x) for name, x in algorithm.student.named_buffers()}
    return arrays | prefixed("normalizer", buffers)


def collect(algorithm: Distillation, case: Case, rollout: Arrays) -> Arrays:
    """Acts on given observations; what it samples is of no importance to what is learned."""
    groups = {name: to_tensor(rollout[f"observations/{name}"]) for name in case.observation_shapes}
    modes = []
    with torch.inference_mode():
        for step in range(NUM_STEPS):
            actions = algorithm.act(TensorDict({name: group[step] for name, group in groups.items()}, NUM_ENVS))
            student = algorithm.student
            modes.append(to_array(actions if student.distribution is None else student.output_mean))
            after = TensorDict({name: group[step + 1] for name, group in groups.items()}, NUM_ENVS)
            rewards, dones = to_tensor(rollout["rewards"][step]), torch.as_tensor(rollout["dones"][step])
            algorithm.process_env_step(after, rewards, dones, {})
    return {"mode": np.stack(modes), "labels": to_array(algorithm.storage.privileged_actions)}


@dataclass
class Recorder:
    """What an update lets through its hooks: a row a step of time, or a row a step of the optimiser."""

    losses: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    gradient: list[np.ndarray] = field(default_factory=list)
    clipped: list[np.ndarray] = field(default_factory=list)


@contextlib.contextmanager
def recording(algorithm: Distillation) -> Iterator[Recorder]:
    """Hooks an algorithm's next update."""
    recorder = Recorder()
    loss_fn, step, clip = algorithm.loss_fn, algorithm.optimizer.step, torch.nn.utils.clip_grad_norm_
    learning = [p for name, p in algorithm.student.named_parameters() if not name.startswith("distribution")]

    def see(target: list[np.ndarray]) -> None:
        target.append(vector(p.grad for p in learning))

    def loss_and_record(actions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = loss_fn(actions, labels)
        recorder.losses.append(loss.item())
        return loss

    def clip_and_record(parameters: Any, max_norm: float) -> torch.Tensor:
        see(recorder.gradient)
        return clip(list(parameters), max_norm)

    def step_and_record() -> None:
        see(recorder.clipped)
        if len(recorder.gradient) < len(recorder.clipped):  # nothing was clipped
            see(recorder.gradient)
        recorder.norm.append(float(np.linalg.norm(recorder.gradient[-1])))
        step()

    with (
        mock.patch.object(algorithm, "loss_fn", loss_and_record),
        mock.patch.object(torch.nn.utils, "clip_grad_norm_", clip_and_record),
        mock.patch.object(algorithm.optimizer, "step", step_and_record),
    ):
        yield recorder
