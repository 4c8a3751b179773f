"""``runner.alg``: RSL-RL's interface to the algorithm and its models, for scripts written for RSL-RL.

In RSL-RL the algorithm and its models are stateful PyTorch objects. Here both are pure functions, and the
runner holds their state; these views read it and return tensors, under the names of PyTorch and RSL-RL. A name
that cannot be served raises an ``AttributeError`` that says why, and what to do (:data:`NOT_OF_ALGORITHMS`,
:data:`NOT_OF_MODELS`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from rsl_jax.algorithms.variables import variables_of
from rsl_jax.env.arrays import like, to_jax, to_jax_observations
from rsl_jax.interop import from_rsl_rl, to_rsl_rl
from rsl_jax.models import ENCODERS, build_model, resolve_obs_groups
from rsl_jax.models.cnn_model import image_groups, with_encoders_of
from rsl_jax.ops import reset_carry
from rsl_jax.training.sharding import to_device

if TYPE_CHECKING:
    from rsl_jax.runners.on_policy_runner import OnPolicyRunner

_COMPILED = "collecting and learning are compiled functions here"

NOT_OF_ALGORITHMS: Mapping[str, str] = {
    "act": f"{_COMPILED}: runner.learn() calls them, runner.get_inference_policy() and alg.get_policy() act.",
    "process_env_step": f"{_COMPILED}: runner.learn() calls them. What an environment reports goes into extras['log'].",
    "compute_returns": f"{_COMPILED}: runner.learn() calls them.",
    "update": f"{_COMPILED}: runner.learn(1) does one iteration. Another loss is an extension (docs/custom_parts.md).",
    "storage": "a rollout is an argument of the compiled update and is gone after it.",
    "transition": "a rollout is an argument of the compiled update and is gone after it.",
    "intrinsic_rewards": "they are computed within the update; runner.metrics has 'Rnd/mean_intrinsic_reward'.",
    "optimizer": "it is a part of the training state. alg.learning_rate reads and sets the rate, alg.save() has the "
    "rest under 'optimizer_state_dict'.",
    "symmetry": "it is a pure extension; its settings are cfg.algorithm.symmetry_cfg.",
    "broadcast_parameters": "all devices of all processes start from the same seed, so they hold the same parameters.",
    "reduce_parameters": "gradients are averaged over all devices within the compiled update.",
    "construct_algorithm": "OnPolicyRunner(env, cfg) builds the algorithm. One of your own is a callable by its import "
    "path (docs/custom_parts.md).",
    "loss_fn": "it is a part of the compiled update; cfg.algorithm.loss_type says which.",
    "num_updates": "runner.state.iteration counts finished iterations.",
    "last_hidden_states": "hidden states are in runner.loop_state.carry.",
}
"""Attributes of RSL-RL's algorithms that :class:`AlgorithmView` lacks, with the reason."""

_FUNCTIONAL = "models are pure functions here (flax), and the training state holds what they learn"

NOT_OF_MODELS: Mapping[str, str] = {
    "parameters": f"{_FUNCTIONAL}. state_dict() and load_state_dict() read and set it; runner.state.params has it as a "
    "pytree.",
    "named_parameters": f"{_FUNCTIONAL}. state_dict() has it by name.",
    "get_latent": f"{_FUNCTIONAL}. rsl_jax.models.MLPModel.latent is that function.",
    "detach_hidden_state": "gradients are cut by gradient_length within the compiled update.",
    "distribution": f"{_FUNCTIONAL}. output_std, output_mean and get_output_log_prob answer for the last observations.",
    "update_normalization": "normalisers learn at the end of each iteration, within the compiled update.",
    "get_kl_divergence": "the divergence is a part of the compiled update.",
    "latent_dim": "as_jit().mlp[0].in_features is it.",
    "cnn_latent_dim": "as_jit().mlp[0].in_features is it, with obs_dim.",
}
"""Attributes of RSL-RL's models that :class:`ModelView` lacks, with the reason."""


class AlgorithmView:
    """View of the algorithm with RSL-RL's interface: ``save``, ``load``, ``get_policy``, ``learning_rate``, models.

    Hyper-parameters (``gamma``, ``num_mini_batches``, ...) are those of the config; models are found by their names
    (``actor`` and ``critic``, ``student`` and ``teacher``).

    Attributes:
        is_multi_gpu: whether several processes train.
    """

    def __init__(self, runner: OnPolicyRunner):
        self.is_multi_gpu = runner.is_distributed
        self._runner = runner
        self._views: dict[str, ModelView] = {}

    def save(self) -> dict[str, Any]:
        """Return the state dicts of all models and of the optimiser, as tensors under RSL-RL's names.

        Raises:
            ImportError: if PyTorch is not installed.
            ValueError: if RSL-RL has no name for something.
        """
        content = to_rsl_rl(self._runner.state, self._runner.cfg, iteration=self._runner.current_learning_iteration)
        return {name: part for name, part in content.items() if name not in ("iter", "infos")}

    def load(
        self, loaded_dict: Mapping[str, Any], load_cfg: Mapping[str, bool] | None = None, strict: bool = True
    ) -> bool:
        """Load a state dict that RSL-RL, or :meth:`save`, produced.

        Args:
            loaded_dict: the dict, of any version of RSL-RL.
            load_cfg: which parts to load; None for all there are. See :meth:`OnPolicyRunner.load`.
            strict: whether everything must fit; otherwise a part that does not fit keeps its value, with a warning.

        Returns:
            whether training continues from the dict's ``iter``.

        Raises:
            ValueError: if it does not fit.
        """
        runner = self._runner
        adopts = runner.algorithm.adopts
        loaded = from_rsl_rl(loaded_dict, runner.state, cfg=runner.cfg, adopts=adopts, load_cfg=load_cfg, strict=strict)
        runner.take(loaded)
        return loaded.iteration is not None

    def get_policy(self) -> ModelView:
        """Return the model that acts."""
        return getattr(self, "student" if "student" in self._runner.state.params else "actor")

    @property
    def learning_rate(self) -> float:
        """The current learning rate; can be set."""
        return float(str(np.asarray(self._runner.state.learning_rate)[()]))

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        state = self._runner.state
        new = jnp.full_like(state.learning_rate, float(rate))
        self._runner.state = dataclasses.replace(state, learning_rate=new)

    @property
    def rnd(self) -> RndView | None:
        """View of random network distillation (RND); None where it is not used."""
        return RndView(self._runner) if "rnd" in self._runner.state.extensions else None

    @property
    def teacher_loaded(self) -> bool:
        """Whether every model that is not trained here (the teacher) was loaded."""
        return all(self._runner.has_loaded(name) for name in self._runner.algorithm.given)

    @property
    def policy(self) -> ActorCriticView:
        """The policy as RSL-RL 2 and 3 expose it, in place of separate models."""
        return ActorCriticView(self)

    @property
    def actor_critic(self) -> ActorCriticView:
        """Alias of :attr:`policy`, by the name of RSL-RL 1 and 2."""
        return self.policy

    @property
    def device(self) -> Any:
        """The runner's device."""
        return self._runner.device

    @property
    def gpu_world_size(self) -> int:
        """Number of training processes."""
        return self._runner.gpu_world_size

    @property
    def gpu_global_rank(self) -> int:
        """Rank of this process."""
        return self._runner.gpu_global_rank

    def train_mode(self) -> None:
        """Do nothing: training and evaluation mode are arguments of the functions."""

    def eval_mode(self) -> None:
        """Do nothing: training and evaluation mode are arguments of the functions."""

    def compile(self, mode: str | None = None) -> None:
        """Do nothing: everything is compiled already."""

    def __getattr__(self, name: str) -> Any:
        """Return a model, or a hyper-parameter.

        Raises:
            AttributeError: if there is none of this name; the message says why.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        if isinstance(vars(type(self)).get(name), property):
            return vars(type(self))[name].fget(self)  # has failed before, and does so with its own message
        if name in NOT_OF_ALGORITHMS:
            raise AttributeError(f"alg.{name} does not exist here: {NOT_OF_ALGORITHMS[name]}")
        models, section = self._runner.state.params, self._runner.cfg.algorithm
        if name in models:
            return self._view(name)
        if name in section:
            return section[name]
        raise AttributeError(
            f"alg has no '{name}'. Its models are {', '.join(models)}; its settings {', '.join(section)}."
        )

    def __dir__(self) -> list[str]:
        """List the attributes, with models and hyper-parameters."""
        return [*super().__dir__(), *self._runner.state.params, *self._runner.cfg.algorithm]

    def _view(self, name: str) -> ModelView:
        if name not in self._views:
            self._views[name] = ModelView(self, self._runner, name)
        return self._views[name]


class ModelView:
    """View of a model with RSL-RL's interface: called with observations it returns actions (or values) ``[N, A]``.

    It reads the runner's state, so it follows the training. PyTorch modules that it returns
    (``as_jit()``, ``as_onnx()``, ``mlp``, ``obs_normalizer``, ``rnn``, ``cnns``) are copies taken at that moment.

    Attributes:
        name: of the model.
    """

    def __init__(self, alg: AlgorithmView, runner: OnPolicyRunner, name: str):
        self.name = name
        self._alg, self._runner = alg, runner
        self._model = _model_of(runner, name)
        self._mode = jax.jit(lambda variables, *args: self._model.apply(variables, *args, method="mode"))
        self._parameters = jax.jit(lambda variables, *args: self._model.apply(variables, *args))
        self._carry: Any = None
        self._last: tuple[Any, Any] | None = None
        self._variables_of: tuple[Any, Any] = (None, None)
        self._key = jax.random.key(runner.seed)

    # --- acting -----------------------------------------------------------------------------------------------------

    def __call__(
        self, obs: Mapping[str, Any], masks: Any = None, hidden_state: Any = None, stochastic_output: bool = False
    ) -> Any:
        """Compute the output for observations with leaves ``[N, ...]``, as the same kind of arrays.

        Args:
            obs: the observations.
            masks: not supported: rollouts are not padded here.
            hidden_state: not supported: the view keeps hidden states itself, and :meth:`reset` zeroes them.
            stochastic_output: whether to sample from the distribution.

        Raises:
            TypeError: for masks or hidden states.
        """
        if masks is not None or hidden_state is not None:
            raise TypeError(
                f"'{self.name}' takes observations alone: rollouts are not padded here, and hidden states are kept "
                "within. reset(dones) forgets them."
            )
        inputs = to_jax_observations(obs)
        num_envs = next(iter(inputs.values())).shape[0]
        carry = self._model.initial_carry(num_envs) if self._carry is None else self._carry
        self._last = (inputs, carry)
        if not stochastic_output or self._model.distribution is None:
            output, self._carry = self._mode(self._variables(), inputs, carry)
            return like(obs, output)
        parameters, self._carry = self._parameters(self._variables(), inputs, carry)
        self._key, key = jax.random.split(self._key)
        return like(obs, self._model.distribution.sample(parameters, key))

    forward = __call__

    def reset(self, dones: Any = None, hidden_state: Any = None) -> None:
        """Reset hidden states of all environments, or of those where ``dones`` ``[N]``."""
        if dones is None or self._carry is None:
            self._carry = None
        else:
            self._carry = reset_carry(self._carry, to_jax(dones).astype(bool))

    def get_hidden_state(self) -> Any:
        """Return the hidden states, JAX arrays ``[N, ...]``; None where the model is not recurrent."""
        return self._carry if jax.tree.leaves(self._carry) else None

    # --- the distribution of the last observations ------------------------------------------------------------------

    @property
    def output_distribution_params(self) -> tuple[Any, ...]:
        """Parameters of the distribution, tensors ``[N, A]``."""
        return tuple(_tensor(array) for array in self._distribution_params())

    @property
    def output_mean(self) -> Any:
        """The deterministic actions, a tensor ``[N, A]``."""
        return _tensor(self._distribution().mode(self._distribution_params()))

    @property
    def output_std(self) -> Any:
        """The standard deviation of the actions, a tensor ``[N, A]``."""
        distribution = self._distribution()
        if distribution.std is None:
            raise AttributeError(f"The distribution of '{self.name}' has no standard deviation: actions are discrete.")
        return _tensor(distribution.std(self._distribution_params(fixed=bool(distribution.init_extra()))))

    @property
    def output_entropy(self) -> Any:
        """The distribution's entropy, a tensor ``[N]``."""
        return _tensor(self._distribution().entropy(self._distribution_params()))

    def get_output_log_prob(self, outputs: Any) -> Any:
        """Compute the log-probabilities ``[N]`` of outputs ``[N, A]``."""
        return _tensor(self._distribution().log_prob(self._distribution_params(), to_jax(outputs)))

    # --- as PyTorch has it --------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return parameters and normaliser as tensors under RSL-RL's names; copies."""
        return self._alg.save()[f"{self.name}_state_dict"]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Load parameters and normaliser into the training state.

        Raises:
            ValueError: if they do not fit and ``strict``.
        """
        self._alg.load({f"{self.name}_state_dict": state_dict}, {self.name: True}, strict)

    def as_jit(self) -> Any:
        """Return a PyTorch module that ``torch.jit.script`` compiles: ``forward(obs)``, ``reset()``.

        Raises:
            ExportError: if the model is of a custom class.
        """
        from rsl_jax.export.torchscript import torch_policy

        return torch_policy(self._model, self._variables())

    def as_onnx(self, verbose: bool = False) -> Any:
        """Return a PyTorch module for ``torch.onnx.export``: ``get_dummy_inputs()``, ``input_names``, ``output_names``.

        Hidden states are inputs and outputs: ``h_in`` and ``h_out``, of an LSTM also ``c_in`` and ``c_out``.

        Raises:
            ExportError: if the model is of a custom class.
        """
        from rsl_jax.export.onnx_modules import onnx_module

        model = self._model
        images = {group: model.obs_shapes[group] for group in image_groups(model.obs_shapes, model.obs_groups)}
        return onnx_module(self.as_jit(), model.obs_dim, images, verbose).eval()

    def to(self, device: Any = None, *args: Any, **kwargs: Any) -> ModelView:
        """Return itself: it acts on the runner's device, and its outputs are on the device of the observations."""
        return self

    def eval(self) -> ModelView:
        """Return itself: training and evaluation mode are arguments of the functions."""
        return self

    def train(self, mode: bool = True) -> ModelView:
        """Return itself: training and evaluation mode are arguments of the functions."""
        return self

    @property
    def is_recurrent(self) -> bool:
        """Whether the model is recurrent."""
        return bool(jax.tree.leaves(jax.eval_shape(lambda: self._model.initial_carry(1))))

    def __getattr__(self, name: str) -> Any:
        """Return a setting of the model, or a part of it as a PyTorch module.

        Raises:
            AttributeError: if there is none of this name; the message says why.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        if isinstance(vars(type(self)).get(name), property):
            return vars(type(self))[name].fget(self)  # has failed before, and does so with its own message
        if name in NOT_OF_MODELS:
            raise AttributeError(f"{self.name}.{name} does not exist here: {NOT_OF_MODELS[name]}")
        if name in ("mlp", "obs_normalizer", "rnn", "cnns", "deterministic_output"):
            return getattr(self.as_jit(), name)
        model = self._model
        images = image_groups(model.obs_shapes, model.obs_groups)
        settings = {
            "obs_groups": list(model.groups_1d),
            "obs_dim": model.obs_dim,
            "obs_groups_2d": list(images),
            "obs_dims_2d": [tuple(model.obs_shapes[group][1:]) for group in images],
            "obs_channels_2d": [model.obs_shapes[group][0] for group in images],
        }
        if name in settings:
            return settings[name]
        section = self._runner.cfg[self.name]
        if name in section:
            return section[name]
        raise AttributeError(f"The {self.name} has no '{name}'.")

    # --- within -----------------------------------------------------------------------------------------------------

    def _variables(self) -> Any:
        """Return the current variables on the runner's device; copies, because training donates its buffers."""
        runner = self._runner
        if self._variables_of[0] is not runner.state:
            shared = _shared(runner) if self.name == "critic" else ()
            variables = to_device(variables_of(runner.state, self.name, shared), runner._devices.local[0])
            self._variables_of = (runner.state, jax.tree.map(jnp.copy, variables))
        return self._variables_of[1]

    def _distribution(self) -> Any:
        if self._model.distribution is None:
            raise AttributeError(f"The {self.name} is deterministic: it has no distribution.")
        return self._model.distribution

    def _distribution_params(self, fixed: bool = False) -> Any:
        """Return parameters for the last observations; for zeros if there are none and any will do (``fixed``)."""
        self._distribution()
        last = self._last
        if last is None and fixed:
            shapes = self._model.obs_shapes
            num_envs = self._runner.env.num_envs
            zeros = {group: jnp.zeros((num_envs, *shapes[group])) for group in self._model.obs_groups}
            last = (zeros, self._model.initial_carry(num_envs))
        if last is None:
            raise AttributeError(f"The {self.name} has not been called yet. Call it with observations first.")
        return self._parameters(self._variables(), *last)[0]


class RndView:
    """View of random network distillation (RND) with RSL-RL's interface."""

    def __init__(self, runner: OnPolicyRunner):
        self._runner = runner

    @property
    def weight(self) -> float:
        """Weight of the intrinsic reward in the last iteration; before it, that of the first step."""
        runner: Any = self._runner
        return runner.metrics.get("Rnd/weight", runner.cfg.algorithm.rnd_cfg.weight * runner.spec.step_dt)

    def state_dict(self) -> dict[str, Any]:
        """Return networks and normalisers as tensors under RSL-RL's names; copies."""
        return self._runner.alg.save()["rnd_state_dict"]

    def __getattr__(self, name: str) -> Any:
        """Raise an error that lists the supported attributes.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            f"alg.rnd.{name} does not exist here: curiosity is a pure extension. Its state is "
            "runner.state.extensions['rnd'], its settings are cfg.algorithm.rnd_cfg. There are alg.rnd.weight and "
            "alg.rnd.state_dict()."
        )


class ActorCriticView:
    """View of the policy with the interface of RSL-RL 1 to 4 (``alg.policy``, ``alg.actor_critic``).

    ``actor``, ``critic``, ``student`` and ``teacher`` are PyTorch modules that exporters of that time copy:
    the MLP alone, without the normaliser (``actor_obs_normalizer``) and the memory (``memory_a.rnn``).
    """

    def __init__(self, alg: AlgorithmView):
        self._alg = alg

    @property
    def is_recurrent(self) -> bool:
        """Whether the model is recurrent."""
        return self._alg.get_policy().is_recurrent

    @property
    def action_std(self) -> Any:
        """The standard deviation of the actions, a tensor ``[N, A]``."""
        return self._alg.get_policy().output_std

    def act_inference(self, observations: Mapping[str, Any]) -> Any:
        """Compute the deterministic actions."""
        return self._alg.get_policy()(observations)

    def act(self, observations: Mapping[str, Any]) -> Any:
        """Sample actions."""
        return self._alg.get_policy()(observations, stochastic_output=True)

    def evaluate(self, observations: Mapping[str, Any]) -> Any:
        """Compute the critic's values, or the teacher's actions."""
        models = self._alg._runner.state.params
        return self._alg._view("critic" if "critic" in models else "teacher")(observations)

    def reset(self, dones: Any = None) -> None:
        """Reset hidden states of all environments, or of those where ``dones``."""
        self._alg.get_policy().reset(dones)

    def eval(self) -> ActorCriticView:
        """Return itself."""
        return self

    def __getattr__(self, name: str) -> Any:
        """Return a part as a PyTorch module.

        Raises:
            AttributeError: if there is none.
        """
        models = self._alg._runner.state.params
        short = {"a": "actor", "c": "critic", "s": "student", "t": "teacher"}
        if name in models:
            import torch

            module = self._alg._view(name).as_jit()
            return torch.nn.Sequential(*module.mlp, module.deterministic_output)
        model, _, part = name.partition("_")
        if model in models and part == "obs_normalizer":
            return self._alg._view(model).obs_normalizer
        if model == "memory" and short.get(part) in models and self._alg._view(short[part]).is_recurrent:
            return self._alg._view(short[part]).as_jit()  # which has it as its `rnn`
        raise AttributeError(
            f"alg.policy has no '{name}'. It stands in for the policies of RSL-RL 1 to 4: {', '.join(models)}, their "
            "*_obs_normalizer, act_inference(), evaluate(), reset(), action_std. alg.get_policy() is today's."
        )


def _model_of(runner: OnPolicyRunner, name: str) -> Any:
    """Return the linen module of a model."""
    policy, _ = runner.algorithm.policy_model(runner.state)
    if name in ("actor", "student"):
        return policy
    cfg: Any = runner.cfg
    groups = resolve_obs_groups(list(runner.spec.observations), cfg.obs_groups, list(runner.state.params))
    section = cfg[name]
    if _shared(runner) and name == "critic":
        section = with_encoders_of(cfg.actor, section, runner.spec.observations, groups)
    output_dim = 1 if name == "critic" else runner.spec.num_actions
    return build_model(section, runner.spec, obs_set=name, obs_groups=groups, output_dim=output_dim)


def _shared(runner: OnPolicyRunner) -> tuple[str, ...]:
    return (ENCODERS,) if getattr(runner.cfg.algorithm, "share_cnn_encoders", False) else ()


def _tensor(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.array(array))
