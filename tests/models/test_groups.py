"""Default observation groups: one rule, for the library and the command line."""

import warnings

import pytest

from rsl_jax.algorithms import PPO, Distillation
from rsl_jax.cli import distill, train
from rsl_jax.config import RunnerConfig
from rsl_jax.models import default_groups, resolve_obs_groups
from rsl_jax.types import Spec

PLAYGROUND = ("state", "privileged_state")


@pytest.mark.parametrize(
    ("available", "known", "expected"),
    [
        (("policy",), {}, {"actor": "policy", "critic": "policy", "student": "policy", "teacher": "policy"}),
        (("policy", "critic"), {}, {"actor": "policy", "critic": "critic", "teacher": "policy", "rnd_state": "policy"}),
        (("policy", "extra"), {"actor": ("extra",)}, {"critic": "policy"}),
        (PLAYGROUND, {}, {"actor": "state", "student": "state", "rnd_state": "state"}),
        (PLAYGROUND, {}, {"critic": "privileged_state", "teacher": "privileged_state"}),
        (("state", "extra"), {"actor": ("state", "extra")}, {"critic": ("state", "extra"), "teacher": "state"}),
        (("actor", "teacher", "policy"), {}, {"actor": "actor", "teacher": "teacher", "student": "policy"}),
        (("pixels",), {}, {"actor": "pixels", "critic": "pixels", "teacher": "pixels", "rnd_state": "pixels"}),
        (("left", "right"), {}, {"actor": None, "critic": None, "teacher": None}),
        (("left", "right"), {"student": ("left",)}, {"teacher": "left"}),
    ],
)
def test_the_rule(available, known, expected):
    for name, groups in expected.items():
        groups = (groups,) if isinstance(groups, str) else groups
        assert default_groups(name, available, known) == groups, name


def test_a_choice_is_warned_of_and_what_cannot_be_guessed_is_refused():
    with pytest.warns(UserWarning, match="obs_groups has no entry") as warned:
        resolved = resolve_obs_groups(PLAYGROUND, {}, ["actor", "critic"])
    assert resolved == {"actor": ("state",), "critic": ("privileged_state",)}
    assert [str(each.message) for each in warned] == [
        "obs_groups has no entry 'actor'; taking the group 'state' out of ['privileged_state', 'state'].",
        "obs_groups has no entry 'critic'; taking the group 'privileged_state' out of ['privileged_state', 'state'].",
    ]
    with pytest.warns(UserWarning, match=r"no entry 'critic'; taking the groups \['a', 'b'\] out of \['a', 'b'\]"):
        resolve_obs_groups(("a", "b"), {"actor": ("a", "b")}, ["critic"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_obs_groups(("pixels",), {}, ["actor"]) == {"actor": ("pixels",)}
        assert resolve_obs_groups(PLAYGROUND, {}, ["actor"], warn=False) == {"actor": ("state",)}
    with pytest.raises(ValueError, match=r"neither a group 'actor' nor 'policy'.*with some of \['left', 'right'\]"):
        resolve_obs_groups(("left", "right"), {}, ["actor", "critic"])


@pytest.mark.filterwarnings("ignore:obs_groups has no entry")
def test_algorithms_carry_what_the_command_line_would_write_down():
    spec = Spec({"state": (3,), "privileged_state": (5,)}, num_actions=2, num_envs=4)
    ppo = PPO.build(RunnerConfig.from_dict({}), spec)
    assert ppo.obs_groups == train.obs_groups({}, PLAYGROUND)
    assert (ppo.actor.obs_groups, ppo.critic.obs_groups) == (("state",), ("privileged_state",))
    student = Distillation.build(RunnerConfig.from_dict({"algorithm": {"class_name": "Distillation"}}), spec)
    assert student.obs_groups == {"teacher": ("privileged_state",), **distill.obs_groups({}, PLAYGROUND)}


def test_the_command_line_leaves_what_is_given():
    assert train.obs_groups({"actor": ("state",)}, PLAYGROUND) == {"actor": ("state",)}
    assert distill.obs_groups({"teacher": ("state",)}, PLAYGROUND) == {"student": ("state",), "teacher": ("state",)}
    assert train.obs_groups({}, ("left", "right")) == {}
