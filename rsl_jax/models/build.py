"""Construction of models from config sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsl_jax.config import arguments_of, section_type
from rsl_jax.config.sections import at
from rsl_jax.distributions import Distribution
from rsl_jax.registry import resolve_part
from rsl_jax.types import Spec


def build_model(
    cfg: Any, spec: Spec, *, obs_set: str, obs_groups: Mapping[str, tuple[str, ...]], output_dim: int
) -> Any:
    """Build the model of an observation set.

    Args:
        cfg: the model's section of the config.
        spec: the environment.
        obs_set: name of the observation set (actor, critic, ...).
        obs_groups: resolved groups of every set.
        output_dim: size of the model's output.

    Returns:
        a linen module with the methods of :class:`rsl_jax.models.MLPModel`.

    Raises:
        ValueError: if the model does not support one of its groups, or its distribution is not over the environment's
            actions.
    """
    kwargs = arguments_of(cfg)
    distribution_cfg = kwargs.pop("distribution_cfg", None)
    model_class = resolve_part(cfg.class_name, "model")
    groups = obs_groups[obs_set]
    if hasattr(model_class, "check"):
        model_class.check(obs_set, spec.observations, groups, **kwargs)
    with at(f"{obs_set}.distribution_cfg"):
        distribution = build_distribution(distribution_cfg, output_dim) if distribution_cfg is not None else None
    if distribution is not None and distribution.discrete != spec.discrete:
        wanted = (
            f"one of {spec.num_actions} discrete actions"
            if spec.discrete
            else f"a vector of {spec.num_actions} numbers"
        )
        raise ValueError(
            f"An action of this environment is {wanted}, which is not what {obs_set}.distribution_cfg "
            f"({distribution_cfg.class_name}) gives. Use {{'class_name': '{_fitting_distribution(spec)}'}}."
        )
    return model_class(
        obs_shapes={group: tuple(spec.observations[group]) for group in groups},
        obs_groups=tuple(groups),
        output_dim=output_dim,
        distribution=distribution,
        **kwargs,
    )


def build_policy(cfg: Any, spec: Spec, *, obs_set: str, obs_groups: Mapping[str, tuple[str, ...]]) -> Any:
    """Build a model that samples actions; without a distribution it gets the one that the environment needs.

    Args:
        cfg: the model's section of the config.
        spec: the environment.
        obs_set: name of the observation set (actor, ...).
        obs_groups: resolved groups of every set.

    Returns:
        a linen module with the methods of :class:`rsl_jax.models.MLPModel` and a distribution.

    Raises:
        ValueError: as :func:`build_model` does.
    """
    model = build_model(cfg, spec, obs_set=obs_set, obs_groups=obs_groups, output_dim=spec.num_actions)
    if model.distribution is not None:
        return model
    section = section_type("distribution", _fitting_distribution(spec))()
    return model.clone(distribution=build_distribution(section, spec.num_actions))


def build_distribution(cfg: Any, output_dim: int) -> Distribution:
    """Build a distribution over ``output_dim`` actions from its section of the config.

    Raises:
        TypeError: if what was built is not a distribution.
    """
    built = resolve_part(cfg.class_name, "distribution")(output_dim, **arguments_of(cfg))
    if not isinstance(built, Distribution):
        raise TypeError(
            f"{cfg.class_name!r} returned a {type(built).__name__}; it must return a "
            "rsl_jax.distributions.Distribution."
        )
    return built


def _fitting_distribution(spec: Spec) -> str:
    return "CategoricalDistribution" if spec.discrete else "GaussianDistribution"
