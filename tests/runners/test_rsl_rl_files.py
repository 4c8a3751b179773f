"""The runners on RSL-RL's files: ``runner.load("model_1499.pt")``, ``runner.save("x.pt")``, ``policy.pt``."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from rsl_jax.env import vectorize
from rsl_jax.runners import DistillationRunner, OnPolicyRunner
from tests.environments import HalfSeen, PointMass
from tests.helpers import assert_trees_equal, small_config
from tests.parity.oracle import require_oracle

from .test_distillation import distillation_config, ppo_config

require_oracle()

import torch  # noqa: E402 (needs what the line above looks for)
from rsl_rl.algorithms import PPO  # noqa: E402

from tests.parity.reference import SyntheticEnv, construct  # noqa: E402

TEACHER = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "tanh", "obs_normalization": True}


@pytest.fixture(scope="module")
def env():
    return vectorize(PointMass(), 8, max_episode_length=20)


@pytest.fixture(scope="module")
def trained(env):
    runner = OnPolicyRunner(env, small_config(), seed=3, console=False)
    runner.learn(2)
    return runner


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model_1.pt"
    trained.save(path, infos={"steps": torch.arange(2)})
    return path


def test_a_run_goes_on_from_the_file(env, trained, file):
    runner = OnPolicyRunner(env, small_config(), seed=9, console=False)
    infos = runner.load(file)
    assert infos["steps"].tolist() == [0, 1]
    assert runner.current_learning_iteration == trained.current_learning_iteration == 1
    assert int(runner.state.iteration) == 1  # from here RSL-RL counts on
    assert_trees_equal(runner.state.replace(iteration=trained.state.iteration), trained.state)
    runner.learn(1)
    assert runner.current_learning_iteration == 1
    assert np.isfinite(runner.metrics["Loss/value"])
    runner.save(file.with_name("again.pt"))
    assert torch.load(file.with_name("again.pt"), weights_only=True)["iter"] == 1


def test_rsl_rl_loads_the_file_strictly_and_acts_alike(trained, file):
    cfg = {**small_config().to_dict(), "check_for_nan": True}
    for name in ("time_out_bootstrap", "extensions"):  # ours alone
        del cfg["algorithm"][name]
    theirs = construct(PPO, cfg, SyntheticEnv(8, 1, {"policy": (2,)}))
    assert theirs.load(torch.load(file, weights_only=False), None, strict=True)
    assert theirs.learning_rate == pytest.approx(float(trained.state.learning_rate), rel=1e-6)
    theirs.eval_mode()
    observations = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs.get_policy()({"policy": torch.from_numpy(observations)}).numpy()
    actions = trained.get_inference_policy()({"policy": observations})
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)


def test_load_cfg_picks_parts(env, trained, file):
    runner = OnPolicyRunner(env, small_config(), seed=9, console=False)
    before = runner.state
    runner.load(file, load_cfg={"actor": True, "iteration": False})
    assert_trees_equal(runner.state.params["actor"], trained.state.params["actor"])
    assert_trees_equal(runner.state.statistics["actor"], trained.state.statistics["actor"])
    assert_trees_equal(runner.state.params["critic"], before.params["critic"])
    assert_trees_equal(runner.state.opt_state, before.opt_state)
    assert int(runner.state.iteration) == runner.current_learning_iteration == 0
    runner.load(file, load_cfg={"optimizer": True, "iteration": True})
    assert_trees_equal(runner.state.opt_state, trained.state.opt_state)
    assert runner.current_learning_iteration == 1


def test_another_network_is_refused(env, file):
    cfg = small_config().to_dict()
    cfg["actor"]["hidden_dims"] = [8]
    runner = OnPolicyRunner(env, cfg, console=False)
    with pytest.raises(ValueError, match=r"model_1\.pt: actor_state_dict: .*'mlp\.0\.weight'.*\(2, 16\).*\(2, 8\)"):
        runner.load(file)


def test_a_policy_becomes_the_teacher_and_a_student_a_policy(tmp_path):
    env = vectorize(HalfSeen(), 8, max_episode_length=7)
    ppo = OnPolicyRunner(env, ppo_config(TEACHER, ["privileged"]), seed=1, console=False)
    ppo.save(tmp_path / "ppo.pt")
    runner = DistillationRunner(env, distillation_config(), seed=3, console=False)
    before = jax.tree.map(np.asarray, runner.state)
    runner.load(tmp_path / "ppo.pt")
    theirs = {name: part for name, part in ppo.state.params["actor"].items() if name != "distribution"}
    assert_trees_equal(runner.state.params["teacher"], theirs)
    assert_trees_equal(runner.state.params["student"], before.params["student"])
    with pytest.raises(ValueError, match=r"'student', which this checkpoint of another algorithm.*Allowed: teacher"):
        runner.load(tmp_path / "ppo.pt", load_cfg={"student": True})
    runner.learn(1)
    runner.save(tmp_path / "distilled.pt")

    again = DistillationRunner(env, distillation_config(), seed=4, console=False)
    again.load(tmp_path / "distilled.pt")
    assert_trees_equal(again.state.params, runner.state.params)
    assert_trees_equal(again.state.statistics, runner.state.statistics)
    assert_trees_equal(again.state.opt_state, runner.state.opt_state)
    again.learn(1)

    student = distillation_config()["student"]
    policy = OnPolicyRunner(env, ppo_config(student, ["policy"]), console=False)
    policy.load(tmp_path / "distilled.pt")
    assert_trees_equal(policy.state.params["actor"], runner.state.params["student"])
    with pytest.raises(ValueError, match=r"\(1, 16\).*\(2, 16\)"):
        OnPolicyRunner(env, ppo_config(TEACHER, ["privileged"]), console=False).load(wrong_teacher(tmp_path))


def wrong_teacher(folder):
    """A checkpoint whose actor sees one number instead of two."""
    content = torch.load(folder / "ppo.pt", weights_only=True)
    actor = content["actor_state_dict"]
    torch.save({**content, "actor_state_dict": {**actor, "mlp.0.weight": torch.zeros(16, 1)}}, folder / "wrong.pt")
    return folder / "wrong.pt"


def test_the_ending_says_what_kind_of_policy_is_written(trained, tmp_path):
    observations = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    policy = torch.jit.load(trained.export_policy_to_jit(tmp_path, filename="policy.pt"))
    actions = policy(torch.from_numpy(observations)).numpy()
    expected = trained.get_inference_policy()({"policy": observations})
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"'policy\.torch' does not say what to write"):
        trained.export_policy_to_jit(tmp_path, "policy.torch")
    assert [path.name for path in tmp_path.iterdir()] == ["policy.pt"]
