"""A PyTorch environment without a simulator, with the contract of Isaac Lab's and mjlab's wrappers.

Only to be imported where ``rsl_rl`` leads to what is tested: the wrapper derives from ``rsl_rl.env.VecEnv``.
"""

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict


class Simulation:
    """Point masses that should be pushed to the origin: what ``gym.make`` gives, unwrapped."""

    num_envs, num_actions, max_episode_length, step_dt = 8, 2, 20, 0.02

    def __init__(self, *, is_finite_horizon=False):
        self.device = "cpu"
        self.cfg = {"is_finite_horizon": is_finite_horizon, "decimation": 4}
        self.common_step_counter = 0
        self.generator = torch.Generator().manual_seed(0)
        self.state = torch.zeros(self.num_envs, 4)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.reset(torch.ones(self.num_envs, dtype=torch.bool))

    def reset(self, where):
        """Start anew somewhere."""
        drawn = 2 * torch.rand(self.num_envs, 4, generator=self.generator) - 1
        self.state = torch.where(where[:, None], drawn, self.state)
        self.episode_length_buf[where] = 0

    def observe(self):
        """What the actor sees, and what the critic does."""
        return {"policy": self.state.clone(), "critic": torch.cat([self.state, self.state**2], -1)}

    def step(self, actions):
        """Push, and start anew where time is up."""
        position, velocity = self.state[:, :2], self.state[:, 2:]
        velocity = 0.9 * velocity + 0.1 * actions.clamp(-1, 1)
        self.state = torch.cat([position + 0.1 * velocity, velocity], -1)
        rewards = 1 - self.state[:, :2].abs().sum(-1)
        self.common_step_counter += 1
        self.episode_length_buf += 1
        terminated = self.state[:, :2].abs().amax(-1) > 2
        truncated = self.episode_length_buf >= self.max_episode_length
        self.reset(terminated | truncated)
        log = {"Episode_Reward/distance": rewards.mean(), "Metrics/steps": self.common_step_counter}
        return self.observe(), rewards, terminated, truncated, {"log": log}


class Wrapper(VecEnv):
    """As the wrappers of Isaac Lab and mjlab are: no ``step_dt`` of its own, time-outs only of infinite horizons."""

    def __init__(self, env, clip_actions=None):
        self.env = env
        self.clip_actions = clip_actions
        self.num_envs, self.num_actions = env.num_envs, env.num_actions
        self.max_episode_length, self.device = env.max_episode_length, torch.device(env.device)

    @property
    def unwrapped(self):
        """The simulation."""
        return self.env

    @property
    def cfg(self):
        """Its config."""
        return self.env.cfg

    @property
    def episode_length_buf(self):
        """Its episodes' lengths."""
        return self.env.episode_length_buf

    @episode_length_buf.setter
    def episode_length_buf(self, value):
        self.env.episode_length_buf = value

    def get_observations(self):
        """Groups of observations."""
        return TensorDict(self.env.observe(), batch_size=[self.num_envs])

    def step(self, actions):
        """One step."""
        assert isinstance(actions, torch.Tensor)
        assert not actions.requires_grad
        if self.clip_actions is not None:
            actions = actions.clamp(-self.clip_actions, self.clip_actions)
        observations, rewards, terminated, truncated, extras = self.env.step(actions)
        if not self.cfg["is_finite_horizon"]:
            extras["time_outs"] = truncated
        dones = (terminated | truncated).to(torch.long)
        return TensorDict(observations, batch_size=[self.num_envs]), rewards, dones, extras
