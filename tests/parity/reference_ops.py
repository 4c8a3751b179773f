"""Record rsl-rl-lib's building blocks one by one, to locate a difference in a whole update."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rsl_rl.modules import EmpiricalNormalization
from rsl_rl.modules import distribution as distributions
from rsl_rl.modules.distribution import GaussianDistribution
from rsl_rl.utils import resolve_nn_activation, resolve_optimizer

from .cases import (
    ACTIVATIONS,
    DISTRIBUTIONS,
    MAX_NORMS,
    NORMALIZER_BATCHES,
    NORMALIZER_UNTIL,
    NUM_ACTIONS,
    OPTIMIZERS,
    STD_RANGE,
    STD_TYPES,
)
from .reference import Arrays, default_dtype, prefixed, to_array, to_tensor, vector


def record_ops(dtype: str, seed: int = 0) -> Arrays:
    """All building blocks on the same random inputs.

    Returns:
        by name: what the functions below give, under ``activation``, ``optimizer``, ``normalizer``, ``clip`` and
        ``gaussian``.
    """
    generator = np.random.default_rng(seed)
    with default_dtype(dtype):
        return {
            **prefixed("activation", record_activations(generator)),
            **prefixed("optimizer", record_optimizers(generator)),
            **prefixed("normalizer", record_normalizer(generator)),
            **prefixed("clip", record_clipping(generator)),
            **prefixed("gaussian", record_gaussian(generator)),
        }


def record_activations(generator: np.random.Generator) -> Arrays:
    """``x [K]``, from the far tails to zero, and of each activation ``NAME/y`` and its derivative ``NAME/dy``."""
    x = np.concatenate([generator.normal(scale=3.0, size=40), [-60.0, -20.0, -1e-4, 0.0, 1e-4, 20.0, 60.0]])
    arrays = {"x": to_array(to_tensor(x))}
    for name in ACTIVATIONS:
        leaf = to_tensor(x).requires_grad_()
        y = resolve_nn_activation(name)(leaf)
        y.sum().backward()
        arrays |= {f"{name}/y": to_array(y), f"{name}/dy": to_array(leaf.grad)}
    return arrays


def record_optimizers(generator: np.random.Generator) -> Arrays:
    """``start [P]``, ``gradients [K, P]``, changing ``learning_rates [K]``, and of each optimiser ``NAME [K, P]``."""
    start, gradients = generator.normal(size=7), generator.normal(size=(6, 7)) * np.logspace(-4, 1, 7)
    rates = np.array([1e-2, 1.5e-2, 1.5e-2, 1e-3, 1e-5, 2e-3])
    arrays = {"start": start, "gradients": gradients, "learning_rates": rates}
    arrays = {name: to_array(to_tensor(array)) for name, array in arrays.items()}
    for name in OPTIMIZERS:
        parameter = torch.nn.Parameter(to_tensor(start))
        optimizer = resolve_optimizer(name)([parameter], lr=1.0)
        steps = []
        for gradient, rate in zip(gradients, rates, strict=True):
            optimizer.param_groups[0]["lr"] = float(rate)
            parameter.grad = to_tensor(gradient)
            optimizer.step()
            steps.append(to_array(parameter))
        arrays[name] = np.stack(steps)
    return arrays


def record_normalizer(generator: np.random.Generator) -> Arrays:
    """Batches of several sizes, the moments after each, and the last one normalised; the end comes with ``until``."""
    normalizer = EmpiricalNormalization(4, until=NORMALIZER_UNTIL)
    normalizer.train()
    arrays: Arrays = {}
    for index, size in enumerate(NORMALIZER_BATCHES):
        batch = to_tensor(generator.normal([0.0, 10.0, -3.0, 1e-3], [1.0, 2.0, 5.0, 1e-4], size=(size, 4)))
        normalizer.update(batch)
        arrays |= {
            f"{index}/batch": to_array(batch),
            f"{index}/mean": to_array(normalizer._mean[0]),
            f"{index}/var": to_array(normalizer._var[0]),
            f"{index}/count": to_array(normalizer.count),
            f"{index}/normalized": to_array(normalizer(batch)),
        }
    return arrays


def record_clipping(generator: np.random.Generator) -> Arrays:
    """Two gradients, and for each largest norm what ``clip_grad_norm_`` leaves of them (in a row) and their norm."""
    gradients = [generator.normal(size=(3, 2)), generator.normal(size=5)]
    arrays = {"0": to_array(to_tensor(gradients[0])), "1": to_array(to_tensor(gradients[1]))}
    for index, max_norm in enumerate(MAX_NORMS):
        parameters = [torch.nn.Parameter(torch.zeros(gradient.shape)) for gradient in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = to_tensor(gradient)
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        arrays[f"clipped/{index}"] = vector(parameter.grad for parameter in parameters)
        arrays["norm"] = to_array(norm)
    return arrays


def record_gaussian(generator: np.random.Generator) -> Arrays:
    """Log-probabilities, entropies, KL and gradients, with standard deviations below, at, within and above the range.

    Returns:
        ``mean``, ``new_mean``, ``actions`` ``[K, A]``, ``std``, ``new_std`` ``[A]`` (as scalars, before the clamp), and
        for each kind of standard deviation ``KIND/log_prob``, ``/entropy``, ``/kl`` ``[K]`` and the gradient of the sum
        of the former two with respect to the learnt parameter, ``KIND/gradient`` ``[A]``.
    """
    low, high = STD_RANGE
    std = np.array([low / 2, low, (low + high) / 2, high, 2 * high])
    inputs = {name: generator.normal(size=(9, len(std))) for name in ("mean", "new_mean", "actions")}
    inputs |= {"std": std, "new_std": generator.uniform(low, high, len(std))}
    arrays = {name: to_array(to_tensor(array)) for name, array in inputs.items()}
    for kind in STD_TYPES:
        distribution = GaussianDistribution(len(std), std_range=STD_RANGE, std_type=kind)
        (parameter,) = distribution.parameters()
        set_std(parameter, inputs["new_std"], kind)
        distribution.update(to_tensor(inputs["new_mean"]))
        new_params = tuple(param.detach() for param in distribution.params)
        set_std(parameter, std, kind)
        distribution.update(to_tensor(inputs["mean"]))
        log_prob, entropy = distribution.log_prob(to_tensor(inputs["actions"])), distribution.entropy
        kl = distribution.kl_divergence(distribution.params, new_params)
        (log_prob.sum() + entropy.sum()).backward()
        results = {"log_prob": log_prob, "entropy": entropy, "kl": kl, "gradient": parameter.grad}
        arrays |= prefixed(kind, {name: to_array(result) for name, result in results.items()})
    return arrays


def set_std(parameter: torch.nn.Parameter, std: np.ndarray, kind: str) -> None:
    """Gives a learnable standard deviation its value, or the logarithm of it."""
    with torch.no_grad():
        parameter.copy_(to_tensor(std if kind == "scalar" else np.log(std)))


def record_distributions(dtype: str, seed: int = 0) -> Arrays:
    """All of :data:`DISTRIBUTIONS` on the same random outputs of a network.

    Returns:
        ``output``, ``new_output`` ``[K, 2, A]``, and for each distribution ``NAME/actions [K, A]``, of which the first
        and the last row lie on the bounds of the action range, ``/log_prob``, ``/entropy``, ``/kl``
        ``[K]``, ``/mode``, ``/std`` ``[K, A]`` and ``/gradient [K, 2, A]``, of the sum of log-probabilities and
        entropies with respect to the output.
    """
    generator = np.random.default_rng(seed)
    shape = (12, 2, NUM_ACTIONS)
    outputs = {name: generator.normal(scale=2.0, size=shape) for name in ("output", "new_output")}
    unit_actions = generator.uniform(size=(shape[0], NUM_ACTIONS))
    unit_actions[0], unit_actions[-1] = 0.0, 1.0
    with default_dtype(dtype):
        arrays = {name: to_array(to_tensor(array)) for name, array in outputs.items()}
        for name, cfg in DISTRIBUTIONS.items():
            low, high = cfg.get("action_range", (-1.0, 1.0))
            recorded = record_distribution(cfg, actions=low + (high - low) * unit_actions, **outputs)
            arrays |= prefixed(name, recorded)
    return arrays


def record_distribution(cfg: dict[str, Any], output: np.ndarray, new_output: np.ndarray, actions: np.ndarray) -> Arrays:
    """What a distribution makes of the outputs of a network; see :func:`record_distributions`."""
    arguments = {name: value for name, value in cfg.items() if name != "class_name"}
    distribution = getattr(distributions, cfg["class_name"])(NUM_ACTIONS, **arguments)
    distribution.update(to_tensor(new_output))
    new_params = distribution.params
    leaf = to_tensor(output).requires_grad_()
    distribution.update(leaf)
    log_prob, entropy = distribution.log_prob(to_tensor(actions)), distribution.entropy
    (log_prob.sum() + entropy.sum()).backward()
    results = {
        "actions": to_tensor(actions),
        "log_prob": log_prob,
        "entropy": entropy,
        "kl": distribution.kl_divergence(distribution.params, new_params),
        "mode": distribution.deterministic_output(leaf),
        "std": distribution.std,
        "gradient": leaf.grad,
    }
    return {name: to_array(result) for name, result in results.items()}
