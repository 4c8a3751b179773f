"""What must agree between a recording and our replay of it; a failing check names the array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.config import RunnerConfig
from rsl_jax.extensions.rnd import EXTRINSIC, INTRINSIC, scheduled_weight
from rsl_jax.interop import params_from_state_dict

from .cases import NUM_STEPS, STEP_DT, Case
from .comparison import Arrays, Replay, assert_close, assert_trees_close, before_batch_norm, moments_of, section, unpack

SMALLEST_NORMS = {"losses/surrogate": 1e-2, "kl": 1e-4}
"""Means of terms of size 1 that cancel, down to nothing but rounding where a policy has not moved yet."""

Check = Callable[[Case, Arrays, str, list[Replay]], None]


def check_actions(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Forward pass of the actor: distribution parameters, and log-probabilities of the actions."""
    for prefix, rollout, replay in pairs(recorded, replays):
        assert_close(replay.step.log_probs, rollout["log_probs"], dtype, f"{prefix}: log-probabilities")
        for index, param in enumerate(replay.step.distribution_params):
            expected = rollout[f"distribution/{index}"]
            assert_close(param, expected, dtype, f"{prefix}: distribution parameter {index}")


def check_hidden_states(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Hidden states before each step, of recurrent models only."""
    for prefix, rollout, replay in pairs(recorded, replays):
        expected = section(rollout, "hidden")
        ours = {
            f"{model}/{index}": np.stack(states, axis=1)
            for model, layers in dict(replay.hidden).items()
            for index, states in enumerate(zip(*layers, strict=True))
        }
        assert set(ours) == set(expected), f"{prefix}: hidden states {set(ours)}, the reference has {set(expected)}"
        for name, states in expected.items():
            assert_close(ours[name], states, dtype, f"{prefix}: hidden states {name}")


def check_curiosity(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Intrinsic rewards with their normalisers and weights; after the update predictor and normalisers."""
    for prefix, rollout, replay in pairs(recorded, replays):
        expected = section(rollout, "curiosity")
        assert bool(expected) == (INTRINSIC in replay.rewards)
        if not expected:
            continue
        assert_close(replay.rewards[INTRINSIC], expected["rewards"], dtype, f"{prefix}: intrinsic rewards")
        assert_close(replay.rewards[EXTRINSIC], rollout["rewards"], dtype, f"{prefix}: extrinsic rewards")
        assert_close(replay.metrics["Rnd/weight"], expected["weights"][-1], dtype, f"{prefix}: reported weight")
        section_of_config: Any = RunnerConfig.from_dict(case.train_cfg).algorithm
        rnd_cfg, after = section_of_config.rnd_cfg, int(replay.state.extensions["rnd"].steps)
        steps = jnp.arange(after - NUM_STEPS, after) + 1
        weights = scheduled_weight(rnd_cfg.weight * STEP_DT, rnd_cfg.weight_schedule, steps)
        assert_close(weights, expected["weights"], dtype, f"{prefix}: weights")
        state = replay.state.extensions["rnd"]
        parts = {"predictor": state.predictor, "normalizers": state.normalizers}
        assert_trees_close(
            parts,
            params_from_state_dict(section(rollout, "rnd"), parts),
            dtype,
            f"{prefix}: curiosity after the update",
        )


def check_mirror_images(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """The first mini-batch with its mirror images, where they are learned from."""
    for prefix, rollout, replay in pairs(recorded, replays):
        for name, expected in section(rollout, "augmented").items():
            ours: Any = replay.samples
            for part in name.split("/"):
                ours = ours[part] if isinstance(ours, dict) else getattr(ours, part)
            assert_close(ours[0], expected, dtype, f"{prefix}: {name} with mirror images")


def check_returns(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Forward pass of the critic, time-outs, returns and advantages."""
    for prefix, rollout, replay in pairs(recorded, replays):
        for name in ("values", "returns", "advantages"):
            assert_close(getattr(replay.batch, name), rollout[name], dtype, f"{prefix}: {name}")


def check_losses(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Losses, KL and gradient norms of every mini-batch, and their means as they are reported."""
    for prefix, rollout, replay in pairs(recorded, replays):
        logs = replay.metrics["mini_batches"]
        logs = {**logs, **{f"losses/{name}": values for name, values in logs["losses"].items()}}
        losses_of = [name.removeprefix("losses/") for name in rollout if name.startswith("losses/")]
        assert set(losses_of) == set(replay.metrics["mini_batches"]["losses"])
        names = {f"losses/{name}": f"losses/{name}" for name in losses_of}
        names |= {f"norm/{name}": f"gradient_norm/{name}" for name in ("actor", "critic")}
        for theirs, ours in {**names, "kl": "kl"}.items():
            norm = max(np.linalg.norm(rollout[theirs]), SMALLEST_NORMS.get(theirs, 0.0))
            assert_close(np.ravel(logs[ours]), rollout[theirs], dtype, f"{prefix}: {theirs}", norm=norm)
        for name in losses_of:
            losses = rollout[f"losses/{name}"]
            mean, rms = np.mean(losses, dtype=losses.dtype), np.sqrt(np.mean(np.square(losses)))
            # Losses of both signs cancel, so that their mean may be as small as it likes.
            norm = max(rms, SMALLEST_NORMS.get(f"losses/{name}", 0.0))
            assert_close(replay.metrics[f"Loss/{name}"], mean, dtype, f"{prefix}: reported {name}", norm=norm)


def check_learning_rates(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """The rate that every step of the optimiser used, and the one that stays in force."""
    for prefix, rollout, replay in pairs(recorded, replays):
        rates = rollout["learning_rate"]
        assert_close(
            np.ravel(replay.metrics["mini_batches"]["learning_rate"]), rates, dtype, f"{prefix}: learning rates"
        )
        assert_close(replay.state.learning_rate, rates[-1], dtype, f"{prefix}: learning rate in force")


def check_gradients(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Gradients of the first mini-batch, before and after clipping, tensor by tensor."""
    for prefix, rollout, replay in pairs(recorded, replays):
        logs = replay.metrics["mini_batches"]
        for model, clipped in replay.clipped.items():
            expected = unpack(rollout[f"clipped/{model}"], model, recorded, clipped)
            rounding = before_batch_norm(recorded, model)
            assert_trees_close(clipped, expected, dtype, f"{prefix}: clipped gradient of {model}", rounding=rounding)
            if case.train_cfg["algorithm"].get("share_cnn_encoders"):
                continue  # what is shared was clipped with both models
            # Clipping keeps the direction, and the norm before it is known.
            factor = logs[f"gradient_norm/{model}"][0, 0] / norm_of(clipped)
            expected = unpack(rollout[f"gradient/{model}"], model, recorded, clipped)
            gradient = jax.tree.map(lambda x, factor=factor: x * factor, clipped)
            assert_trees_close(gradient, expected, dtype, f"{prefix}: gradient of {model}", rounding=rounding)


def check_updated_state(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """Parameters and normalisers after the whole update, tensor by tensor."""
    for prefix, rollout, replay in pairs(recorded, replays):
        for model, params in replay.params.items():
            expected = unpack(rollout[f"after/{model}"], model, recorded, params)
            assert_trees_close(params, expected, dtype, f"{prefix}: updated {model}")
            moments = section(rollout, f"normalizer/{model}")
            assert bool(moments) == ("normalizer" in replay.state.statistics[model])
            if moments:
                normalizer = replay.state.statistics[model]["normalizer"]["obs"]
                assert_close(normalizer.mean, moments["_mean"][0], dtype, f"{prefix}: mean of {model}'s normaliser")
                assert_close(normalizer.var, moments["_var"][0], dtype, f"{prefix}: variance of {model}'s normaliser")
                assert int(normalizer.count) == int(moments["count"])
            collections = replay.state.statistics[model]
            expected = moments_of(collections, section(rollout, f"moments/{model}"))
            actual = {name: collections[name] for name in expected}
            assert_trees_close(actual, expected, dtype, f"{prefix}: running moments of {model}")


def norm_of(tree: Any) -> np.floating:
    """Norm of all leaves together, in their own type."""
    vector = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return vector.dtype.type(np.linalg.norm(vector))


CHECKS: tuple[Check, ...] = (
    check_actions,
    check_hidden_states,
    check_curiosity,
    check_mirror_images,
    check_returns,
    check_losses,
    check_learning_rates,
    check_gradients,
    check_updated_state,
)


def assert_agreement(case: Case, recorded: Arrays, dtype: str, replays: list[Replay]) -> None:
    """All checks; what fails is told together, because the first difference often explains the later ones.

    Raises:
        AssertionError: with a line for each check that failed.
    """
    failures = []
    for check in CHECKS:
        try:
            check(case, recorded, dtype, replays)
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def pairs(recorded: Arrays, replays: list[Replay]) -> list[tuple[str, Arrays, Replay]]:
    """Name and recording of every rollout, with our replay of it."""
    names = [f"rollout_{index}" for index in range(len(replays))]
    return [(name, section(recorded, name), replay) for name, replay in zip(names, replays, strict=True)]
