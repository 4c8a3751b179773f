"""The sections of the library's parts by name, written by ``python -m rsl_jax.config.derive``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from rsl_jax.config.algorithms import DistillationConfig, PPOConfig
from rsl_jax.config.encoders import CNNConfig
from rsl_jax.config.extensions import RndConfig, SymmetryConfig
from rsl_jax.config.keys import Activation, Count, LayerSizes, Limit, OneOf, Part, Positive
from rsl_jax.config.sections import Section


@dataclass(frozen=True)
class MLPModelConfig(Section):
    """Normalised 1-D observation groups, concatenated, through an MLP.

    Attributes:
        hidden_dims: sizes of the MLP's hidden layers; -1 means the size of its input.
        activation: name of the activation.
        obs_normalization: whether to normalise 1-D observations by their running moments.
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor, which
            then gets what the environment needs: a Gaussian, or a Categorical for discrete actions.
    """

    class_name: str = "MLPModel"
    hidden_dims: LayerSizes = (256, 256, 256)
    activation: Activation = "elu"
    obs_normalization: bool = False
    distribution_cfg: Annotated[Any, Part("distribution", default="GaussianDistribution")] | None = None


@dataclass(frozen=True)
class RNNModelConfig(Section):
    """Normalised 1-D observation groups, concatenated, through an RNN, whose output goes through an MLP.

    Attributes:
        hidden_dims: sizes of the MLP's hidden layers; -1 means the size of its input.
        activation: name of the activation.
        obs_normalization: whether to normalise 1-D observations by their running moments.
        rnn_type: kind of recurrent layer.
        rnn_hidden_dim: size ``H`` of each hidden state.
        rnn_num_layers: number of recurrent layers.
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor, which
            then gets what the environment needs: a Gaussian, or a Categorical for discrete actions.
    """

    class_name: str = "RNNModel"
    hidden_dims: LayerSizes = (256, 256, 256)
    activation: Activation = "elu"
    obs_normalization: bool = False
    rnn_type: Annotated[str, OneOf(("lstm", "gru"))] = "lstm"
    rnn_hidden_dim: Count = 256
    rnn_num_layers: Count = 1
    distribution_cfg: Annotated[Any, Part("distribution", default="GaussianDistribution")] | None = None


@dataclass(frozen=True)
class CNNModelConfig(Section):
    """Images through one encoder per group, beside normalised 1-D observation groups (if any), through an MLP.

    Attributes:
        hidden_dims: sizes of the MLP's hidden layers; -1 means the size of its input.
        activation: name of the activation.
        obs_normalization: whether to normalise 1-D observations by their running moments.
        cnn_cfg: the encoder of all image groups, or a mapping from their names to encoders.
        distribution_cfg: distribution over the output. Without one a model is deterministic, but for PPO's actor, which
            then gets what the environment needs: a Gaussian, or a Categorical for discrete actions.
    """

    class_name: str = "CNNModel"
    hidden_dims: LayerSizes = (256, 256, 256)
    activation: Activation = "elu"
    obs_normalization: bool = False
    cnn_cfg: CNNConfig | Mapping[str, CNNConfig] | None = None
    distribution_cfg: Annotated[Any, Part("distribution", default="GaussianDistribution")] | None = None


@dataclass(frozen=True)
class GaussianDistributionConfig(Section):
    """Gaussian whose mean is the network's output and whose standard deviation is a separate parameter.

    Attributes:
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation; the smallest is never below 1e-6.
        std_type: whether the standard deviation itself is learned (scalar) or its logarithm.
        learn_std: whether the standard deviation is trained.
    """

    class_name: str = "GaussianDistribution"
    init_std: Positive = 1.0
    std_range: tuple[Limit, Limit] = (1e-06, 1000000.0)
    std_type: Literal["scalar", "log"] = "scalar"
    learn_std: bool = True


@dataclass(frozen=True)
class HeteroscedasticGaussianDistributionConfig(Section):
    """Gaussian whose means and standard deviations are both outputs of the network.

    Attributes:
        init_std: initial standard deviation.
        std_range: smallest and largest standard deviation; the smallest is never below 1e-6.
        std_type: whether the network outputs the standard deviation itself (scalar) or its logarithm.
    """

    class_name: str = "HeteroscedasticGaussianDistribution"
    init_std: Positive = 1.0
    std_range: tuple[Limit, Limit] = (1e-06, 1000000.0)
    std_type: Literal["scalar", "log"] = "scalar"


@dataclass(frozen=True)
class BetaDistributionConfig(Section):
    """Beta distribution per action, stretched over ``action_range``.

    Attributes:
        action_range: smallest and largest action.
    """

    class_name: str = "BetaDistribution"
    action_range: tuple[float, float] = (-1.0, 1.0)


@dataclass(frozen=True)
class CategoricalDistributionConfig(Section):
    """Discrete actions whose unnormalised log-probabilities are the network's outputs (not in RSL-RL)."""

    class_name: str = "CategoricalDistribution"


KNOWN: Mapping[str, type] = {
    section.class_name: section
    for section in (
        PPOConfig,
        DistillationConfig,
        RndConfig,
        SymmetryConfig,
        MLPModelConfig,
        RNNModelConfig,
        CNNModelConfig,
        GaussianDistributionConfig,
        HeteroscedasticGaussianDistributionConfig,
        BetaDistributionConfig,
        CategoricalDistributionConfig,
    )
}
"""By ``class_name``."""
