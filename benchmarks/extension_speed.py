"""Duration of an update with curiosity (RND), and with mirrored data and mirror loss: ours and RSL-RL's.

Run ``python benchmarks/extension_speed.py`` with rsl-rl-lib==5.5.1 installed, on an otherwise idle machine. It measures
as ``update_speed.py`` does: the two alternate, and the result is the ratio of medians. Rows with distant quartiles are
marked as disturbed: something else ran at the same time, and they are invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import jax.numpy as jnp
import torch
import tyro
from reference_rsl_rl import reference_update
from reporting import comparison, show_table, speedup_text, write_json
from update_speed import limit_threads
from updates import Size, in_turns, made_up_rollout, our_update


def mirror(env: Any, obs: Any, actions: Any) -> tuple[Any, Any]:
    """Mirror a vector in both libraries: swap its halves and flip the sign of every third entry."""
    del env
    mirrored = None if obs is None else {"policy": _both(obs["policy"])}
    if obs is not None and not isinstance(obs, dict):
        mirrored = type(obs)(mirrored, 2 * obs.batch_size[0])
    return mirrored, None if actions is None else _both(actions)


def _both(x: Any) -> Any:
    half = x.shape[1] // 2
    order = [*range(half, x.shape[1]), *range(half)]
    signs = [-1.0 if index % 3 == 0 else 1.0 for index in range(half)] * 2
    if isinstance(x, torch.Tensor):
        return torch.cat([x, x[:, order] * torch.tensor(signs)])
    return jnp.concatenate([x, x[:, jnp.array(order)] * jnp.array(signs)])


@dataclass(frozen=True)
class ExtendedSize(Size):
    """Size of a problem, with sections of extensions.

    Attributes:
        label: what is extended, for the table.
        sections: sections of the ``algorithm`` section.
    """

    label: str = ""
    sections: Mapping[str, Any] = field(default_factory=dict)

    def train_cfg(self) -> dict[str, Any]:
        """RSL-RL's config."""
        cfg = super().train_cfg()
        groups = {**cfg["obs_groups"], "rnd_state": ["policy"]}
        return {**cfg, "obs_groups": groups, "algorithm": {**cfg["algorithm"], **self.sections}}


RND = {
    "weight": 1.0,
    "state_normalization": True,
    "reward_normalization": True,
    "num_outputs": 16,
    "predictor_hidden_dims": [128, 128],
    "target_hidden_dims": [128, 128],
}
SYMMETRY = {
    "data_augmentation_func": mirror,
    "use_data_augmentation": True,
    "use_mirror_loss": True,
    "mirror_loss_coeff": 0.1,
}
NETWORK = (512, 256, 128)

SIZES = (
    ExtendedSize(512, 24, NETWORK, speedup=1.3, label="nothing, to compare"),
    ExtendedSize(512, 24, NETWORK, speedup=1.3, label="RND", sections={"rnd_cfg": RND}),
    ExtendedSize(512, 24, NETWORK, speedup=1.3, label="augmentation, mirror loss", sections={"symmetry_cfg": SYMMETRY}),
)
COLUMNS = ("with", "envs x steps, hidden", "RSL-RL", "rsl_jax", "speed-up", "compile")


def measure(size: ExtendedSize, rounds: int, pause: float) -> dict[str, Any]:
    """Measure the medians and their ratio for a size."""
    made_up = made_up_rollout(size)
    theirs, acted = reference_update(size.train_cfg(), made_up)
    ours, compile_seconds = our_update(size, made_up, acted)
    seconds = in_turns({"rsl_rl": theirs, "rsl_jax": ours}, rounds, pause)
    return {
        "label": size.label,
        "size": {name: value for name, value in asdict(size).items() if name != "sections"},
        **comparison(seconds),
        "compile_seconds": compile_seconds,
    }


def row(size: ExtendedSize, result: dict[str, Any]) -> tuple[str, ...]:
    """Format a row of the table, under :data:`COLUMNS`."""
    medians = [f"{1000 * result['median_seconds'][name]:.0f} ms" for name in ("rsl_rl", "rsl_jax")]
    return (size.label, size.name, *medians, speedup_text(result, size.speedup), f"{result['compile_seconds']:.1f} s")


def main(rounds: int = 9, threads: int = 2, pause: float = 0.1, write: bool = True) -> None:
    """Measure all sizes.

    Args:
        rounds: turns of each.
        threads: processor cores to use.
        pause: seconds of rest before each update.
        write: whether to write ``results/extension_speed.json``.
    """
    limit_threads(threads)
    results = [measure(size, rounds, pause) for size in SIZES]
    show_table("One PPO update, medians", COLUMNS, [row(*pair) for pair in zip(SIZES, results, strict=True)])
    if write:
        write_json("extension_speed", {"results": results})


if __name__ == "__main__":
    tyro.cli(main)
