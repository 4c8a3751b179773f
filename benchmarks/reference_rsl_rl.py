"""RSL-RL's update on random data, to be timed."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rsl_rl.algorithms import PPO, Distillation
from rsl_rl.env import VecEnv
from tensordict import TensorDict

Arrays = dict[str, np.ndarray]


class MadeUpEnv(VecEnv):
    """Environment with the sizes that RSL-RL asks for; it cannot be stepped."""

    def __init__(
        self, num_envs: int, observation_shape: tuple[int, ...], num_actions: int, device: str = "cpu"
    ) -> None:
        self.num_envs = num_envs
        self.num_actions = num_actions
        self.max_episode_length = 1000
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.device = device
        self.cfg: dict[str, Any] = {}
        self.step_dt = 0.02
        self.unwrapped = self
        self._shape = observation_shape

    def get_observations(self) -> TensorDict:
        """Return zeros of the right shape."""
        return TensorDict({"policy": torch.zeros(self.num_envs, *self._shape, device=self.device)}, self.num_envs)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        """Refuses."""
        raise NotImplementedError("the rollouts of this environment are made up beforehand")


def build_reference(train_cfg: dict[str, Any], env: VecEnv, kind: type = PPO) -> Any:
    """Build RSL-RL's algorithm for a config, without its printed output."""
    cfg = {**copy.deepcopy(train_cfg), "multi_gpu": None}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        algorithm = kind.construct_algorithm(env.get_observations(), env, cfg, env.device)
    algorithm.train_mode()
    return algorithm


def reference_update(
    train_cfg: dict[str, Any], rollout: Arrays, device: str = "cpu"
) -> tuple[Callable[[], None], Arrays]:
    """Let RSL-RL act on a rollout, so that it can learn from it again and again.

    Args:
        train_cfg: the configuration.
        rollout: ``observations [T + 1, N, ...]``, ``rewards``, ``dones`` and ``time_outs`` ``[T, N]``.
        device: where to compute; on a GPU an update is over when the device is idle.

    Returns:
        a function that computes intrinsic rewards (where there is curiosity) and returns, and runs one whole update,
        which is what ours does too; and what acting added
        to the rollout: ``actions``, ``mean``, ``std`` ``[T, N, A]`` and ``log_probs [T, N]``.
    """
    num_steps, num_envs = rollout["rewards"].shape
    num_actions = rollout["num_actions"].item()
    env = MadeUpEnv(num_envs, rollout["observations"].shape[2:], num_actions, device)
    algorithm = build_reference(train_cfg, env)
    observations = torch.as_tensor(rollout["observations"], device=device)
    steps = [TensorDict({"policy": observation}, num_envs) for observation in observations]
    with torch.inference_mode():
        for step in range(num_steps):
            algorithm.act(steps[step])
            algorithm.process_env_step(
                steps[step + 1],
                *(torch.as_tensor(rollout[name][step], device=device) for name in ("rewards", "dones")),
                {"time_outs": torch.as_tensor(rollout["time_outs"][step], device=device)},
            )

    def update() -> None:
        with torch.inference_mode():
            for following in steps[1:] if algorithm.rnd else ():
                algorithm.rnd.get_intrinsic_reward(following)
            algorithm.compute_returns(steps[-1])
        algorithm.update()
        if device != "cpu":
            torch.cuda.synchronize()

    storage = algorithm.storage
    mean, std = (param.cpu().numpy().copy() for param in storage.distribution_params or ())
    acted = {"actions": storage.actions.cpu().numpy().copy(), "mean": mean, "std": std}
    return update, acted | {"log_probs": storage.actions_log_prob[..., 0].cpu().numpy().copy()}


def reference_distillation(train_cfg: dict[str, Any], rollout: Arrays, num_actions: int) -> Callable[[], None]:
    """Let RSL-RL's student act on a rollout, so that it can learn from it again and again.

    Args:
        train_cfg: the configuration.
        rollout: ``observations [T, N, O]`` and ``dones [T, N]``.
        num_actions: size of an action.

    Returns:
        a function that lets the teacher label the rollout, as RSL-RL does while collecting, and runs one whole update.
    """
    num_steps, num_envs, num_obs = rollout["observations"].shape
    env = MadeUpEnv(num_envs, (num_obs,), num_actions)
    algorithm = build_reference(train_cfg, env, Distillation)
    steps = [TensorDict({"policy": torch.as_tensor(x)}, num_envs) for x in rollout["observations"]]
    with torch.inference_mode():
        for step in range(num_steps):
            algorithm.act(steps[step])
            dones = torch.as_tensor(rollout["dones"][step])
            algorithm.process_env_step(steps[step], torch.zeros(num_envs), dones, {})

    def update() -> None:
        with torch.inference_mode():
            for step in range(num_steps):
                algorithm.storage.privileged_actions[step].copy_(algorithm.teacher(steps[step]))
        algorithm.update()

    return update
