"""What docs/security.md promises: nothing in a run's files executes code that the user did not name."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from rsl_jax import trusted
from rsl_jax.algorithms.loading import check_adoption
from rsl_jax.checkpoint import read_checkpoint, save_checkpoint
from rsl_jax.cli import main
from rsl_jax.cli.policies import load_policy
from rsl_jax.cli.runs import new_log_dir
from rsl_jax.cli.trusting import take_at_their_word, trust_flags
from rsl_jax.config import BaseRunnerConfig, DistillationRunnerConfig, RunnerConfig
from rsl_jax.env.registry import permit_env
from rsl_jax.metadata import FORMAT, Metadata
from rsl_jax.trusted import UntrustedNameError, is_run_file, reading, reading_run, trust, user_names
from rsl_jax.types import Spec
from tests.cli.own import said

SPEC = Spec({"policy": (2,)}, num_actions=1, num_envs=4)
TOUCH = "import pathlib\npathlib.Path(__file__).with_name('marker').touch()\n"
"""A module that leaves a trace where it is imported."""

EVIL = TOUCH + "from rsl_jax.models import MLPModel\nclass Net(MLPModel): ...\nmake = Net\n"
PARTS_OF_CONFIG = {
    "algorithm": {"algorithm": {"class_name": "{}"}},
    "model": {"actor": {"class_name": "{}"}},
    "distribution": {"actor": {"class_name": "MLPModel", "distribution_cfg": {"class_name": "{}"}}},
    "optimizer": {"algorithm": {"class_name": "PPO", "optimizer": "{}"}},
    "optimizer's section": {"algorithm": {"class_name": "PPO", "optimizer": {"class_name": "{}"}}},
    "extension": {"algorithm": {"class_name": "PPO", "extensions": {"mine": {"class_name": "{}"}}}},
    "rnd_cfg": {"algorithm": {"class_name": "PPO", "rnd_cfg": {"class_name": "{}"}}},
    "symmetry": {"algorithm": {"class_name": "PPO", "symmetry_cfg": {"data_augmentation_func": "{}"}}},
    "logger": {"logger": "{}"},
    "logger's section": {"logger": {"class_name": "{}"}},
    "a logger of several": {"logger": ["tensorboard", {"class_name": "{}"}]},
}
"""Wherever a config may name something."""


@pytest.fixture(autouse=True)
def nothing_is_trusted(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(trusted, "_trusted", trusted._Trusted())


def naming(template, path):
    return json.loads(json.dumps(template).replace("{}", path))


def checkpoint(folder, *, config=None, params=None, **changes):
    """A checkpoint of a run that has not begun, with other metadata."""
    content = Metadata.of_run(RunnerConfig(), SPEC, iteration=0).to_dict()
    content["config"] = {**content["config"], **(config or {})}
    for name, value in changes.items():
        place = content["environment"] if name in content["environment"] else content
        place[name] = value
    return save_checkpoint(folder / "model_0", {"params": params or {"actor": {"w": np.zeros(1)}}}, None, content)


def rsl_jax(*args, cwd, safe_path=False):
    """Run a command in a process of its own; ``python -c`` has the working directory on the path, ``-P`` has not."""
    program = "import sys; from rsl_jax.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, *(["-P"] if safe_path else []), "-c", program, *args]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "COLUMNS": "500"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


# --- a run's folder and its checkpoints, each as it was exploited -----------------------------------------------------


def test_a_checkpoint_does_not_choose_what_is_called_with_its_sizes(tmp_path):
    actor = {"class_name": "MLPModel", "distribution_cfg": {"class_name": "os:system"}}
    path = checkpoint(tmp_path, config={"actor": actor}, num_actions=f"touch {tmp_path / 'marker'}")
    done = rsl_jax("export", str(path), cwd=tmp_path)
    assert done.returncode != 0
    assert "environment.num_actions is 'touch" in done.stderr
    assert not (tmp_path / "marker").exists()


def test_a_run_does_not_choose_its_environment(tmp_path):
    checkpoint(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    for env in ("os:system", "evil:make", "evil:SUITE/x", "gymnasium/evil:Env-v0"):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({"env": env, "runner": {}}))
        assert main(["play", str(tmp_path)]) == 2
    done = rsl_jax("play", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "run.yaml names the environment 'evil:Env-v0', which is refused" in done.stderr
    assert "--trust evil" in done.stderr
    assert not (tmp_path / "marker").exists()


def test_the_folder_of_a_run_is_no_source_of_modules(tmp_path):
    checkpoint(tmp_path, config={"actor": {"class_name": "evil:Net"}})
    for name in ("evil", "onnx", "tensorboardX", "matplotlib", "torch", "mlflow", "jax_plugins"):
        (tmp_path / f"{name}.py").write_text(EVIL)
    done = rsl_jax("export", ".", cwd=tmp_path, safe_path=True)
    assert done.returncode == 2
    assert "model_0/metadata names the actor 'evil:Net', which is refused" in done.stderr
    assert not (tmp_path / "marker").exists()
    trusting = rsl_jax("export", ".", "--trust", "evil", cwd=tmp_path, safe_path=True)
    assert "does not fit what the config and the environment build" in trusting.stderr  # it is read, and has no weights
    assert (tmp_path / "marker").exists()


def test_of_a_teacher_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(tmp_path)
    distribution = {"class_name": "evil:make"}
    for actor in ({"class_name": "evil:Net"}, {"class_name": "MLPModel", "hidden_dims": [3]}):
        config = {"actor": {**actor, "distribution_cfg": distribution}, "algorithm": {"class_name": "evil:make"}}
        run = read_checkpoint(checkpoint(tmp_path, config={**config, "obs_groups": {"actor": ["policy"]}})).run
        with pytest.raises(ValueError, match=r"does not fit the teacher.*(class_name MLPModel against evil:Net|\[3\])"):
            check_adoption(
                "teacher",
                "actor",
                run,
                algorithm=SimpleNamespace(obs_groups={"teacher": ("policy",)}),
                cfg=DistillationRunnerConfig(),
                spec=SPEC,
                strict=True,
            )
    assert not (tmp_path / "marker").exists()


def test_nothing_is_unpickled_and_no_object_of_pythons_is_made(tmp_path, monkeypatch, capsys):
    path = checkpoint(tmp_path)
    (tmp_path / "run.yaml").write_text(f"env: !!python/object/apply:os.mkdir ['{tmp_path / 'marker'}']\nrunner: {{}}\n")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("something was unpickled"))
    assert read_checkpoint(path).run.iteration == 0
    assert main(["play", str(path)]) == 2
    assert "has a tag that is not allowed in a config file" in said(capsys)
    assert not (tmp_path / "marker").exists()


READERS = {"torch.load", "torch.jit.load", "onnx.load", "onnxruntime.InferenceSession", "yaml.load", "eval", "exec"}
"""What reads a program, or could."""


def test_exported_programs_are_only_written():
    root, found = Path(trusted.__file__).parent, set()
    for path in root.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found |= {(str(path.relative_to(root)), ast.unparse(call)) for call in calls if ast.unparse(call) in READERS}
    assert found == {
        ("export/onnx.py", "onnxruntime.InferenceSession"),  # tries out what was just made
        ("export/torchscript.py", "torch.jit.load"),  # likewise
        ("interop/files.py", "torch.load"),  # weights only
        ("config/yaml_files.py", "yaml.load"),  # a safe loader
    }


# --- which names a run's files may use --------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS_OF_CONFIG)
def test_no_part_of_a_config_imports_what_the_user_did_not_name(part, tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(TOUCH)
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("stranger:Net", "stranger.Net", "os:system", "os.system", "builtins:eval", "numpy:load", "optax:sgd"):
        config = {"obs_groups": {"actor": ["policy"]}, **naming(PARTS_OF_CONFIG[part], path)}
        with reading_run("run.yaml"), pytest.raises(UntrustedNameError, match=f"run.yaml names the .* '{path}'"):
            BaseRunnerConfig.from_dict(config)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({"runner": config}))
        with pytest.raises(UntrustedNameError):
            BaseRunnerConfig.from_yaml(tmp_path / "run.yaml")
    assert not (tmp_path / "marker").exists()
    assert "stranger" not in sys.modules


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A package of the user's that is importable, and not installed."""
    folder = tmp_path / "project" / "own_project"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "parts.py").write_text("import os\nfrom os import system\n" + EVIL)
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    for name in [name for name in sys.modules if name.startswith("own_project")]:
        del sys.modules[name]


def read(path, kind="actor"):
    with reading_run("run.yaml"):
        return BaseRunnerConfig.from_dict({kind: {"class_name": path}})


def test_what_the_user_names_too_is_read(project):
    user_names("own_project.parts:Net")
    assert read("own_project.parts:Net").actor.class_name == "own_project.parts:Net"
    with pytest.raises(UntrustedNameError):
        read("own_project.parts:make")


@pytest.mark.parametrize("vouch", [lambda _: trust("own_project"), lambda folder: trust(folder.parent)])
def test_a_module_or_a_folder_is_trusted_with_what_is_in_it_and_not_with_what_it_imports(vouch, project):
    vouch(project)
    assert read("own_project.parts:Net").actor.class_name == "own_project.parts:Net"
    for path in ("own_project.parts:os.system", "own_project.parts:system", "own_project_2:Net"):
        with pytest.raises(UntrustedNameError):
            read(path)


def test_a_class_of_an_installed_package_that_requires_us_is_read(project, monkeypatch):
    site = project.parent
    information = site / "own_project-1.0.dist-info"
    information.mkdir()
    requirement = "Requires-Dist: rsl_jax>=0.1\n"
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: own-project\nVersion: 1.0\n{requirement}")
    (information / "RECORD").write_text("own_project/__init__.py,,\nown_project/parts.py,,\n")
    with pytest.raises(UntrustedNameError):  # it is on the path, as a folder of a run could be, and not installed
        read("own_project.parts:Net")
    monkeypatch.setattr(trusted.site, "getsitepackages", lambda: [str(site)])
    assert read("own_project.parts:Net").actor.class_name == "own_project.parts:Net"
    for path in ("own_project.parts:os.system", "own_project.parts:system.__call__", "own_project.parts:MLPModel"):
        with pytest.raises(UntrustedNameError):
            read(path)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own-project\nVersion: 1.0\n")
    with pytest.raises(UntrustedNameError):
        read("own_project.parts:Net")


def test_a_folder_that_is_trusted_is_searched_for_modules(project, monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(project.parent)])
    with pytest.raises(UntrustedNameError):
        read("own_project.parts:Net")
    trust(project)  # a package
    assert read("own_project.parts:Net").actor.class_name == "own_project.parts:Net"
    (project.parent / "loose").mkdir()
    (project.parent / "loose" / "loose_parts.py").write_text(EVIL)
    trust(project.parent / "loose")  # a folder of modules
    assert read("loose_parts:Net").actor.class_name == "loose_parts:Net"


def test_the_working_directory_is_searched_for_what_the_user_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    for name in ("robot_in_the_working_directory", "stranger"):
        (tmp_path / f"{name}.py").write_text(EVIL)
    take_at_their_word([], env="other_robot:make", flags=["--actor.hidden-dims", "8"])
    assert "" not in sys.path
    take_at_their_word([], env="robot_in_the_working_directory:make")
    assert sys.path[0] == ""
    assert read("robot_in_the_working_directory:make").actor.class_name == "robot_in_the_working_directory:make"
    with pytest.raises(UntrustedNameError):
        read("stranger:make")


def test_a_config_of_the_users_names_what_it_likes(project, tmp_path):
    file = project.parent / "mine.yaml"
    file.write_text(yaml.safe_dump({"actor": {"class_name": "own_project.parts:Net"}}))
    assert not is_run_file(file)
    assert BaseRunnerConfig.from_yaml(file).actor.class_name == "own_project.parts:Net"
    assert read("own_project.parts:Net").actor.class_name == "own_project.parts:Net"  # has been named


def test_files_of_a_run_are_known_by_what_lies_beside_them(tmp_path):
    (tmp_path / "params").mkdir()
    files = [tmp_path / "mine.yaml", tmp_path / "params" / "agent.yaml"]
    assert not any(map(is_run_file, files))
    (tmp_path / "model_3.pt").touch()
    assert all(map(is_run_file, files))
    assert is_run_file("run.yaml")


def test_options_of_an_environment_name_nothing(tmp_path, capsys):
    checkpoint(tmp_path)
    options = {"env_id": "evil:Env-v0", "device": "cuda:0"}
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({"env": "gymnax/Pendulum-v1", "env_kwargs": options, "runner": {}})
    )
    assert main(["play", str(tmp_path)]) == 2
    assert "option of the environment 'evil:Env-v0'" in said(capsys)


def test_names_of_the_library_are_read():
    with reading("run.yaml", None):
        permit_env("playground/CartpoleBalance")
        own = {"class_name": "PPO", "optimizer": "adamw", "rnd_cfg": {"weight": 0.1}}
        cfg = BaseRunnerConfig.from_dict({"algorithm": own, "actor": {"class_name": "rsl_rl.models.RNNModel"}})
    assert cfg.actor.class_name == "RNNModel"


def test_commands_that_are_proposed_say_what_they_need():
    cfg = {**RunnerConfig().to_dict(), "actor": {"class_name": "my_project.models:Net"}}
    assert trust_flags(RunnerConfig().to_dict(), "brax/ant") == ""
    assert trust_flags(cfg, "my_project.tasks:SUITE/Walk") == " --trust my_project"
    assert trust_flags(cfg, "gymnasium/robots:Walk-v0") == " --trust my_project --trust robots"


def test_what_cannot_be_trusted_is_said(capsys, tmp_path):
    checkpoint(tmp_path)
    for name, says in {"os": "a module of Python", "./nowhere": "neither a module.*nor a folder"}.items():
        with pytest.raises(ValueError, match=says):
            trust(name)
        assert main(["export", str(tmp_path), "--trust", name]) == 2
    assert "--trust: 'os' is a module of Python, which has no components" in said(capsys)


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_actions", value) for value in ("3", 0, -1, True, 2.5, 10**9, None, [1])),
        *(("num_envs", value) for value in ("8", 0, 10**12)),
        *(("observations", value) for value in (None, [3], {"policy": 3}, {"policy": [-1]}, {"policy": [10**5] * 3})),
        ("observations", {"policy": ["touch marker"]}),
        *(("discrete", value) for value in (None, "yes", 1)),
        *(("step_dt", value) for value in ("0.1", -1, float("nan"), float("inf"))),
        *(("iteration", value) for value in ("abc", None, -1, 2**31, 1.0, True)),
        *(("format", value) for value in ("1", 0, FORMAT + 1, None)),
        *(("best_mean_reward", value) for value in ("1", float("nan"))),
        ("seed", "0"),
        ("config", []),
        ("versions", "1"),
        ("environment", [1]),
    ],
)
def test_metadata_are_checked_before_they_are_used(key, value):
    content = {"format": FORMAT, **Metadata.of_run(RunnerConfig(), SPEC, iteration=3).to_dict()}
    place = content["environment"] if key in content["environment"] else content
    place[key] = value
    with pytest.raises(ValueError, match=rf"metadata.*{key}|has format {FORMAT + 1}, of a newer rsl_jax"):
        Metadata.from_dict(content)


def test_metadata_of_ours_are_read():
    run = Metadata.of_run(RunnerConfig(), SPEC, iteration=3, best_mean_reward=-2.0, infos={"mine": [1]}, seed=2**40)
    again = Metadata.from_dict({"format": FORMAT, "of a later version": 1, **json.loads(json.dumps(run.to_dict()))})
    assert (again, again.spec, again.cfg) == (run, SPEC, RunnerConfig())
    with pytest.raises(ValueError, match="environment is missing"):
        _ = Metadata.from_dict({"iteration": 0}).spec


def test_networks_that_were_not_saved_are_not_made(tmp_path):
    huge = {"class_name": "MLPModel", "hidden_dims": [10**9, 10**9]}
    path = checkpoint(tmp_path, config={"actor": huge, "obs_groups": {"actor": ["policy"], "critic": ["policy"]}})
    with pytest.raises(ValueError, match="params/actor/w: only in the checkpoint"):
        load_policy(path)


# --- names of folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a/b", "../../x", "x" * 300, "é" * 300, "\0\n", "..", 'a\\b:"<>|?*', "/etc", "~"])
def test_the_name_of_a_run_stays_the_name_of_one_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = new_log_dir("brax/ant", name)
    assert folder.is_dir()
    assert folder.resolve().parent == tmp_path / "logs" / "brax" / "ant"
    assert new_log_dir("x" * 300, name).is_dir()
