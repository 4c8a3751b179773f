"""Config sections of PPO's extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rsl_jax.config.keys import Activation, Count, LayerSizes, NonNegative
from rsl_jax.config.sections import Checked, Section


@dataclass(frozen=True)
class WeightScheduleConfig(Checked):
    """Schedule of the intrinsic reward's weight over the steps of each environment.

    Attributes:
        mode: constant keeps the initial weight, step switches to the final one, linear interpolates to it.
        initial_step: step where the interpolation starts; linear only.
        final_step: step from which the weight is the final one; step and linear.
        final_value: the final weight; step and linear. As in RSL-RL it is not multiplied by `step_dt`.
    """

    mode: Literal["constant", "step", "linear"] = "constant"
    initial_step: int | None = None
    final_step: int | None = None
    final_value: float | None = None

    def __post_init__(self) -> None:
        """Reject a schedule that lacks a number, or ends before it starts."""
        super().__post_init__()
        wanted = {"constant": (), "step": ("final_step", "final_value")}.get(
            self.mode, ("initial_step", "final_step", "final_value")
        )
        missing = [name for name in wanted if getattr(self, name) is None]
        if missing:
            raise ValueError(f"A weight_schedule of mode '{self.mode}' needs {' and '.join(missing)}.")
        if self.mode == "linear" and not (self.initial_step or 0) < (self.final_step or 0):
            raise ValueError(
                f"A linear weight_schedule needs initial_step < final_step; got {self.initial_step} and "
                f"{self.final_step}."
            )


@dataclass(frozen=True)
class RndConfig(Section):
    """Random network distillation: a reward for observations that a predictor has not learned yet.

    Attributes:
        weight: weight of the intrinsic reward per second; multiplied by the environment's `step_dt`.
        weight_schedule: how the weight changes; null keeps it.
        reward_normalization: whether intrinsic rewards are divided by the running deviation of their discounted sums.
        state_normalization: whether the networks' inputs are normalised by their running moments.
        learning_rate: rate of the predictor's own Adam.
        num_outputs: output size of target and predictor.
        predictor_hidden_dims: sizes of the predictor's hidden layers; -1 means the size of the input.
        target_hidden_dims: likewise of the target, which never learns.
        activation: name of the activation of both.
    """

    class_name: str = "RandomNetworkDistillation"
    weight: float = 0.0
    weight_schedule: WeightScheduleConfig | None = None
    reward_normalization: bool = False
    state_normalization: bool = False
    learning_rate: NonNegative = 1e-3
    num_outputs: Count = 1
    predictor_hidden_dims: LayerSizes = (-1,)
    target_hidden_dims: LayerSizes = (-1,)
    activation: Activation = "elu"


@dataclass(frozen=True)
class Mirror(Checked):
    """Mirror of a vector: some entries are swapped, some change their sign, the rest stays.

    A mirror must be its own inverse, which is checked, as are the indices.

    Attributes:
        size: size of the vector.
        swap: pairs of indices that are swapped (left leg and right leg).
        flip: indices whose sign changes (sideways speed, roll, yaw), of a swapped pair both.
    """

    size: Count
    swap: tuple[tuple[int, int], ...] = ()
    flip: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Reject what is not a mirror of a vector of this size."""
        super().__post_init__()
        for name, indices in (("swap", [index for pair in self.swap for index in pair]), ("flip", self.flip)):
            beyond = [index for index in indices if not 0 <= index < self.size]
            if beyond:
                raise ValueError(f"{name} names the index {beyond[0]} of a vector with indices 0 to {self.size - 1}.")
            if len(set(indices)) < len(indices):
                raise ValueError(f"{name} names an index twice; each may be named once: {list(indices)}.")
        for first, second in self.swap:
            if (first in self.flip) != (second in self.flip):
                raise ValueError(
                    f"The indices {first} and {second} are swapped and only one of them is flipped, so mirroring twice "
                    "would not give back what was there. Flip both or none."
                )

    @classmethod
    def from_permutation(cls, permutation: Sequence[int], signs: Sequence[float] | None = None) -> Mirror:
        """Return the mirror whose entry ``i`` is ``signs[i] * vector[permutation[i]]``.

        Args:
            permutation: the indices in their new order, ``[size]``.
            signs: 1 or -1 for each, ``[size]``; all 1 if None.

        Raises:
            ValueError: if this is not a signed permutation, or not its own inverse.
        """
        size = len(permutation)
        signs = [1] * size if signs is None else signs
        if sorted(permutation) != list(range(size)):
            raise ValueError(
                f"A permutation of {size} entries names 0 to {size - 1} once each; got {list(permutation)}."
            )
        if len(signs) != size or any(sign not in (1, -1) for sign in signs):
            raise ValueError(f"signs are 1 or -1, one for each of the {size} entries; got {list(signs)}.")
        for index, source in enumerate(permutation):
            if permutation[source] != index:
                raise ValueError(
                    f"Entry {index} comes from {source} and {source} from {permutation[source]}, so mirroring twice "
                    "would not give back what was there."
                )
        return cls(
            size,
            swap=tuple((int(index), int(source)) for index, source in enumerate(permutation) if index < source),
            flip=tuple(index for index, sign in enumerate(signs) if sign == -1),
        )

    @property
    def permutation(self) -> tuple[int, ...]:
        """Index of the source of each entry of the mirrored vector."""
        sources = {**dict(self.swap), **{second: first for first, second in self.swap}}
        return tuple(sources.get(index, index) for index in range(self.size))

    @property
    def signs(self) -> tuple[int, ...]:
        """Factor of each entry of the mirrored vector."""
        return tuple(-1 if index in self.flip else 1 for index in range(self.size))


@dataclass(frozen=True)
class MirrorSpec:
    """The mirror of a robot, of its observations and actions.

    Attributes:
        observations: mirror of each observation group that a model uses.
        actions: mirror of the actions.
    """

    observations: Mapping[str, Mirror]
    actions: Mirror


@dataclass(frozen=True)
class SymmetryConfig(Section):
    """Mirrored copies of the collected data, for data augmentation or for a mirror loss.

    Attributes:
        use_data_augmentation: whether mirrored samples are learned from like collected ones.
        use_mirror_loss: whether a loss makes the policy's mirrored actions agree with its actions in mirrored states.
        data_augmentation_func: `(env, obs, actions) -> (obs, actions)`, a callable or its import path; returns the
            originals first and then their mirror images.
        mirror_loss_coeff: weight of the mirror loss.
        mirror_spec: the mirror as lists of indices, in place of a function (not in RSL-RL).
    """

    class_name: str = "Symmetry"
    use_data_augmentation: bool = False
    use_mirror_loss: bool = False
    data_augmentation_func: Callable[..., Any] | str | None = None
    mirror_loss_coeff: NonNegative = 0.0
    mirror_spec: MirrorSpec | None = None

    def __post_init__(self) -> None:
        """Reject a section that does not define the mirror, or defines it twice."""
        super().__post_init__()
        if (self.data_augmentation_func is None) == (self.mirror_spec is None):
            raise ValueError("symmetry needs either a data_augmentation_func or a mirror_spec, and not both.")
