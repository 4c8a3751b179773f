"""A component is one file and one line; a custom component is a file outside of the library and its import path."""

import dataclasses
import inspect

import pytest
import yaml

from rsl_jax.cli import main
from rsl_jax.cli.train import KIND
from rsl_jax.cli.training import read_command
from rsl_jax.config import CustomConfig, RunnerConfig, section_type, structural_fields
from rsl_jax.config.known import KNOWN
from rsl_jax.config.sections import derive, hints_of, meanings_of
from rsl_jax.distributions import gaussian
from rsl_jax.registry import PARTS, resolve_part
from tests import own_parts

OWN = "tests.own_parts"
SECTIONS = {
    "distribution": ("actor.distribution_cfg", "wide_gaussian", {"widen": 3.0}),
    "optimizer": ("algorithm.optimizer", "lion", {"b1": 0.5}),
    "extension": ("algorithm.extensions.mine", "bonus", {"weight": 2.0}),
    "model": ("actor", "GatedModel", {"num_gates": 5}),
    "algorithm": ("algorithm", "slow_ppo", {"slowness": 20.0}),
}
"""Where a part of each kind goes, which one, and one of its keys."""


def config_with(path, section):
    for key in reversed(path.split(".")):
        section = {key: section}
    if "algorithm" in section:
        section["algorithm"].setdefault("class_name", "PPO")
    if "actor" in section:
        section["actor"].setdefault("class_name", "MLPModel")
    return section


def section_at(cfg, path):
    for key in path.split("."):
        cfg = cfg[key] if isinstance(cfg, dict) else getattr(cfg, key)
    return cfg


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_part_of_the_users_is_read_from_a_dict_from_yaml_and_from_flags(kind, tmp_path):
    path, name, keys = SECTIONS[kind]
    section = {"class_name": f"{OWN}:{name}", **keys}
    cfg = RunnerConfig.from_dict(config_with(path, section))
    assert section_at(cfg, path) == CustomConfig(f"{OWN}:{name}", keys)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"runner": cfg.to_dict()}))
    assert RunnerConfig.from_yaml(file) == cfg
    flag = f"--{path.replace('_', '-')}"
    values = [f"{flag}.{key.replace('_', '-')}={value}" for key, value in keys.items()]
    read = read_command(KIND, ["tests.environments:PointMass", f"{flag}.class-name", f"{OWN}:{name}", *values])[0]
    assert section_at(read.runner, path).class_name == f"{OWN}:{name}"
    assert section_at(read.runner, path).kwargs.items() >= keys.items()
    with pytest.raises(ValueError, match=f"(?s)Unknown key 'weigt'.*{next(iter(keys))}"):
        RunnerConfig.from_dict(config_with(path, {**section, "weigt": 1}))
    wrong = {"class_name": f"{OWN}:{name}", next(iter(keys)): "many"}
    with pytest.raises(TypeError, match=f"{path}.{next(iter(keys))} must be of type"):
        RunnerConfig.from_dict(config_with(path, wrong))


def test_a_run_of_nothing_but_the_users_parts(tmp_path):
    args = ["train", f"{OWN}:OWN_SUITE/Mass", "--num-envs", "2", "--num-steps-per-env", "2", "--iterations", "1"]
    args += ["--no-export", "--log-dir", str(tmp_path / "run"), "--compilation-cache", "none"]
    args += ["--logger", f"{{class_name: '{OWN}:Memory', factor: 2}}", "--critic.hidden-dims", "2"]
    args += ["--actor.class-name", f"{OWN}:GatedModel", "--actor.hidden-dims", "2"]
    args += ["--actor.distribution-cfg.class-name", f"{OWN}:wide_gaussian"]
    args += ["--algorithm.optimizer", f"{OWN}:lion", "--algorithm.extensions.mine.class-name", f"{OWN}:bonus"]
    assert main(args) == 0
    assert own_parts.Memory.scalars["Loss/learning_rate"] > 0
    run = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert run["runner"]["algorithm"]["extensions"] == {"mine": {"class_name": f"{OWN}:bonus"}}
    play = ["play", str(tmp_path / "run"), "--num-envs", "1", "--steps", "1"]
    assert main(play) == 2  # nobody has said that the files of the run may name them
    assert main([*play, "--trust", "tests"]) == 1  # no episode ends in one step


def test_an_algorithm_of_the_users_is_built_with_its_arguments():
    from rsl_jax.training.train import build_algorithm
    from rsl_jax.types import Spec

    spec = Spec({"policy": (2,)}, num_actions=1, num_envs=2)
    cfg = RunnerConfig.from_dict({"algorithm": {"class_name": f"{OWN}:slow_ppo", "slowness": 20}, "seed": 1})
    assert float(build_algorithm(cfg, spec).init(__import__("jax").random.key(0)).learning_rate) == pytest.approx(5e-5)
    assert structural_fields(cfg.algorithm) == {"class_name"}  # so its float can be swept


def test_a_new_line_in_the_table_is_all_that_a_part_of_the_library_needs(monkeypatch):
    monkeypatch.setitem(PARTS, "distribution", {**PARTS["distribution"], "WideGaussian": f"{OWN}:wide_gaussian"})
    monkeypatch.setitem(PARTS, "optimizer", {**PARTS["optimizer"], "lion": f"{OWN}:lion"})
    section_type.cache_clear()
    wide = {"class_name": "WideGaussian", "widen": 4}
    cfg = RunnerConfig.from_dict(
        {
            "actor": {"class_name": "MLPModel", "distribution_cfg": wide},
            "algorithm": {"class_name": "PPO", "optimizer": "lion"},
        }
    )
    assert dataclasses.asdict(cfg.actor.distribution_cfg) == {"class_name": "WideGaussian", "widen": 4.0}
    assert meanings_of(type(cfg.actor.distribution_cfg))["widen"] == "its first standard deviation."
    assert cfg.algorithm.optimizer == "lion"
    flags = ["--actor.distribution-cfg.class-name", "WideGaussian", "--actor.distribution-cfg.widen", "5"]
    assert read_command(KIND, ["m:f", *flags])[0].runner.actor.distribution_cfg.widen == 5.0
    section_type.cache_clear()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ("model", "distribution") for name in PARTS[kind]])
def test_known_sections_are_those_of_the_factories(kind, name):
    known, derived = KNOWN[name], derive(resolve_part(name, kind), kind, name)
    assert hints_of(known) == hints_of(derived), "run: python -m rsl_jax.config.derive"
    assert known() == known(**dataclasses.asdict(derived()))
    assert inspect.getdoc(known) == derived.__doc__


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("algorithm", "extension") for name in PARTS[kind]]
)
def test_declared_sections_are_those_that_factories_name(kind, name):
    assert resolve_part(name, kind).section is KNOWN[name]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in PARTS.items() for name in names])
def test_every_line_leads_somewhere(kind, name):
    assert resolve_part(name, kind) is not None


def test_paths_of_ours_mean_the_librarys_part():
    section = {"class_name": "rsl_jax.distributions:gaussian", "init_std": 2}
    cfg = RunnerConfig.from_dict({"actor": {"class_name": "MLPModel", "distribution_cfg": section}})
    assert cfg.actor.distribution_cfg == KNOWN["GaussianDistribution"](init_std=2.0)
    section = {"class_name": gaussian, "init_std": 2}
    assert RunnerConfig.from_dict({"actor": {"class_name": "MLPModel", "distribution_cfg": section}}) == cfg


@pytest.mark.parametrize(
    "key", ["num_steps_per_envs", "actro", "Critic", "save-interval", "algoritm", "obs_group", "seeds"]
)
def test_a_misspelt_key_at_the_top_is_refused(key):
    with pytest.raises(ValueError, match=f"Unknown key '{key}' in the config. Did you mean"):
        RunnerConfig.from_dict({key: 48})


def test_keys_of_simulators_stay_allowed():
    theirs = [
        "experiment_name",
        "max_iterations",
        "load_run",
        "log_interval",
        "test_interval",
        "clip_actions",
        "device",
    ]
    cfg = RunnerConfig.from_dict(dict.fromkeys(theirs, 1))
    assert set(cfg.extra) == set(theirs)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"algorithm": {"class_name": "PPO", "gamma": 1.5}}, r"algorithm.gamma must be from 0 to 1; got 1.5"),
        ({"algorithm": {"class_name": "PPO", "lam": -0.1}}, r"algorithm.lam must be from 0 to 1; got -0.1"),
        (
            {"algorithm": {"class_name": "PPO", "learning_rate": float("nan")}},
            r"learning_rate must be at least 0; got nan",
        ),
        ({"algorithm": {"class_name": "PPO", "desired_kl": -0.01}}, r"algorithm.desired_kl must be above 0; got -0.01"),
        (
            {"actor": {"class_name": "MLPModel", "hidden_dims": []}},
            r"actor.hidden_dims needs at least 1 entries; got \[\]",
        ),
        ({"actor": {"class_name": "MLPModel", "hidden_dims": [0]}}, r"actor.hidden_dims must be at least 1, or -1 for"),
        (
            {"algorithm": {"class_name": "PPO", "rnd_cfg": {"num_outputs": 0}}},
            r"algorithm.rnd_cfg.num_outputs must be at",
        ),
        ({"actor": None}, r"actor must be a section with a 'class_name'"),
    ],
)
def test_numbers_out_of_range_are_refused_with_their_path(section, message):
    with pytest.raises(ValueError, match=message):
        RunnerConfig.from_dict(section)


def test_ranges_hold_for_sections_made_in_python_too():
    with pytest.raises(ValueError, match=r"gamma must be from 0 to 1; got 2"):
        KNOWN["PPO"](gamma=2)
    assert KNOWN["PPO"](learning_rate=0, entropy_coef=0).learning_rate == 0
