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
"""Presets that Playground's parameters are read for: RSL-RL's where there are any, else Brax's; RSL-RL's; Brax's."""

NUM_ENVS = 4096
"""Environments of Playground's own training by RSL-RL (``learning/train_rsl_rl.py``); its parameters do not say."""

PLACEHOLDER = 100_000
"""Iterations in RSL-RL's parameters where nobody has tuned them; then as many steps are taken as by Brax's."""

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
"""Of ``brax.training.agents.ppo.train.train``, for what Playground's parameters leave out."""

BRAX_NETWORKS: Mapping[str, Any] = {
    "policy_hidden_layer_sizes": (32,) * 4,
    "value_hidden_layer_sizes": (256,) * 5,
    "policy_obs_key": "state",
    "value_obs_key": "state",
}
"""Of ``brax.training.agents.ppo.networks.make_ppo_networks``."""

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
"""Brax's settings that have a counterpart. Any other that is given is named in the line that a run begins with."""

ALWAYS_ANOTHER = "actions are not squashed by tanh (they are clipped), advantages are computed once a rollout"
"""What Brax's PPO always does otherwise."""

NO_LIMIT = 1e9
"""Of the gradients' norm, where Brax clips none."""


def settings_for(env: str, preset: str | None = None) -> RunSettings:
    """What a run starts from: the named preset, else the environment's own, else what Playground tuned, else a default.

    Raises:
        CommandError: if there is no such preset.
        ValueError: if Playground has no such environment.
        ImportError: if Playground is asked and not installed.
    """
    own = named_preset(env)
    if preset in TUNED:
        return tuned_settings(env, preset)
    if preset is not None:
        named = named_preset(preset)
        if named is None:
            raise CommandError(
                f"There is no preset '{preset}'. There are {', '.join(TUNED)} (of Playground's environments), default, "
                "those of the suites (gymnasium), and those of the environments that `rsl-jax envs` shows in bold, "
                "under their names."
            )
        return named
    if own is None and env.startswith(f"{SUITE}/"):
        return tuned_settings(env, SUITE)
    return preset_for(env)


def tuned_settings(env: str, preset: str) -> RunSettings:
    """Settings out of Playground's parameters for one of its environments.

    Args:
        env: ``playground/NAME``.
        preset: one of :data:`TUNED`.

    Raises:
        CommandError: if this is no environment of Playground's, or there are no such parameters for it.
    """
    suite, _, name = env.partition("/")
    if suite != SUITE:
        raise CommandError(
            f"The preset '{preset}' is of MuJoCo Playground's parameters, which there are for playground/NAME; got "
            f"'{env}'."
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
    """Read ``rsl_rl_config``, which is a config of RSL-RL's third version.

    Args:
        given: the parameters.
        brax: those for Brax's PPO, which know the observation groups and how long to train.
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
    """Translate ``brax_ppo_config``.

    Args:
        given: the parameters.
        action_repeat: what the environment's own config says.
        length: ``episode_length`` that the environment's own config says.
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
        # Brax halves the squared error once more.
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
    """A Gaussian whose spread depends on the state, as Brax's, from ``softplus(0) + 0.001`` on.

    Brax's is squashed by tanh, which is why its entropy has a greatest value; near a standard deviation of 1 it is as
    wide as the range of actions. Here that is the limit which keeps the entropy bonus from widening it for ever.
    """
    return {
        "class_name": "HeteroscedasticGaussianDistribution",
        "init_std": round(math.log(2) + 0.001, 3),
        "std_range": [0.001, 1.0],
        "std_type": "log",
    }


def _obs_groups(p: Mapping[str, Any]) -> dict[str, list[str]]:
    """Groups of actor and critic where they differ; else there may be a single group, of another name."""
    networks = {**BRAX_NETWORKS, **p.get("network_factory", {})}
    actor, critic = networks["policy_obs_key"], networks["value_obs_key"]
    return {} if actor == critic else {"actor": [actor], "critic": [critic]}


def _left_out(given: Mapping[str, Any]) -> str:
    """The settings without a counterpart, on one line; those at which they change nothing are no loss."""
    lost = {key: value for key, value in given.items() if key not in TRANSLATED}
    lost = {key: value for key, value in lost.items() if value != BRAX_DEFAULTS.get(key, not value)}
    names = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in lost.items()]
    return f"; without counterpart: {', '.join(names) or 'none'}; {ALWAYS_ANOTHER}"


def _parameters(name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any]]:
    """Playground's parameters for RSL-RL and for Brax's PPO, where there are any, and the environment's own config."""
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
    raise CommandError(f"MuJoCo Playground has no parameters of '{env}' for {learner}. Leave --preset out.")


def _rounded_up(steps: float, steps_an_iteration: int) -> int:
    return math.ceil(steps / steps_an_iteration)
