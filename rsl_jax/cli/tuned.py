"""MuJoCo Playground's own tuned parameters as settings of a run; ``docs/environments.md`` has the rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rsl_jax.cli.output import CommandError
from rsl_jax.cli.settings import RunSettings, named_preset, preset_for
from rsl_jax.config import BaseRunnerConfig
from rsl_jax.config.migration import migrate
from rsl_jax.registry import lookup

SUITE = "playground"

TUNED = ("playground", "rsl_rl", "brax")
"""Presets from Playground's parameters: those for RSL-RL if there are any, else Brax's; RSL-RL's; Brax's."""

NUM_ENVS = 4096
"""Number of environments in Playground's RSL-RL script (``learning/train_rsl_rl.py``); the parameters lack it."""

PLACEHOLDER = 100_000
"""Number of iterations in untuned parameters for RSL-RL; the steps of Brax's parameters are used instead."""

BRAX_DEFAULTS: Mapping[str, Any] = {
    "action_repeat": 1,
    "bootstrap_on_timeout": False,
    "clipping_epsilon": 0.3,
    "clipping_epsilon_value": None,
    "desired_kl": 0.01,
    "gae_lambda": 0.95,
    "learning_rate_schedule": None,
    "max_grad_norm": None,
    "normalize_advantage": True,
    "normalize_observations": False,
    "reward_scaling": 1.0,
    "vf_loss_coefficient": 0.5,
}
"""Defaults of ``brax.training.agents.ppo.train.train``, for keys that Playground's parameters omit."""

BRAX_NETWORKS: Mapping[str, Any] = {
    "policy_hidden_layer_sizes": (32,) * 4,
    "value_hidden_layer_sizes": (256,) * 5,
    "policy_obs_key": "state",
    "value_obs_key": "state",
}
"""Defaults of ``brax.training.agents.ppo.networks.make_ppo_networks``."""

TRANSLATED = frozenset(
    {
        "action_repeat",
        "batch_size",
        "clipping_epsilon",
        "clipping_epsilon_value",
        "desired_kl",
        "discounting",
        "entropy_cost",
        "episode_length",
        "gae_lambda",
        "learning_rate",
        "learning_rate_schedule",
        "max_grad_norm",
        "network_factory",
        "normalize_observations",
        "num_envs",
        "num_minibatches",
        "num_timesteps",
        "num_updates_per_batch",
        "unroll_length",
        "vf_loss_coefficient",
    }
)
"""Brax's settings that have a counterpart. Others are listed at the start of a run."""

EVALUATION = frozenset({"num_evals", "num_eval_envs", "deterministic_eval"})
"""Brax's settings of evaluations, which do not affect training; ``--eval-interval`` switches evaluations on."""

ALWAYS_ANOTHER = "actions are not squashed by tanh (they are clipped), advantages are computed once a rollout"
"""Differences from Brax's PPO that do not depend on settings."""

NO_LIMIT = 1e9
"""Limit of the gradient norm if Brax does not clip gradients."""


def settings_for(env: str, preset: str | None = None) -> RunSettings:
    """Return the named preset, else the environment's, else Playground's tuned parameters, else a default.

    Raises:
        CommandError: if there is no such preset.
        ValueError: if Playground has no such environment.
        ImportError: if Playground is needed and not installed.
    """
    own = named_preset(env)
    if preset in TUNED:
        return tuned_settings(env, preset)
    if preset is not None:
        named = named_preset(preset)
        if named is None:
            raise CommandError(
                f"There is no preset '{preset}'. Presets: {', '.join(TUNED)} (for Playground's environments), default, "
                "those of suites (gymnasium), and those of the environments that `rsl-jax envs` shows in bold, by "
                "their names."
            )
        return named
    if own is None and env.startswith(f"{SUITE}/"):
        return tuned_settings(env, SUITE)
    return preset_for(env)


def tuned_settings(env: str, preset: str) -> RunSettings:
    """Convert Playground's parameters for one of its environments to settings.

    Args:
        env: ``playground/NAME``.
        preset: one of :data:`TUNED`.

    Raises:
        CommandError: if this is not an environment of Playground, or there are no such parameters for it.
    """
    suite, _, name = env.partition("/")
    if suite != SUITE:
        raise CommandError(
            f"The preset '{preset}' is one of MuJoCo Playground's, which exist only for playground/NAME; got '{env}'."
        )
    rsl_rl, brax, default = _parameters(name)
    if preset == "brax" or (preset == SUITE and rsl_rl is None):
        if brax is None:
            return _without(env, preset, "Brax's PPO")
        return from_brax(brax, action_repeat=int(default.get("action_repeat", 1)), length=default.get("episode_length"))
    if rsl_rl is None:
        return _without(env, preset, "RSL-RL")
    return from_rsl_rl(rsl_rl, brax)


def from_rsl_rl(given: Mapping[str, Any], brax: Mapping[str, Any] | None) -> RunSettings:
    """Convert ``rsl_rl_config``, a config of RSL-RL 3.

    Args:
        given: the parameters.
        brax: those for Brax's PPO, which contain the observation groups and the number of steps.
    """
    taken = ("policy", "algorithm", "num_steps_per_env", "save_interval", "empirical_normalization")
    groups = {} if brax is None else _obs_groups(brax)
    runner, _ = migrate({**{key: given[key] for key in taken}, "obs_groups": groups})
    iterations = int(given["max_iterations"])
    if iterations >= PLACEHOLDER and brax is not None:
        iterations = _rounded_up(brax["num_timesteps"], NUM_ENVS * int(given["num_steps_per_env"]))
    return RunSettings(
        runner=BaseRunnerConfig.from_dict(runner),
        num_envs=NUM_ENVS,
        iterations=iterations,
        source="MuJoCo Playground's parameters for RSL-RL",
    )


def from_brax(given: Mapping[str, Any], *, action_repeat: int = 1, length: int | None = None) -> RunSettings:
    """Convert ``brax_ppo_config``.

    Args:
        given: the parameters.
        action_repeat: the value in the environment's config.
        length: ``episode_length`` in the environment's config.
    """
    p = {**BRAX_DEFAULTS, **given}
    networks = {**BRAX_NETWORKS, **p.get("network_factory", {})}
    num_envs, unroll = int(p["num_envs"]), int(p["unroll_length"])
    unrolls = int(p["batch_size"]) * int(p["num_minibatches"]) // num_envs
    repeat = int(p["action_repeat"])
    steps = unroll * unrolls
    env_kwargs: dict[str, Any] = {}
    if repeat != action_repeat:
        env_kwargs["config_overrides"] = {"action_repeat": repeat}
    if "episode_length" in p and p["episode_length"] != length:
        env_kwargs["max_episode_length"] = math.ceil(p["episode_length"] / repeat)
    return RunSettings(
        runner=BaseRunnerConfig.from_dict(
            {
                "num_steps_per_env": steps,
                "obs_groups": _obs_groups(p),
                "algorithm": _algorithm(p),
                "actor": {**_model(networks["policy_hidden_layer_sizes"], p), "distribution_cfg": _distribution()},
                "critic": _model(networks["value_hidden_layer_sizes"], p),
            }
        ),
        env_kwargs=env_kwargs,
        num_envs=num_envs,
        iterations=_rounded_up(p["num_timesteps"], num_envs * steps * repeat),
        source="MuJoCo Playground's parameters for Brax's PPO" + _left_out(given),
    )


def _algorithm(p: Mapping[str, Any]) -> dict[str, Any]:
    clips_values = p["clipping_epsilon_value"] is not None
    return {
        "class_name": "PPO",
        "learning_rate": float(p["learning_rate"]),
        "schedule": "adaptive" if p["learning_rate_schedule"] == "ADAPTIVE_KL" else "fixed",
        "desired_kl": float(p["desired_kl"]),
        "num_learning_epochs": int(p["num_updates_per_batch"]),
        "num_mini_batches": int(p["num_minibatches"]),
        "clip_param": float(p["clipping_epsilon"]),
        "use_clipped_value_loss": clips_values,
        # Brax multiplies the squared error by another 0.5.
        "value_loss_coef": 0.5 * float(p["vf_loss_coefficient"]),
        "entropy_coef": float(p["entropy_cost"]),
        "gamma": float(p["discounting"]),
        "lam": float(p["gae_lambda"]),
        "max_grad_norm": NO_LIMIT if p["max_grad_norm"] is None else float(p["max_grad_norm"]),
        "normalize_advantage_per_mini_batch": True,
    }


def _model(sizes: Any, p: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "class_name": "MLPModel",
        "hidden_dims": list(sizes),
        "activation": "swish",
        "obs_normalization": bool(p["normalize_observations"]),
    }


def _distribution() -> dict[str, Any]:
    """Return the section of a Gaussian with a state-dependent standard deviation, initially ``softplus(0) + 0.001``.

    Brax's is squashed by tanh, so its entropy is bounded; near a standard deviation of 1 it is as wide as the range of
    actions. Here this is the upper bound, without which the entropy bonus would widen the Gaussian indefinitely.
    """
    return {
        "class_name": "HeteroscedasticGaussianDistribution",
        "init_std": round(math.log(2) + 0.001, 3),
        "std_range": [0.001, 1.0],
        "std_type": "log",
    }


def _obs_groups(p: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups of actor and critic if they differ; otherwise there may be a single group of another name."""
    networks = {**BRAX_NETWORKS, **p.get("network_factory", {})}
    actor, critic = networks["policy_obs_key"], networks["value_obs_key"]
    return {} if actor == critic else {"actor": [actor], "critic": [critic]}


def _left_out(given: Mapping[str, Any]) -> str:
    """List the settings without a counterpart on one line, except those that have no effect."""
    lost = {key: value for key, value in given.items() if key not in TRANSLATED | EVALUATION}
    lost = {key: value for key, value in lost.items() if value != BRAX_DEFAULTS.get(key, not value)}
    names = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in lost.items()]
    return f"; without counterpart: {', '.join(names) or 'none'}; {ALWAYS_ANOTHER}"


def _parameters(name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any]]:
    """Return Playground's parameters for RSL-RL and for Brax's PPO (None if missing), and the environment's config."""
    from rsl_jax.env.extras import import_extra, without_notices

    with without_notices():
        registry = import_extra("mujoco_playground", SUITE).registry
        lookup(name, dict.fromkeys(registry.ALL_ENVS), "Playground environment")
        suites = ("locomotion", "manipulation", "dm_control_suite")
        suite = next(suite for suite in suites if name in getattr(registry, suite).ALL_ENVS)
        parameters = import_extra(f"mujoco_playground.config.{suite}_params", SUITE)
        found = []
        for function in ("rsl_rl_config", "brax_ppo_config"):
            try:
                found.append(getattr(parameters, function)(name).to_dict())
            except (AttributeError, ValueError):  # there is none for this suite; none for this environment
                found.append(None)
        return found[0], found[1], registry.get_default_config(name).to_dict()


def _without(env: str, preset: str, learner: str) -> RunSettings:
    if preset == SUITE:
        return preset_for(env)
    raise CommandError(f"MuJoCo Playground has no parameters for '{env}' with {learner}. Remove --preset.")


def _rounded_up(steps: float, steps_an_iteration: int) -> int:
    return math.ceil(steps / steps_an_iteration)
