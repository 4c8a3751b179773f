"""A broken config works, or is refused with an error that names the place (the long form is ``config_fuzz.py``)."""

import pytest

from rsl_jax.config import BaseRunnerConfig
from rsl_jax.env.base import Env
from rsl_jax.training.iteration import spec_of
from rsl_jax.training.train import build_algorithm, check_training
from tests.core.config_fuzz import ENV, RIGHT, VALID, Broken, examples, outcome, says_where, trace


@pytest.mark.parametrize("kind", VALID)
def test_what_is_broken_works_before(kind):
    assert outcome(Broken(kind, ((kind,),), VALID[kind]), trace).verdict == "works"


def test_broken_configs_work_or_are_refused_with_where():
    wrong = {}
    for example in examples(150):
        verdict, error = outcome(example, trace)
        if verdict not in RIGHT:
            wrong[f"{example.kind} {example.paths}"] = f"{verdict}: {error}"
    assert not wrong


def test_an_error_that_names_another_key_does_not_say_where():
    path = ("algorithm", "rnd_cfg", "weight")
    assert says_where("algorithm.rnd_cfg.weight must be", [path])
    assert says_where("algorithm.rnd_cfg is a section", [path])
    assert not says_where("algorithm.gamma must be", [path])
    assert not says_where("list index out of range", [path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0}, "algorithm.learning_rate is 0, so actor and critic never change"),
        ({"max_grad_norm": 0}, "algorithm.max_grad_norm is 0, so no gradient reaches actor and critic"),
        ({"rnd_cfg": {"learning_rate": 0}}, "algorithm.rnd_cfg.learning_rate is 0"),
    ],
)
def test_what_keeps_from_learning_is_warned_of(change, message):
    cfg = BaseRunnerConfig.from_dict({**VALID["curiosity"], "algorithm": {"class_name": "PPO", **change}})
    with pytest.warns(UserWarning, match=f"prevents learning: {message}"):
        check(cfg, ENV)


def test_no_limit_and_no_bonus_are_not_warned_of():
    numbers = {"max_grad_norm": float("inf"), "clip_param": float("inf"), "entropy_coef": 0, "num_mini_batches": 1}
    check(BaseRunnerConfig.from_dict({**VALID["feed-forward"], "algorithm": {"class_name": "PPO", **numbers}}), ENV)
    check(BaseRunnerConfig.from_dict(VALID["distillation"]), ENV)  # whose max_grad_norm of 0 is no limit


def check(cfg: BaseRunnerConfig, env: Env) -> None:
    algorithm = build_algorithm(cfg, spec_of(env))
    check_training(algorithm, num_envs=env.num_envs, num_steps=cfg.num_steps_per_env)
