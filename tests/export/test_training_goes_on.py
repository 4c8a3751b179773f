"""Exporting in the middle of training does not change the training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.algorithms import PPO
from rsl_jax.config import RunnerConfig
from rsl_jax.export import export_jax, export_onnx, load_jax
from rsl_jax.types import Rollout, Spec

N, T, D, A = 4, 4, 5, 2


def algorithm_and_actor():
    cfg = RunnerConfig(obs_groups={"actor": ("policy",), "critic": ("policy",)})
    cfg = dataclasses.replace(
        cfg,
        actor=dataclasses.replace(cfg.actor, obs_normalization=True, hidden_dims=(6,)),
        critic=dataclasses.replace(cfg.critic, hidden_dims=(6,)),
        algorithm=dataclasses.replace(cfg.algorithm, num_learning_epochs=1, num_mini_batches=2),
    )
    spec = Spec({"policy": (D,)}, A, N)
    algorithm = PPO.build(cfg, spec)
    actor, _ = algorithm.policy_model(algorithm.init(jax.random.key(0)))
    return algorithm, actor


def rollout_of(state, algorithm, seen, rewards, key):
    observations = {"policy": seen}
    _, step = jax.vmap(lambda o: algorithm.act(state, (), o, key))(observations)
    return Rollout(
        observations=observations,
        actions=step.actions,
        log_probs=step.log_probs,
        distribution_params=step.distribution_params,
        rewards=rewards,
        dones=jnp.zeros((T, N), bool),
        time_outs=jnp.zeros((T, N), bool),
        carry=(),
        last_observations={"policy": observations["policy"][0]},
    )


@pytest.mark.usefixtures("first_export")
def test_same_parameters_and_no_compilation(tmp_path):
    algorithm, actor = algorithm_and_actor()
    traces = []

    @jax.jit
    def iteration(state, seen, rewards, key):
        traces.append(key)
        return algorithm.update(state, rollout_of(state, algorithm, seen, rewards, key), key)[0]

    init = jax.jit(algorithm.init)

    def train(between):
        state, generator = init(jax.random.key(0)), np.random.default_rng(1)
        for seed in range(3):
            seen, rewards = (generator.normal(3, 1, shape).astype(np.float32) for shape in ((T, N, D), (T, N)))
            state = iteration(state, seen, rewards, jax.random.key(seed))
            between({"params": state.params["actor"], **state.statistics["actor"]})
        return state

    undisturbed = train(lambda variables: None)
    exports = []

    def export(variables):
        exports.append(variables)
        if len(exports) < 3:
            export_onnx(actor, variables, tmp_path / "policy.onnx")
        else:
            export_jax(actor, variables, tmp_path / "policy.jaxpolicy")

    disturbed = train(export)
    assert len(exports) == 3
    assert len(traces) == 1
    jax.tree.map(np.testing.assert_array_equal, disturbed, undisturbed)

    # What is traced after the exports works as well, forwards and backwards, and what was exported is what was learned.
    observations = {"policy": jnp.ones((3, D))}

    def loss(params):
        actions, _ = actor.apply({"params": params, **disturbed.statistics["actor"]}, observations, (), method="mode")
        return jnp.sum(jnp.square(actions)), actions

    _, actions = jax.jit(loss)(disturbed.params["actor"])
    gradients = jax.jit(jax.grad(loss, has_aux=True))(disturbed.params["actor"])[0]
    assert all(np.any(gradient != 0) for gradient in jax.tree.leaves(gradients["mlp"]))
    np.testing.assert_allclose(load_jax(tmp_path / "policy.jaxpolicy")(observations)[0], actions, rtol=1e-5, atol=1e-6)
