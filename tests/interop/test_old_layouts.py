"""Checkpoints in the layouts of RSL-RL 1 to 4, made of plain PyTorch modules with their names."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.interop import read_rsl_rl_checkpoint
from rsl_jax.interop.layouts import OLD_UNTIL
from rsl_jax.ops.optimizers import apply_gradients, resolve_optimizer
from rsl_jax.training.train import build_algorithm
from rsl_jax.types import Spec, TrainState
from tests.parity.cases import train_cfg
from tests.parity.distillation.cases import train_cfg as distillation_cfg
from tests.parity.oracle import require_oracle

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)
from torch import Tensor, nn  # noqa: E402

ACTIONS = 3
SHAPES = {"policy": (5,), "privileged": (4,), "camera": (2, 6, 5)}
GROUPS = {"actor": ["policy"], "critic": ["policy", "privileged"]}
RATE = 0.004


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with an ELU between them."""
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ELU())][:-1])


class Memory(nn.Module):
    """What the old code calls a memory: an RNN under the name ``rnn``, one step at a time from zero."""

    def __init__(self, kind: type, size: int, layers: int) -> None:
        super().__init__()
        self.rnn = kind(size, 6, layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.unsqueeze(0))[0].squeeze(0)


class Normalizer(nn.Module):
    """Running moments as the old code keeps them."""

    def __init__(self, size: int, *, counted: bool = True) -> None:
        super().__init__()
        for name, value in {"mean": torch.randn(1, size), "var": torch.rand(1, size) + 0.5}.items():
            self.register_buffer(f"_{name}", value)
        self.register_buffer("_std", self._var.sqrt())
        if counted:
            self.register_buffer("count", torch.tensor(3 * 10**9))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self._mean) / (self._std + 1e-2)


class Old(NamedTuple):
    """An old run.

    Attributes:
        module: the policy class of that time.
        act: its deterministic actions for observations.
        cfg: today's config for it.
        beside: what was saved beside the module.
    """

    module: nn.Module
    act: Callable[[dict[str, Tensor]], Tensor]
    cfg: dict[str, Any]
    beside: dict[str, Any]


def policy_class(**parts: Any) -> nn.Module:
    module = nn.Module()
    for name, part in parts.items():
        setattr(module, name, part)
    return module


def seen(*groups: str) -> Callable[[dict[str, Tensor]], Tensor]:
    return lambda obs: torch.cat([obs[group] for group in groups], -1)


def version_1() -> Old:
    m = policy_class(std=nn.Parameter(torch.rand(ACTIONS)), actor=mlp(5, 16, 8, ACTIONS), critic=mlp(9, 12, 1))
    cfg = train_cfg(actor={"hidden_dims": [16, 8]}, critic={"hidden_dims": [12]}, obs_groups=GROUPS)
    return Old(m, lambda obs: m.actor(obs["policy"]), cfg, {})


def version_1_recurrent() -> Old:
    m = policy_class(
        std=nn.Parameter(torch.rand(ACTIONS)),
        actor=mlp(6, 8, ACTIONS),
        critic=mlp(6, 7, 1),
        memory_a=Memory(nn.LSTM, 5, 2),
        memory_c=Memory(nn.LSTM, 9, 2),
    )
    rnn = {"class_name": "RNNModel", "rnn_type": "lstm", "rnn_hidden_dim": 6, "rnn_num_layers": 2}
    actor, critic = {**rnn, "hidden_dims": [8]}, {**rnn, "hidden_dims": [7]}
    cfg = train_cfg(actor=actor, critic=critic, obs_groups=GROUPS)
    return Old(m, lambda obs: m.actor(m.memory_a(obs["policy"])), cfg, {})


def version_2(critic_key: str = "critic_obs_norm_state_dict", *, counted: bool = True) -> Old:
    m = policy_class(log_std=nn.Parameter(torch.randn(ACTIONS)), actor=mlp(5, 8, ACTIONS), critic=mlp(9, 7, 1))
    normalizer = Normalizer(5, counted=counted)
    beside = {"obs_norm_state_dict": normalizer.state_dict()}
    beside[critic_key] = Normalizer(9, counted=counted).state_dict()
    normalized = {"obs_normalization": True}
    cfg = train_cfg(
        actor={"hidden_dims": [8], **normalized},
        critic={"hidden_dims": [7], **normalized},
        distribution={"std_type": "log"},
        obs_groups=GROUPS,
    )
    return Old(m, lambda obs: m.actor(normalizer(obs["policy"])), cfg, beside)


def version_3() -> Old:
    """With images, and a standard deviation that depends on the state."""
    camera = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ELU(), nn.Flatten(1))
    m = policy_class(
        actor_cnns=nn.ModuleDict({"camera": camera}),
        actor=nn.Sequential(*mlp(5 + 36, 8, 2 * ACTIONS), nn.Unflatten(-1, (2, ACTIONS))),
        actor_obs_normalizer=Normalizer(5),
        critic=mlp(9, 7, 1),
        critic_obs_normalizer=Normalizer(9),
    )
    actor = {"class_name": "CNNModel", "cnn_cfg": {"output_channels": [3], "kernel_size": 3}}
    cfg = train_cfg(
        actor={"hidden_dims": [8], "obs_normalization": True, **actor},
        critic={"hidden_dims": [7], "obs_normalization": True},
        distribution={"class_name": "HeteroscedasticGaussianDistribution"},
        obs_groups={**GROUPS, "actor": ["policy", "camera"]},
    )

    def act(obs: dict[str, Tensor]) -> Tensor:
        latent = torch.cat([m.actor_obs_normalizer(obs["policy"]), camera(obs["camera"])], -1)
        return m.actor(latent)[:, 0]

    return Old(m, act, cfg, {})


def distillation_2() -> Old:
    m = policy_class(
        std=nn.Parameter(torch.rand(ACTIONS)),
        student=mlp(6, 8, ACTIONS),
        teacher=mlp(9, 7, ACTIONS),
        memory_s=Memory(nn.GRU, 5, 1),
    )
    normalizer = Normalizer(5)
    beside = {
        "obs_norm_state_dict": normalizer.state_dict(),
        "privileged_obs_norm_state_dict": Normalizer(9).state_dict(),
    }
    rnn = {"class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 6, "obs_normalization": True}
    cfg = distillation_cfg(student={**rnn, "hidden_dims": [8]}, teacher={"hidden_dims": [7], "obs_normalization": True})
    return Old(m, lambda obs: m.student(m.memory_s(normalizer(obs["policy"]))), cfg, beside)


def distillation_3() -> Old:
    m = policy_class(
        log_std=nn.Parameter(torch.rand(ACTIONS)),
        student=mlp(5, 8, ACTIONS),
        student_obs_normalizer=Normalizer(5),
        teacher=mlp(9, 7, ACTIONS),
        teacher_obs_normalizer=Normalizer(9),
    )
    normalized = {"obs_normalization": True, "hidden_dims": [8]}
    log = {"class_name": "GaussianDistribution", "std_type": "log"}
    # A teacher of today may have a distribution; then it had none in the file, and needs none.
    teacher = {**normalized, "hidden_dims": [7], "distribution_cfg": log}
    cfg = distillation_cfg(student={**normalized, "distribution_cfg": log}, teacher=teacher)
    return Old(m, lambda obs: m.student(m.student_obs_normalizer(obs["policy"])), cfg, {})


OLD_RUNS = (
    version_1,
    version_1_recurrent,
    version_2,
    lambda: version_2("privileged_obs_norm_state_dict"),
    version_3,
    distillation_2,
    distillation_3,
)


def algorithm_for(cfg: dict[str, Any]) -> tuple[Any, BaseRunnerConfig]:
    config = BaseRunnerConfig.from_dict(cfg)
    used = {group for groups in config.obs_groups.values() for group in groups}
    shapes = {group: shape for group, shape in SHAPES.items() if group in used}
    return build_algorithm(config, Spec(shapes, num_envs=8, num_actions=ACTIONS)), config


def blank(algorithm: Any) -> TrainState:
    """A state in which everything is zero."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(algorithm.init, jax.random.key(0)))


def stepped(module: nn.Module) -> torch.optim.Adam:
    """An optimiser that has taken a step towards zero, with what did not learn left out."""
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    step_towards_zero(module, optimizer)
    return optimizer


def step_towards_zero(module: nn.Module, optimizer: torch.optim.Adam) -> None:
    distils = hasattr(module, "student")
    for name, parameter in module.named_parameters():
        frozen = distils and name.startswith(("teacher", "std", "log_std"))
        parameter.grad = None if frozen else 0.3 * parameter.detach().clone()
    optimizer.step()


@pytest.mark.parametrize("make", OLD_RUNS)
def test_it_acts_as_it_did_and_goes_on(make: Callable[[], Old], tmp_path) -> None:
    torch.manual_seed(0)
    old = make()
    optimizer = stepped(old.module)
    saved = {"model_state_dict": old.module.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    torch.save({**saved, "iter": 1499, "infos": None, **old.beside}, tmp_path / "model_1499.pt")
    algorithm, cfg = algorithm_for(old.cfg)
    loaded = read_rsl_rl_checkpoint(tmp_path / "model_1499.pt", blank(algorithm), cfg=cfg)
    state = loaded.state
    assert (loaded.iteration, int(state.iteration)) == (1499, 1499)
    assert float(state.learning_rate) == pytest.approx(RATE)

    act = jax.jit(algorithm.policy)
    generator = np.random.default_rng(1)
    obs = {group: generator.normal(size=(8, *shape)).astype(np.float32) for group, shape in SHAPES.items()}

    def assert_acts_alike(state: Any) -> None:
        inputs = {group: jnp.asarray(array) for group, array in obs.items()}
        actions, _ = act(state, algorithm.initial_carry(8), inputs)
        with torch.no_grad():
            expected = old.act({group: torch.from_numpy(array) for group, array in obs.items()})
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)

    assert_acts_alike(state)
    # The moments have come to where their parameters are: another step in both leads to the same place.
    step_towards_zero(old.module, optimizer)
    learner = state.params if "actor" in state.params else state.params["student"]
    learning = {k: v for k, v in learner.items() if "student" not in state.params or k != "distribution"}
    gradients = jax.tree.map(lambda x: 0.3 * x, learning)
    moved, _ = apply_gradients(resolve_optimizer("adam"), gradients, state.opt_state, learning, state.learning_rate)
    params = moved if "actor" in state.params else {**state.params, "student": {**learner, **moved}}
    assert_acts_alike(state.replace(params=params))


def test_the_fourth_version_calls_only_the_deviation_otherwise(tmp_path) -> None:
    torch.manual_seed(0)
    actor = policy_class(std=nn.Parameter(torch.rand(ACTIONS)), obs_normalizer=Normalizer(5), mlp=mlp(5, 8, ACTIONS))
    critic = policy_class(mlp=mlp(9, 7, 1))
    saved = {"actor_state_dict": actor.state_dict(), "critic_state_dict": critic.state_dict(), "iter": 3}
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=RATE)
    torch.save({**saved, "optimizer_state_dict": optimizer.state_dict(), "infos": None}, tmp_path / "model_3.pt")
    algorithm, cfg = algorithm_for(
        train_cfg(actor={"hidden_dims": [8], "obs_normalization": True}, critic={"hidden_dims": [7]}, obs_groups=GROUPS)
    )
    state = read_rsl_rl_checkpoint(tmp_path / "model_3.pt", blank(algorithm), cfg=cfg).state
    np.testing.assert_array_equal(state.params["actor"]["distribution"]["std"], actor.std.detach())
    assert int(state.opt_state.count) == 0  # it has not taken a step yet
    obs = torch.randn(8, 5)
    ours, _ = algorithm.policy(state, (), {"policy": jnp.asarray(obs.numpy())})
    np.testing.assert_allclose(ours, actor.mlp(actor.obs_normalizer(obs)).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("counted", [True, False])
def test_a_normaliser_that_has_seen_much_keeps_what_it_knows(counted: bool, tmp_path) -> None:
    old = version_2(counted=counted)
    content = {"model_state_dict": old.module.state_dict(), "iter": 1, "infos": None, **old.beside}
    torch.save(content, tmp_path / "model_1.pt")
    algorithm, _ = algorithm_for(old.cfg)
    like = blank(algorithm)
    state = read_rsl_rl_checkpoint(tmp_path / "model_1.pt", like, load_cfg={"actor": True}).state
    before = state.statistics["actor"]["normalizer"]["obs"]
    # PyTorch counts with 64 bits, we with 32.
    assert int(before.count) == (2**31 - 1 if counted else OLD_UNTIL)
    model, variables = algorithm.policy_model(state)
    observations = {"policy": jnp.full((8, 5), 100.0)}
    learn = {"method": "update_normalization", "mutable": ["normalizer"]}
    _, learned = model.apply(variables, observations, **learn)
    after = learned["normalizer"]["obs"]
    assert int(after.count) >= int(before.count)
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.var, before.var, rtol=2e-3)
