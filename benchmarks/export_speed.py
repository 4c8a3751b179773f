"""Duration of a step of an exported policy in onnxruntime: ours, RSL-RL's, and ours without nodes for whole layers.

Run ``python benchmarks/export_speed.py`` with rsl-rl-lib==5.5.1 and onnxscript installed, on an otherwise
idle machine. The policies alternate in turns of 50 steps on one thread; the result is the ratio of medians.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import torch
import tyro
from reporting import comparison, show_table, speedup_text, write_json
from rsl_rl import models as reference
from tensordict import TensorDict
from updates import in_turns

from rsl_jax.distributions import gaussian
from rsl_jax.export import plain_policy
from rsl_jax.export.onnx import build, onnxruntime_session
from rsl_jax.export.policy import BATCH
from rsl_jax.models import MLPModel, RNNModel

NUM_OBS, NUM_ACTIONS = 48, 12


@dataclass(frozen=True)
class Size:
    """Size of a policy.

    Attributes:
        kind: "gru", "lstm" or "mlp".
        hidden: size of each hidden state.
        layers: how many recurrent layers.
        batch: robots that act at once.
    """

    kind: str
    hidden: int = 0
    layers: int = 0
    batch: int = 1

    def arguments(self) -> dict[str, Any]:
        """Arguments with the same name in both libraries."""
        recurrent = {"rnn_type": self.kind, "rnn_hidden_dim": self.hidden, "rnn_num_layers": self.layers}
        return {"hidden_dims": (256, 128), "obs_normalization": True, **(recurrent if self.layers else {})}


def sizes(batch: int) -> list[Size]:
    """List an MLP and recurrent policies of one and two layers."""
    recurrent = itertools.product(("gru", "lstm"), (64, 256), (1, 2), (batch,))
    return [Size("mlp", batch=batch), *itertools.starmap(Size, recurrent)]


def our_file(size: Size) -> bytes:
    """Export our policy with random parameters."""
    model_class = RNNModel if size.layers else MLPModel
    model = model_class(
        obs_shapes={"policy": (NUM_OBS,)},
        obs_groups=("policy",),
        output_dim=NUM_ACTIONS,
        distribution=gaussian(NUM_ACTIONS),
        **size.arguments(),
    )
    observations = {"policy": jnp.zeros((1, NUM_OBS))}
    return build(plain_policy(model, model.init(jax.random.key(0), observations, model.initial_carry(1))), {})


def decomposed_file(size: Size) -> bytes:
    """Export the same with recurrent layers as matrix products and element-wise nodes."""
    from rsl_jax.export.recurrent import NODES  # once jax2onnx has been loaded by the export before

    with mock.patch.dict(NODES, clear=True):
        return our_file(size)


def reference_file(size: Size) -> bytes:
    """Export RSL-RL's policy, with a fixed batch."""
    model_class = reference.RNNModel if size.layers else reference.MLPModel
    observations = TensorDict({"policy": torch.zeros(size.batch, NUM_OBS)}, size.batch)
    cfg = {"class_name": "GaussianDistribution"}
    model = model_class(
        observations, {"actor": ["policy"]}, "actor", NUM_ACTIONS, distribution_cfg=cfg, **size.arguments()
    )
    exportable = model.as_onnx(verbose=False).eval()
    inputs = [torch.cat([x] * size.batch, 1 if x.dim() == 3 else 0) for x in exportable.get_dummy_inputs()]
    names = {"input_names": exportable.input_names, "output_names": exportable.output_names}
    program = torch.onnx.export(exportable, tuple(inputs), opset_version=18, verbose=False, **names)
    return program.model_proto.SerializeToString()


def steps(size: Size, file: bytes, repetitions: int) -> Callable[[], None]:
    """Run some steps in onnxruntime."""
    run, generator = onnxruntime_session(file), np.random.default_rng(0)
    shapes = [(BATCH, NUM_OBS)] + [(size.layers, BATCH, size.hidden)] * {"mlp": 0, "gru": 1, "lstm": 2}[size.kind]
    inputs = [
        generator.normal(0, 0.5, [size.batch if axis == BATCH else axis for axis in shape]).astype(np.float32)
        for shape in shapes
    ]

    def repeat() -> None:
        for _ in range(repetitions):
            run(*inputs)

    return repeat


def measure(size: Size, rounds: int, repetitions: int) -> dict[str, Any]:
    """Measure the medians and their ratios for a size, in seconds per step."""
    files = {"rsl_jax": our_file(size), "decomposed": decomposed_file(size), "rsl_rl": reference_file(size)}
    functions = {name: steps(size, file, repetitions) for name, file in files.items()}
    seconds = in_turns(functions, rounds, pause=0.0)
    result = comparison({name: [total / repetitions for total in values] for name, values in seconds.items()})
    medians = result["median_seconds"]
    return {"size": asdict(size), **result, "over_decomposed": medians["decomposed"] / medians["rsl_jax"]}


def row(result: dict[str, Any]) -> tuple[str, ...]:
    """Format a row of the table."""
    size, medians = Size(**result["size"]), result["median_seconds"]
    name = f"{size.kind} {size.hidden} x {size.layers}" if size.layers else size.kind
    microseconds = [f"{1e6 * medians[name]:.1f} µs" for name in ("rsl_rl", "decomposed", "rsl_jax")]
    return (name, *microseconds, f"{result['over_decomposed']:.2f}", speedup_text(result))


def main(batch: int = 1, rounds: int = 300, repetitions: int = 50, write: bool = True) -> None:
    """Measure all sizes.

    Args:
        batch: robots that act at once.
        rounds: turns of each.
        repetitions: steps a turn.
        write: whether to write ``results/export_speed_batch_<batch>.json``.
    """
    results = [measure(size, rounds, repetitions) for size in sizes(batch)]
    columns = ("policy", "RSL-RL", "decomposed", "rsl_jax", "over decomposed", "over RSL-RL")
    show_table(f"One step in onnxruntime, batch {batch}, medians", columns, [row(result) for result in results])
    if write:
        write_json(f"export_speed_batch_{batch}", {"results": results})


if __name__ == "__main__":
    tyro.cli(main)
