"""Brax's PPO on the robots that the other libraries train on, with their sizes or with its own tuned settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# Of Brax's training notebook, for its reacher; without the action repeat, so that the task stays the same.
TUNED_REACHER = {
    "num_envs": 2048,
    "unroll_length": 50,
    "batch_size": 256,
    "num_minibatches": 32,
    "num_updates_per_batch": 8,
    "normalize_observations": True,
    "reward_scaling": 5.0,
    "discounting": 0.95,
    "learning_rate": 3e-4,
    "entropy_cost": 1e-3,
}


def same_settings(cfg: Mapping[str, Any], num_envs: int) -> dict[str, Any]:
    """Translate RSL-RL's config to arguments of Brax's ``train``; what the config leaves out has RSL-RL's default."""
    from flax import linen as nn

    algorithm = cfg["algorithm"]
    mini_batches = algorithm.get("num_mini_batches", 4)
    return {
        "num_envs": num_envs,
        "unroll_length": cfg["num_steps_per_env"],
        "batch_size": num_envs // mini_batches,
        "num_minibatches": mini_batches,
        "num_updates_per_batch": algorithm.get("num_learning_epochs", 5),
        "normalize_observations": True,
        "learning_rate": algorithm.get("learning_rate", 1e-3),
        "learning_rate_schedule": "ADAPTIVE_KL",
        "desired_kl": algorithm.get("desired_kl", 0.01),
        "max_grad_norm": 1.0,
        "discounting": algorithm.get("gamma", 0.99),
        "gae_lambda": 0.95,
        "clipping_epsilon": 0.2,
        "entropy_cost": algorithm.get("entropy_coef", 0.01),
        "network_factory": _networks(tuple(cfg["actor"]["hidden_dims"]), nn.elu),
    }


def tuned_settings(env_name: str) -> dict[str, Any]:
    """Return the settings that Brax's users start from: MuJoCo Playground's, or those of Brax's training notebook."""
    suite, _, name = env_name.partition("/")
    if suite == "brax":
        return {"reacher": TUNED_REACHER}[name]
    from mujoco_playground.config import dm_control_suite_params

    tuned = dict(dm_control_suite_params.brax_ppo_config(name))
    lengths = ("num_timesteps", "num_evals", "num_resets_per_eval", "episode_length")
    return {key: value for key, value in tuned.items() if key not in lengths}


def train(env: Any, settings: Mapping[str, Any], *, interval: int, on_interval: Callable[..., None], seed: int) -> None:
    """Train without evaluations, and without an end: ``on_interval`` ends it by an exception.

    Args:
        env: an environment of rsl_jax around Brax's or Playground's; Brax's own wrappers batch and reset it here.
        settings: arguments of Brax's ``train``.
        interval: iterations between two calls of ``on_interval``.
        on_interval: called with the number of steps, ``make_policy`` and parameters, first of all before training.
        seed: of everything that is random.
    """
    import jax
    import jax.numpy as jnp

    # brax 0.14.2 calls jax.device_put_replicated, which jax 0.10 no longer has: a leading axis with an entry a device.
    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = lambda tree, devices: jax.tree.map(lambda x: jnp.stack([x] * len(devices)), tree)

    from brax.envs import training
    from brax.training.agents.ppo.train import train as brax_train
    from mujoco_playground import MjxEnv, wrapper

    robot = env.single_env.env
    steps = settings["batch_size"] * settings["num_minibatches"] * settings["unroll_length"]
    brax_train(
        robot,
        wrap_env_fn=wrapper.wrap_for_brax_training if isinstance(robot, MjxEnv) else training.wrap,
        episode_length=env.max_episode_length,
        num_timesteps=steps * interval * 1000,
        num_evals=1001,
        run_evals=False,
        policy_params_fn=on_interval,
        seed=seed,
        **settings,
    )


def _networks(sizes: tuple[int, ...], activation: Callable[[Any], Any]) -> Callable[..., Any]:
    from brax.training.agents.ppo.networks import make_ppo_networks

    def networks(*args: Any, **kwargs: Any) -> Any:
        return make_ppo_networks(
            *args, policy_hidden_layer_sizes=sizes, value_hidden_layer_sizes=sizes, activation=activation, **kwargs
        )

    return networks
