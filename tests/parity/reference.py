"""Drive rsl-rl-lib through its public classes and record its results.

What is recorded comes from the reference itself: nothing here types one of its formulas again. Three things are hooked:
``torch.randperm``, so that the permutation is known; ``clip_grad_norm_``, which sees the gradients; and the optimiser's
``step``, from where the losses of a mini-batch are read out of the running ``PPO.update``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from .cases import NUM_ACTIONS, NUM_ENVS, NUM_ROLLOUTS, NUM_STEPS, STEP_DT, Case

Arrays = dict[str, np.ndarray]

MODELS = ("actor", "critic")
"""In the order in which ``PPO.update`` clips them."""


@contextlib.contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """PyTorch's default float type for a while: ``"float32"`` or ``"float64"``.

    ``Tensor.float`` follows it too. ``PPO.compute_returns`` calls it on ``dones`` before the product with ``gamma`` and
    ``lam``, which would round those two to float32, and the returns to 1e-8, whatever everything else is computed in.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        with mock.patch.object(torch.Tensor, "float", lambda tensor: tensor.to(torch.get_default_dtype())):
            yield
    finally:
        torch.set_default_dtype(before)


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """A copy as a tensor of PyTorch's default float type."""
    return torch.tensor(array, dtype=torch.get_default_dtype())


def to_array(tensor: torch.Tensor | None) -> np.ndarray:
    """A copy that later in-place changes do not reach."""
    assert tensor is not None, "this parameter has no gradient"
    return tensor.detach().cpu().numpy().copy()


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays under ``prefix/name``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


class SyntheticEnv(VecEnv):
    """The sizes that ``PPO.construct_algorithm`` asks an environment for; it cannot be stepped."""

    def __init__(self, num_envs: int, num_actions: int, observation_shapes: dict[str, tuple[int, ...]]) -> None:
        self.num_envs = num_envs
        self.num_actions = num_actions
        self.max_episode_length = 1000
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long)
        self.device = "cpu"
        self.cfg: dict[str, Any] = {}
        self.step_dt = STEP_DT
        self.unwrapped = self
        self._shapes = observation_shapes

    def get_observations(self) -> TensorDict:
        zeros = {name: torch.zeros(self.num_envs, *shape) for name, shape in self._shapes.items()}
        return TensorDict(zeros, self.num_envs)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        raise NotImplementedError("the rollouts of this environment are made up beforehand")


def construct(kind: Any, train_cfg: dict[str, Any], env: VecEnv) -> Any:
    """One of the reference's algorithms for a configuration, ready to learn; it prints nothing."""
    cfg = {**copy.deepcopy(train_cfg), "multi_gpu": None}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        algorithm = kind.construct_algorithm(env.get_observations(), env, cfg, "cpu")
    algorithm.train_mode()
    return algorithm


def build_ppo(train_cfg: dict[str, Any], env: VecEnv) -> PPO:
    """The reference's PPO, ready to learn."""
    algorithm = construct(PPO, train_cfg, env)
    # Encoders that are shared stand in this list twice and would be moved twice by each step; we move them once.
    for group in algorithm.optimizer.param_groups:
        group["params"] = list(dict.fromkeys(group["params"]))
    return algorithm


def record(case: Case, dtype: str) -> Arrays:
    """Rollouts and updates of a case, one after the other, so that all state is carried over.

    Args:
        case: the configuration.
        dtype: ``"float32"`` or ``"float64"``, PyTorch's default type while it runs.

    Returns:
        by name: ``initial/MODEL/NAME`` (state dicts of the models and of RND), for each rollout ``rollout_0/...`` what
        :func:`record_iteration` gives, and ``order/MODEL`` the names of its learning parameters, in the order in which
        they stand in vectors.
    """
    generator = np.random.default_rng(case.seed)
    with default_dtype(dtype):
        torch.manual_seed(case.seed)
        env = SyntheticEnv(NUM_ENVS, NUM_ACTIONS, case.observation_shapes)
        algorithm = build_ppo(case.train_cfg, env)
        arrays = prefixed("initial", state_dicts(algorithm))
        arrays |= {f"order/{name}": np.array(list(learning_parameters(algorithm, name))) for name in MODELS}
        for index in range(NUM_ROLLOUTS):
            arrays |= prefixed(f"rollout_{index}", record_iteration(algorithm, case, generator))
    return arrays


def record_iteration(algorithm: PPO, case: Case, generator: np.random.Generator) -> Arrays:
    """One rollout, the returns, and one whole update.

    Returns:
        by name: what went in (``observations/GROUP [T + 1, N, D]``, ``rewards``, ``dones``, ``time_outs`` ``[T, N]``,
        and ``permutation`` where samples are shuffled), what was stored (``actions [T, N, A]``, ``log_probs``,
        ``values`` ``[T, N]``, ``distribution/0`` and ``/1``; of recurrent models the hidden states before each step,
        ``hidden/MODEL/0`` and, of an LSTM, ``/1`` ``[T, layers, N, H]``), ``returns`` and ``advantages`` ``[T, N]``, of
        each mini-batch ``losses/surrogate``, ``/value``, ``/entropy``, ``kl``, ``learning_rate``, ``norm/MODEL``
        ``[M]``, of the first one the vectors ``gradient/MODEL`` and ``clipped/MODEL`` ``[P]``; after the update
        ``after/MODEL`` ``[P]`` and, where observations are normalised, ``normalizer/MODEL/NAME``; running moments of
        encoders before and after it, ``moments_before/MODEL/NAME`` and ``moments/MODEL/NAME``. With curiosity also
        ``curiosity/rewards`` ``[T, N]``, ``curiosity/weights`` ``[T]``, ``losses/rnd`` and ``rnd/NAME`` after the
        update; with symmetry ``losses/symmetry`` and, of the first mini-batch, what :func:`augmented_samples` gives.
    """
    arrays = synthetic_rollout(case, generator)
    arrays |= collect(algorithm, case, arrays)
    storage = algorithm.storage
    arrays["returns"] = to_array(storage.returns[..., 0])
    arrays["advantages"] = to_array(storage.advantages[..., 0])
    arrays |= prefixed("moments_before", running_moments(algorithm))
    with recording(algorithm, generator) as recorder:
        losses = algorithm.update()
    arrays |= recorder.arrays()
    recurrent = any(getattr(algorithm, name).is_recurrent for name in MODELS)
    assert recurrent != ("permutation" in arrays), "samples are shuffled where no model is recurrent, and only there"
    check_means(losses, arrays)
    for name in MODELS:
        model = getattr(algorithm, name)
        arrays[f"after/{name}"] = vector(learning_parameters(algorithm, name).values())
        if model.obs_normalization:
            buffers = {key: to_array(value) for key, value in model.obs_normalizer.named_buffers()}
            arrays |= prefixed(f"normalizer/{name}", buffers)
    rnd_state = algorithm.rnd.state_dict() if algorithm.rnd else {}
    learned = {key: to_array(value) for key, value in rnd_state.items() if not key.startswith("target")}
    return arrays | prefixed("moments", running_moments(algorithm)) | prefixed("rnd", learned)


def synthetic_rollout(case: Case, generator: np.random.Generator) -> Arrays:
    """Made-up observations, rewards and ends of episodes."""
    arrays: Arrays = {}
    dtype = torch.zeros(()).numpy().dtype
    for name, shape in case.observation_shapes.items():
        offset, scale = generator.normal(size=shape), generator.uniform(0.5, 2.0, shape)
        samples = offset + scale * generator.normal(size=(NUM_STEPS + 1, NUM_ENVS, *shape))
        arrays[f"observations/{name}"] = samples.astype(dtype)
    shape = (NUM_STEPS, NUM_ENVS)
    arrays["rewards"] = generator.normal(size=shape).astype(dtype)
    arrays["dones"] = generator.random(shape) < case.done_probability
    arrays["time_outs"] = arrays["dones"] & (generator.random(shape) < (case.time_out_probability or 0.0))
    return arrays


def collect(algorithm: PPO, case: Case, rollout: Arrays) -> Arrays:
    """Acts on given observations and computes the returns; gives what the storage then holds."""
    groups = {name: to_tensor(rollout[f"observations/{name}"]) for name in case.observation_shapes}
    report_time_outs = case.time_out_probability is not None

    def observe(step: int) -> TensorDict:
        return TensorDict({name: group[step] for name, group in groups.items()}, NUM_ENVS)

    curiosity: dict[str, list[Any]] = {"rewards": [], "weights": []} if algorithm.rnd else {}
    with torch.inference_mode():
        for step in range(NUM_STEPS):
            algorithm.act(observe(step))
            extras = {"time_outs": torch.as_tensor(rollout["time_outs"][step])} if report_time_outs else {}
            rewards, dones = to_tensor(rollout["rewards"][step]), torch.as_tensor(rollout["dones"][step])
            algorithm.process_env_step(observe(step + 1), rewards, dones, extras)
            if algorithm.rnd:
                curiosity["rewards"].append(to_array(algorithm.intrinsic_rewards))
                curiosity["weights"].append(to_array(to_tensor(algorithm.rnd.weight)))
        algorithm.compute_returns(observe(NUM_STEPS))
    storage = algorithm.storage
    arrays = {
        "actions": to_array(storage.actions),
        "log_probs": to_array(storage.actions_log_prob[..., 0]),
        "values": to_array(storage.values[..., 0]),
    }
    params = {str(index): to_array(param) for index, param in enumerate(storage.distribution_params or ())}
    hidden_states = zip(MODELS, (storage.saved_hidden_state_a, storage.saved_hidden_state_c), strict=True)
    hidden = {
        f"{name}/{index}": to_array(state) for name, states in hidden_states for index, state in enumerate(states or ())
    }
    arrays |= prefixed("curiosity", {name: np.stack(steps) for name, steps in curiosity.items()})
    return arrays | prefixed("distribution", params) | prefixed("hidden", hidden)


def state_dicts(algorithm: PPO) -> Arrays:
    """``MODEL/NAME`` of all parameters and buffers."""
    arrays: Arrays = {}
    for name in (*MODELS, "rnd"):
        module = getattr(algorithm, name)
        state = module.state_dict() if module is not None else {}
        arrays |= prefixed(name, {key: to_array(value) for key, value in state.items()})
    return arrays


def running_moments(algorithm: PPO) -> Arrays:
    """``MODEL/NAME`` of what batch normalisations remember."""
    return {name: array for name, array in state_dicts(algorithm).items() if "running_" in name}


def learning_parameters(algorithm: PPO, model: str) -> dict[str, torch.nn.Parameter]:
    """The parameters of a model that gradients train, by name."""
    named = getattr(algorithm, model).named_parameters()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def vector(tensors: Iterable[torch.Tensor | None]) -> np.ndarray:
    """All elements in a row; many small arrays would weigh more in a file than what they hold."""
    return np.concatenate([to_array(tensor).ravel() for tensor in tensors])


@dataclass
class Recorder:
    """What an update lets through its hooks, in the order of the mini-batches."""

    permutation: np.ndarray | None = None
    scalars: list[dict[str, float]] = field(default_factory=list)
    norms: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MODELS})
    gradients: Arrays = field(default_factory=dict)
    augmented: Arrays = field(default_factory=dict)

    def arrays(self) -> Arrays:
        """By name, see :func:`record_iteration`."""
        dtype = torch.zeros(()).numpy().dtype
        arrays = {name: np.array([row[name] for row in self.scalars], dtype) for name in self.scalars[0]}
        arrays |= {f"norm/{name}": np.array(norms, dtype) for name, norms in self.norms.items()}
        permutation = {} if self.permutation is None else {"permutation": self.permutation}
        return arrays | self.gradients | permutation | prefixed("augmented", self.augmented)


@contextlib.contextmanager
def recording(algorithm: PPO, generator: np.random.Generator) -> Iterator[Recorder]:
    """Hooks an algorithm's next update."""
    recorder = Recorder()
    parameters_of = {name: list(learning_parameters(algorithm, name).values()) for name in MODELS}
    clip, step = torch.nn.utils.clip_grad_norm_, algorithm.optimizer.step

    def permute(size: int, **_: Any) -> torch.Tensor:
        recorder.permutation = generator.permutation(size)
        return torch.as_tensor(recorder.permutation)

    def clip_and_record(parameters: Iterable[torch.nn.Parameter], max_norm: float) -> torch.Tensor:
        clipped = list(parameters)
        model = next(name for name in MODELS if parameters_of[name][0] in set(clipped))
        first = not recorder.norms[model]
        if first:
            recorder.gradients[f"gradient/{model}"] = vector(p.grad for p in parameters_of[model])
        norm = clip(clipped, max_norm)
        recorder.norms[model].append(norm.item())
        return norm

    def step_and_record() -> None:
        variables = sys._getframe(1).f_locals
        for model, parameters in parameters_of.items():
            if not recorder.scalars:
                recorder.gradients[f"clipped/{model}"] = vector(p.grad for p in parameters)
        if algorithm.symmetry and algorithm.symmetry.use_data_augmentation and not recorder.scalars:
            recorder.augmented = augmented_samples(variables["batch"])
        recorder.scalars.append(scalars_of(algorithm, variables))
        step()

    with (
        mock.patch.object(torch, "randperm", permute),
        mock.patch.object(torch.nn.utils, "clip_grad_norm_", clip_and_record),
        mock.patch.object(algorithm.optimizer, "step", step_and_record),
    ):
        yield recorder


def scalars_of(algorithm: PPO, variables: dict[str, Any]) -> dict[str, float]:
    """Losses, KL and learning rate of the mini-batch at hand, from the local variables of ``PPO.update``."""
    with torch.no_grad():
        kl = algorithm.actor.get_kl_divergence(
            variables["batch"].old_distribution_params, variables["distribution_params"]
        ).mean()
    extensions = {"rnd": algorithm.rnd, "symmetry": algorithm.symmetry}
    return {
        "losses/surrogate": variables["surrogate_loss"].item(),
        "losses/value": variables["value_loss"].item(),
        "losses/entropy": variables["entropy"].mean().item(),
        **{f"losses/{name}": variables[f"{name}_loss"].item() for name, used in extensions.items() if used},
        "kl": kl.item(),
        "learning_rate": algorithm.optimizer.param_groups[0]["lr"],
    }


def augmented_samples(batch: Any) -> Arrays:
    """Samples of a mini-batch and their mirror images: ``observations/GROUP``, ``actions``, ``log_probs``, ..."""
    arrays = {f"observations/{name}": to_array(array) for name, array in batch.observations.items()}
    columns = {"log_probs": batch.old_actions_log_prob, "values": batch.values, "returns": batch.returns}
    arrays |= {name: to_array(column[:, 0]) for name, column in columns.items()}
    return {**arrays, "actions": to_array(batch.actions)}


def check_means(losses: dict[str, float], arrays: Arrays) -> None:
    """Refuses a recording whose mini-batches are not what the update reports.

    Raises:
        RuntimeError: if the means differ.
    """
    for name, mean in losses.items():
        recorded = arrays[f"losses/{name}"].mean(dtype=np.float64)
        if not np.isclose(recorded, mean, rtol=1e-5, atol=1e-7):
            raise RuntimeError(f"PPO.update reports {name} = {mean}, its mini-batches average {recorded}.")
