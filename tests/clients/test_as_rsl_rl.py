"""``rsl_rl`` redirects to rsl_jax, and its runners have RSL-RL's conventions."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import rsl_jax.as_rsl_rl
from rsl_jax.env import JaxVecEnv, vectorize
from rsl_jax.rsl_rl import alias
from rsl_jax.rsl_rl.runners import OnPolicyRunner
from rsl_jax.runners import NonFiniteError
from rsl_jax.runners import OnPolicyRunner as OwnRunner
from tests.environments import NaNAfter, PointMass
from tests.helpers import assert_trees_equal, small_config

torch = pytest.importorskip("torch", reason="scripts for RSL-RL need it: pip install torch")


@pytest.fixture
def restored(monkeypatch):
    """Whatever ``rsl_rl`` meant before the test, it means again after it."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "rsl_rl"}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    yield
    alias.uninstall()
    sys.modules.update(before)


@pytest.fixture
def installed(restored):
    rsl_jax.as_rsl_rl.install()


# --- the name ---------------------------------------------------------------------------------------------------------


def test_every_module_leads_to_ours(installed):
    for package, modules in alias.SUBMODULES.items():
        ours = importlib.import_module(f"rsl_jax.rsl_rl.{package}")
        for name in [package, *(f"{package}.{module}" for module in modules)]:
            assert importlib.import_module(f"rsl_rl.{name}") is ours
    import rsl_rl.models.mlp_model
    from rsl_rl.runners import OnPolicyRunner as Found

    assert Found is OnPolicyRunner
    assert Path(rsl_rl.__file__).parent.name == "rsl_rl"


@pytest.mark.parametrize("name", ["rsl-rl-lib", "rsl_rl_lib"])
def test_the_metadata_are_those_of_the_version(installed, name):
    assert importlib.metadata.version(name) == "5.5.1"
    assert importlib.metadata.version("rsl-jax") != "5.5.1"


def test_a_module_of_older_versions_is_refused(installed):
    with pytest.raises(ModuleNotFoundError, match=r"no module 'rsl_rl\.networks'.*docs/migrating\.md"):
        importlib.import_module("rsl_rl.networks")


def test_installing_twice_does_nothing(installed):
    before = list(sys.meta_path)
    rsl_jax.as_rsl_rl.install()
    assert sys.meta_path == before


def test_installing_too_late_is_refused(restored, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsl_rl", types.ModuleType("rsl_rl"))
    with pytest.raises(ImportError, match="already been imported"):
        rsl_jax.as_rsl_rl.install()


def test_neither_rsl_rl_nor_torch_need_be_installed():
    program = """
import importlib, importlib.metadata, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rsl_rl", "torch"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import rsl_jax.as_rsl_rl
rsl_jax.as_rsl_rl.install()
from rsl_jax.rsl_rl.alias import SUBMODULES
for package, modules in SUBMODULES.items():
    for module in modules:
        importlib.import_module(f"rsl_rl.{package}.{module}")
from rsl_rl.env import VecEnv
from rsl_rl.runners import DistillationRunner, OnPolicyRunner
print(importlib.metadata.version("rsl-rl-lib"), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["5.5.1", "False"], done.stderr


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(restored, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["rsl_jax.as_rsl_rl"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return rsl_jax.as_rsl_rl.main


SCRIPT = """
import sys
import beside
from rsl_rl.runners import OnPolicyRunner
print(__name__, sys.argv, OnPolicyRunner.__module__, beside.VALUE)
"""


def test_scripts_are_run_as_python_runs_them(command, tmp_path, capsys):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(SCRIPT)
    (tmp_path / "scripts" / "beside.py").write_text("VALUE = 3\n")
    command(["scripts/train.py", "--task", "Walk"])
    assert capsys.readouterr().out == "__main__ ['scripts/train.py', '--task', 'Walk'] rsl_jax.rsl_rl.runners 3\n"


@pytest.mark.parametrize("flag", [[], ["-m"]])
def test_modules_are_run_as_python_runs_them(command, tmp_path, capsys, flag):
    (tmp_path / "walking").mkdir()
    (tmp_path / "walking" / "__init__.py").touch()
    (tmp_path / "walking" / "train.py").write_text(SCRIPT.replace("import beside", "from walking import beside"))
    (tmp_path / "walking" / "beside.py").write_text("VALUE = 4\n")
    sys.path.insert(0, str(tmp_path))
    command([*flag, "walking.train", "--play"])
    out = capsys.readouterr().out
    assert out.startswith("__main__ [")
    assert out.endswith("'--play'] rsl_jax.rsl_rl.runners 4\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "walking"]:
        del sys.modules[name]


@pytest.mark.parametrize("target", ["nowhere.py", "nowhere", "nowhere.train"])
def test_what_is_not_there_is_said(command, target):
    with pytest.raises(SystemExit, match=rf"no script '{target}' here, nor a module"):
        command([target])


def test_a_scripts_own_errors_stay_its_own(command, tmp_path):
    (tmp_path / "train.py").write_text("open('nothing')\n")
    with pytest.raises(FileNotFoundError, match="nothing"):
        command(["train.py"])


def test_the_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command([])
    assert stop.value.code == 2
    assert "python -m rsl_jax.as_rsl_rl SCRIPT.py" in capsys.readouterr().out


# --- parts in PyTorch -------------------------------------------------------------------------------------------------


def test_the_parameters_of_ppo_are_rsl_rls(installed):
    from rsl_rl.algorithms import PPO

    parameters = inspect.signature(PPO.__init__).parameters
    assert {"actor", "critic", "storage", "use_mixed_precision", "gamma", "rnd_cfg", "device"} <= set(parameters)
    assert parameters["num_learning_epochs"].default == 5


def test_a_model_in_pytorch_is_refused_with_the_way_out(installed):
    from rsl_rl.models import CNNModel
    from rsl_rl.modules import CNN

    class SpatialSoftmax(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cnn = CNN(input_dim=(8, 8))

    class SpatialSoftmaxModel(CNNModel):
        def __init__(self, obs, obs_groups, obs_set, output_dim, cnns=None):
            self.cnns = cnns

    cfg = small_config().to_dict()
    for model in (SpatialSoftmaxModel, SpatialSoftmax):
        with pytest.raises(TypeError, match=r"is written for PyTorch .*docs/custom_parts\.md"):
            build({**cfg, "actor": {"class_name": model}})
    with pytest.raises(NotImplementedError, match=r"CNN cannot be built.*docs/custom_parts\.md"):
        SpatialSoftmax()


def test_rsl_rls_own_parts_by_class_are_ours(installed):
    from rsl_rl.algorithms import PPO
    from rsl_rl.models import MLPModel

    cfg = small_config().to_dict()
    cfg["algorithm"]["class_name"], cfg["actor"]["class_name"] = PPO, MLPModel
    assert build(cfg).cfg.actor.class_name == "MLPModel"


# --- the runner -------------------------------------------------------------------------------------------------------


def build(cfg, env=None, cls=OnPolicyRunner, **options):
    env = vectorize(PointMass(), 8, max_episode_length=20) if env is None else env
    return cls(env, cfg, console=False, **options)


class ClientsRunner(OnPolicyRunner):
    """As mjlab's: its own file, made of ``alg.save()``."""

    def save(self, path, infos=None):
        """Write what RSL-RL would, and something more."""
        assert isinstance(path, str)
        content = self.alg.save()
        content["iter"], content["infos"] = self.current_learning_iteration, {**(infos or {}), "counter": 7}
        torch.save(content, path)
        if self.cfg["upload_model"]:
            self.logger.save_model(path, self.current_learning_iteration)

    def load(self, path, load_cfg=None, strict=True, map_location=None):
        """Read it again."""
        content = torch.load(path, map_location=map_location, weights_only=False)
        if self.alg.load(content, load_cfg, strict):
            self.current_learning_iteration = content["iter"]
        return content["infos"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cfg = {**small_config().to_dict(), "upload_model": False, "save_interval": 1}
    runner = build(cfg, cls=ClientsRunner, log_dir=str(tmp_path_factory.mktemp("run")), device="cpu")
    runner.learn(2)
    return runner


def test_checkpoints_go_through_the_clients_own_save(trained):
    names = sorted(path.name for path in trained.logger.log_dir.iterdir() if "model" in path.name)
    assert names == ["model_0.pt", "model_1.pt"]
    content = torch.load(trained.logger.log_dir / "model_1.pt", weights_only=True)
    assert content["infos"] == {"counter": 7}
    assert content["iter"] == 1


def test_a_run_goes_on_through_the_clients_own_load(trained):
    runner = build({**trained.cfg}, cls=ClientsRunner, device="cpu")
    assert runner.load(f"{trained.logger.log_dir}/model_1.pt", map_location="cpu") == {"counter": 7}
    assert runner.current_learning_iteration == 1
    assert_trees_equal(runner.state.replace(iteration=trained.state.iteration), trained.state)
    runner.learn(1)
    assert runner.current_learning_iteration == 1
    runner.current_learning_iteration = 10
    runner.learn(1)
    assert runner.current_learning_iteration == 10


def test_parts_are_loaded_by_name(trained):
    content = torch.load(trained.logger.log_dir / "model_1.pt", weights_only=True)
    runner = build({**trained.cfg}, device="cpu")
    before = runner.state
    assert runner.alg.load(content, {"actor": True}, True) is False
    assert_trees_equal(runner.state.params["actor"], trained.state.params["actor"])
    assert_trees_equal(runner.state.params["critic"], before.params["critic"])
    assert runner.alg.load(content, {"iteration": True}) is True
    with pytest.raises(ValueError, match="load_cfg names 'aktor'"):
        runner.alg.load(content, {"aktor": True})


def test_the_device_is_the_one_that_was_given(trained):
    assert trained.device == "cpu"
    assert torch.zeros(1, device=trained.device).device.type == "cpu"
    assert trained.logger.device == "cpu"
    assert build({**trained.cfg}, device=torch.device("cpu")).device == torch.device("cpu")


def test_one_process_is_one_process(trained):
    assert (trained.is_distributed, trained.gpu_world_size) == (False, 1)
    assert (trained.gpu_global_rank, trained.gpu_local_rank) == (0, 0)


@pytest.mark.parametrize("runner", [OnPolicyRunner, OwnRunner])
def test_processes_of_a_launcher_are_refused(runner, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ValueError,
        match=r"WORLD_SIZE=2 says that a launcher started 2.*JAX knows of 1.*distributed.initialize.*devices=N",
    ):
        build(small_config(), cls=runner)


def test_the_config_reads_like_a_dict_and_like_ours(trained):
    cfg = trained.cfg
    assert cfg["num_steps_per_env"] == cfg.num_steps_per_env == 8
    assert cfg["algorithm"]["rnd_cfg"] is None
    assert cfg["upload_model"] is False
    assert cfg.get("wandb_tags", 3) == 3
    assert "upload_model" in cfg
    assert "extra" not in cfg
    assert dict(cfg)["actor"] is cfg.actor
    assert len(cfg) == len(cfg.keys()) == len(cfg.values()) == len(cfg.items())
    with pytest.raises(KeyError, match="Did you mean 'save_interval'"):
        cfg["save_intervall"]


def test_clients_set_their_own_keys_and_not_ours(trained):
    runner = build({**trained.cfg}, device="cpu")
    runner.cfg["motion_name"] = "dance"
    assert runner.cfg["motion_name"] == runner.cfg.extra["motion_name"] == "dance"
    with pytest.raises(TypeError, match="'num_steps_per_env' of RunnerConfig is frozen"):
        runner.cfg["num_steps_per_env"] = 3
    with pytest.raises(TypeError, match="frozen"):
        runner.cfg["algorithm"]["gamma"] = 0.9


def test_the_learning_rate_can_be_set(trained):
    runner = build({**trained.cfg}, device="cpu")
    assert runner.alg.learning_rate == 3e-3
    runner.alg.learning_rate = 1e-4
    assert runner.alg.learning_rate == 1e-4
    assert float(runner.state.learning_rate) == pytest.approx(1e-4)
    assert runner.alg.save()["optimizer_state_dict"]["param_groups"][0]["lr"] == 1e-4


def test_the_last_good_state_is_a_file(tmp_path):
    env = vectorize(NaNAfter(12), 8, max_episode_length=50)
    runner = build({**small_config().to_dict(), "save_interval": 10}, env, log_dir=tmp_path)
    with pytest.raises(NonFiniteError, match=r"model_0\.pt"):
        runner.learn(3)
    assert (tmp_path / "model_0.pt").is_file()


def test_episodes_may_be_practically_endless():
    env = JaxVecEnv(vectorize(PointMass(), 8, max_episode_length=20))
    env.max_episode_length = 50_000_000_000  # as mjlab's play configs have it
    runner = build(small_config(), env, device="cpu")
    runner.learn(0, init_at_random_ep_len=True)
    assert np.asarray(env.episode_length_buf).max() > 1_000_000


# --- models -----------------------------------------------------------------------------------------------------------


def observations(seed=0):
    return {"policy": torch.from_numpy(np.random.default_rng(seed).normal(size=(8, 2)).astype(np.float32))}


def test_models_answer_for_the_training_state(trained):
    actor, obs = trained.alg.actor, observations()
    actions = trained.get_inference_policy(device="cpu")(obs)
    assert isinstance(actor(obs), torch.Tensor)
    torch.testing.assert_close(actor(obs), actions)
    torch.testing.assert_close(actor.as_jit()(obs["policy"]), actions)
    torch.testing.assert_close(actor.to("cpu").eval().output_mean, actions)
    samples = torch.stack([actor(obs, stochastic_output=True) for _ in range(300)])
    torch.testing.assert_close(samples.std(0), actor.output_std, rtol=0.2, atol=0)
    log_probs = torch.distributions.Normal(actions, actor.output_std).log_prob(samples[0]).sum(-1)
    torch.testing.assert_close(actor.get_output_log_prob(samples[0]), log_probs)
    assert trained.alg.critic(obs).shape == (8, 1)
    with pytest.raises(AttributeError, match="deterministic"):
        _ = trained.alg.critic.output_std


def test_views_follow_the_state(trained):
    runner = build({**trained.cfg}, device="cpu")
    obs = observations()
    before = runner.alg.actor(obs)
    runner.alg.actor.load_state_dict(trained.alg.actor.state_dict())
    torch.testing.assert_close(runner.alg.actor(obs), trained.alg.actor(obs))
    assert not torch.equal(before, runner.alg.actor(obs))
    runner.learn(1)
    assert not torch.equal(runner.alg.actor(obs), trained.alg.actor(obs))


def test_older_scripts_take_the_policy_apart(trained):
    policy, obs = trained.alg.actor_critic, observations()
    torch.testing.assert_close(policy.actor(policy.actor_obs_normalizer(obs["policy"])), policy.act_inference(obs))
    torch.testing.assert_close(policy.critic(policy.critic_obs_normalizer(obs["policy"])), policy.evaluate(obs))
    assert policy.act(obs).shape == (8, 1)
    assert not policy.is_recurrent
    with pytest.raises(AttributeError, match=r"alg\.policy has no 'memory_a'"):
        _ = policy.memory_a


@pytest.mark.parametrize("rnn_type", ["gru", "lstm"])
def test_memory_goes_in_and_out_of_the_onnx_module(rnn_type, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    cfg = small_config().to_dict()
    cfg["actor"] |= {"class_name": "RNNModel", "rnn_type": rnn_type, "rnn_hidden_dim": 4, "rnn_num_layers": 2}
    actor = build(cfg, device="cpu").alg.get_policy()
    module = actor.as_onnx(verbose=False)
    assert module.is_recurrent
    inputs = module.get_dummy_inputs()
    options = {"opset_version": 18, "dynamo": False, "dynamic_axes": {}}
    path = tmp_path / "policy.onnx"
    names = {"input_names": module.input_names, "output_names": module.output_names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says a lot of this exporter, which mjlab uses
        torch.onnx.export(module, inputs, path, **names, **options)
    session = onnxruntime.InferenceSession(path)
    assert [x.name for x in session.get_inputs()] == ["obs", "h_in", "c_in"][: len(inputs)]
    states = [np.asarray(x) for x in inputs[1:]]
    for seed in range(3):
        obs = observations(seed)["policy"][:1]
        actions, *states = session.run(None, dict(zip(module.input_names, [obs.numpy(), *states], strict=True)))
        np.testing.assert_allclose(actions, actor({"policy": obs}), atol=1e-6)
    assert actor.get_hidden_state() is not None
    actor.reset()
    assert actor.get_hidden_state() is None


def test_what_models_do_not_take_is_refused(trained):
    with pytest.raises(TypeError, match="hidden states are kept within"):
        trained.alg.actor(observations(), hidden_state=torch.zeros(1))
    with pytest.raises(AttributeError, match="Its models are actor, critic"):
        _ = trained.alg.student
