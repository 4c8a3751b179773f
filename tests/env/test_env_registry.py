"""From a name to an environment."""

import pytest

from rsl_jax.env import (
    Env,
    JaxVecEnv,
    VectorizedEnv,
    extras,
    list_envs,
    make_env,
    make_vec_env,
    missing_extras,
    suites,
)
from rsl_jax.env.extras import import_extra

from .probes import Walk
from .test_vec_env import Own

HERE = __name__


def pure(num_envs, speed=1.0):
    env = Own()
    env.num_envs, env.speed = num_envs, speed
    return env


def worn(*, num_envs):
    return JaxVecEnv(pure(num_envs))


def one_robot():
    return Walk()


def nonsense(**options):
    return options


def test_factories():
    env = make_env(f"{HERE}:pure", num_envs=3, speed=2.0)
    assert isinstance(env, Own)
    assert (env.num_envs, env.speed) == (3, 2.0)
    assert isinstance(make_env(f"{HERE}:worn", num_envs=4), JaxVecEnv)
    env = make_env(f"{HERE}:one_robot", num_envs=5)
    assert isinstance(env, VectorizedEnv)
    assert env.num_envs == 5
    assert isinstance(make_env(f"{HERE}:Walk", num_envs=2).single_env, Walk)


def test_vec_envs():
    env = make_vec_env(f"{HERE}:one_robot", num_envs=2, seed=4)
    assert isinstance(env, JaxVecEnv)
    assert isinstance(env.env, Env)
    assert isinstance(make_vec_env(f"{HERE}:worn", num_envs=4), JaxVecEnv)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (f"{HERE}:nonsense", {}, TypeError, r"must return a rsl_jax.env.Env, VecEnv or SingleEnv, but returned a dict"),
        (f"{HERE}:pure", {"sped": 1}, ValueError, r"Unknown option 'sped' of .* Did you mean 'speed'\?"),
        (f"{HERE}:missing", {}, ImportError, r"cannot be imported: .*missing"),
        ("nowhere:env", {}, ImportError, r"No module named 'nowhere'"),
        ("brax/antt", {}, ValueError, r"Unknown Brax environment 'antt'.* Did you mean 'ant'\?"),
        ("gymnax/pendulum", {}, ValueError, r"Unknown gymnax environment.* Did you mean 'Pendulum-v1'\?"),
        ("gymnasium/Pendulm-v1", {}, ValueError, r"Unknown gymnasium environment.* Did you mean 'Pendulum-v1'\?"),
        ("playground/Cartpole", {}, ValueError, r"Unknown Playground environment.* Did you mean 'Cartpole"),
        ("gymnax/Pendulum-v1", {"max_length": 3}, TypeError, r"unexpected keyword argument 'max_length'"),
        ("CartpoleBalance", {}, ValueError, r"Names are playground/NAME, .* Did you mean 'playground/CartpoleBalance'"),
        ("braxx/ant", {}, ValueError, r"Did you mean 'brax/ant'\?"),
    ],
)
def test_mistakes_are_told(name, options, error, message):
    with pytest.raises(error, match=message):
        make_env(name, num_envs=2, **options)


def test_what_can_be_trained():
    envs = list_envs()
    assert list(envs) == ["playground", "brax", "gymnax", "gymnasium"]
    assert missing_extras() == {}
    assert "playground/CartpoleBalance" in envs["playground"]
    assert "brax/ant" in envs["brax"]
    assert "brax/fast" not in envs["brax"]
    assert "gymnax/Pendulum-v1" in envs["gymnax"]
    assert "gymnasium/Pendulum-v1" in envs["gymnasium"]
    assert "gymnasium/Pendulum-v0" not in envs["gymnasium"]


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(suites, "is_installed", lambda package: package == "brax")
    assert missing_extras()["gymnax"] == 'pip install "rsl-jax[gymnax]" (in a checkout: pip install -e ".[gymnax]")'
    assert list_envs()["gymnax"] == []
    assert list_envs()["brax"]
    monkeypatch.setattr(extras, "is_installed", lambda module: False)
    monkeypatch.setitem(__import__("sys").modules, "gymnax", None)
    with pytest.raises(ImportError, match=r'gymnax is not installed. Install it with: pip install "rsl-jax\[gymnax\]"'):
        make_env("gymnax/Pendulum-v1", num_envs=1)


def test_a_broken_package_speaks_for_itself(monkeypatch, tmp_path):
    (tmp_path / "broken_simulator.py").write_text("import a_part_that_is_gone")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="a_part_that_is_gone"):
        import_extra("broken_simulator", "brax")
