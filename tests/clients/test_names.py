"""All public names of RSL-RL 5.4.2 and 5.5.1 exist, or are refused with a reason that docs/migrating.md lists."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from rsl_jax.env import vectorize
from rsl_jax.rsl_rl.alias import HOME, SUBMODULES
from rsl_jax.rsl_rl.stand_ins import TorchPart
from rsl_jax.runners.alg import NOT_OF_ALGORITHMS, NOT_OF_MODELS
from tests.environments import PointMass
from tests.helpers import small_config

pytest.importorskip("torch", reason="scripts for RSL-RL need it: pip install torch")

DOCS = Path(__file__).parents[2] / "docs"
NAMES = json.loads(Path(__file__).with_name("rsl_rl_names.json").read_text())
EVERY = {
    (module, name): sorted({*(of_name or ()), *(NAMES["5.4.2"].get(module, {}).get(name) or ())})
    for module, names in (NAMES["5.4.2"] | NAMES["5.5.1"]).items()
    for name, of_name in {**NAMES["5.4.2"].get(module, {}), **names}.items()
}
"""``(module, name)`` to the names of the class; of both versions together."""


def test_the_lists_are_of_both_versions():
    assert set(NAMES) == {"5.4.2", "5.5.1"}
    assert len(EVERY) > 70
    assert "logger_type" in EVERY["rsl_rl.utils.logger", "Logger"]  # of 5.4.2 alone
    assert ("rsl_rl.utils", "resolve_class") in EVERY  # of 5.5.1 alone


def home_of(module):
    """Where an import of RSL-RL's module leads."""
    _, *parts = module.split(".")
    if parts[1:]:
        assert parts[1] in SUBMODULES[parts[0]]
    return importlib.import_module(".".join([HOME, *parts[:1]]))


@pytest.mark.parametrize(("module", "name"), EVERY, ids=lambda part: part)
def test_every_name_can_be_imported(module, name):
    assert hasattr(home_of(module), name)


# --- what instances have ----------------------------------------------------------------------------------------------


class Seer(PointMass):
    """A point mass with a picture."""

    def reset(self, key):
        """As ever."""
        state, observation = super().reset(key)
        return state, {"policy": observation, "camera": jnp.zeros((1, 6, 6))}

    def step(self, state, action):
        """As ever."""
        state, transition = super().step(state, action)
        return state, transition._replace(
            observations={"policy": transition.observations, "camera": jnp.zeros((1, 6, 6))}
        )


class Timed(PointMass):
    """A point mass that says how long a step takes."""

    step_dt = 0.02


def runner_with(env=PointMass, cls="OnPolicyRunner", **changes):
    from rsl_jax.rsl_rl import runners

    cfg = {**small_config().to_dict(), **changes}
    return getattr(runners, cls)(vectorize(env(), 8, max_episode_length=20), cfg, console=False)


@pytest.fixture(scope="module")
def instances():
    """An instance for each of RSL-RL's classes that scripts get one of."""
    import torch

    cfg = small_config().to_dict()
    rnd = {"weight": 1.0, "num_outputs": 2, "predictor_hidden_dims": [4], "target_hidden_dims": [4]}
    groups = {**cfg["obs_groups"], "rnd_state": ["policy"]}
    ppo = runner_with(Timed, algorithm={**cfg["algorithm"], "rnd_cfg": rnd}, obs_groups=groups)
    recurrent = {**cfg["actor"], "class_name": "RNNModel", "rnn_type": "gru", "rnn_hidden_dim": 4}
    rnn = runner_with(actor=recurrent)
    cnn_cfg = {"output_channels": [2], "kernel_size": 3}
    seer = {**cfg["actor"], "class_name": "CNNModel", "cnn_cfg": cnn_cfg}
    cnn = runner_with(Seer, actor=seer, obs_groups={"actor": ["policy", "camera"], "critic": ["policy"]})
    student = {
        "num_steps_per_env": 8,
        "obs_groups": {"student": ["policy"], "teacher": ["policy"]},
        "student": cfg["actor"],
        "teacher": cfg["actor"],
        "algorithm": {"class_name": "Distillation", "gradient_length": 4},
    }
    from rsl_jax.rsl_rl.runners import DistillationRunner

    distillation = DistillationRunner(vectorize(PointMass(), 8, max_episode_length=20), student, console=False)
    observations = {"policy": torch.zeros(8, 2), "camera": torch.zeros(8, 1, 6, 6)}
    for runner in (ppo, rnn, cnn):
        runner.alg.actor(observations)
    return {
        "rsl_rl.runners.on_policy_runner.OnPolicyRunner": ppo,
        "rsl_rl.runners.distillation_runner.DistillationRunner": distillation,
        "rsl_rl.algorithms.ppo.PPO": ppo.alg,
        "rsl_rl.algorithms.distillation.Distillation": distillation.alg,
        "rsl_rl.models.mlp_model.MLPModel": ppo.alg.actor,
        "rsl_rl.models.rnn_model.RNNModel": rnn.alg.actor,
        "rsl_rl.models.cnn_model.CNNModel": cnn.alg.actor,
        "rsl_rl.utils.logger.Logger": ppo.logger,
    }


ANSWERED = [
    "rsl_rl.runners.on_policy_runner.OnPolicyRunner",
    "rsl_rl.runners.distillation_runner.DistillationRunner",
    "rsl_rl.algorithms.ppo.PPO",
    "rsl_rl.algorithms.distillation.Distillation",
    "rsl_rl.models.mlp_model.MLPModel",
    "rsl_rl.models.rnn_model.RNNModel",
    "rsl_rl.models.cnn_model.CNNModel",
    "rsl_rl.utils.logger.Logger",
]
"""Classes of which the library hands out something that answers for an instance."""


def refusals(path):
    """What is refused of a class, with the reasons."""
    from rsl_jax.rsl_rl.utils import NOT_OF_LOGGERS

    package = path.split(".")[1]
    return {"algorithms": NOT_OF_ALGORITHMS, "models": NOT_OF_MODELS, "utils": NOT_OF_LOGGERS}.get(package, {})


@pytest.mark.parametrize("path", ANSWERED)
def test_every_attribute_is_there_or_refused_with_its_reason(path, instances):
    module, _, name = path.rpartition(".")
    instance, refused = instances[path], refusals(path)
    assert EVERY[module, name]
    for attribute in EVERY[module, name]:
        if attribute in refused:
            with pytest.raises(AttributeError, match=re.escape(refused[attribute])):
                getattr(instance, attribute)
        else:
            getattr(instance, attribute)


def test_no_reason_is_given_for_what_rsl_rl_does_not_have():
    beside = {"parameters", "named_parameters"}  # of every module of PyTorch
    for path in ANSWERED:
        package = path.split(".")[1]
        everything = {x for (module, _), names in EVERY.items() if module.split(".")[1:2] == [package] for x in names}
        assert set(refusals(path)) <= everything | beside, path


def test_curiosity_has_its_weight_and_its_arrays(instances):
    rnd = instances["rsl_rl.algorithms.ppo.PPO"].rnd
    assert rnd.weight == pytest.approx(0.02)
    assert any(name.startswith("predictor.") for name in rnd.state_dict())
    for attribute in EVERY["rsl_rl.extensions.rnd", "RandomNetworkDistillation"]:
        if attribute != "weight":
            with pytest.raises(AttributeError, match="pure extension"):
                getattr(rnd, attribute)


# --- what exists only to be imported ----------------------------------------------------------------------------------

STAND_INS = sorted(
    {
        (module, name)
        for (module, name), names in EVERY.items()
        if names and module.split(".")[1] in ("algorithms", "models", "modules", "extensions", "storage")
    }
)


@pytest.mark.parametrize(("module", "name"), STAND_INS, ids=lambda part: part)
def test_a_stand_in_can_be_derived_from_but_not_built(module, name):
    stand_in = getattr(home_of(module), name)
    assert issubclass(stand_in, TorchPart)
    derived = type("Own", (stand_in,), {})
    with pytest.raises(NotImplementedError, match="which rsl_jax replaces here") as error:
        derived(1, a=2)
    for page in re.findall(r"docs/(\w+\.md)", str(error.value)):
        assert (DOCS / page).is_file()


@pytest.mark.parametrize("writer", ["log_writer.LogWriter", "wandb_log_writer.WandbLogWriter"])
def test_log_writers_have_rsl_rls_methods(writer):
    module, _, name = f"rsl_rl.utils.{writer}".rpartition(".")
    methods = EVERY["rsl_rl.utils.log_writer", "LogWriter"]
    assert "add_scalar" in methods
    for method in methods:
        assert callable(getattr(getattr(home_of(module), name), method))


def test_the_environment_is_abstract():
    vec_env = home_of("rsl_rl.env").VecEnv
    assert set(EVERY["rsl_rl.env.vec_env", "VecEnv"]) <= {*vec_env.__annotations__, *dir(vec_env)}
    with pytest.raises(TypeError, match="abstract"):
        type("Own", (vec_env,), {"step": None})()


def test_every_refusal_is_documented():
    page = (DOCS / "migrating.md").read_text()
    for path in ANSWERED:
        for name in refusals(path):
            assert f"`{name}`" in page, f"docs/migrating.md does not say that {name} is refused"
    of_utils = ["split_and_pad_trajectories", "unpad_trajectories", "reduce_gradients_in_buckets"]
    for name in ["resolve_rnd_config", "resolve_symmetry_config", *of_utils]:
        assert f"`{name}`" in page
        home = home_of("rsl_rl.extensions" if "config" in name else "rsl_rl.utils")
        with pytest.raises(NotImplementedError, match="does not exist in rsl_jax"):
            getattr(home, name)()
