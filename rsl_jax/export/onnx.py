"""Export of a policy to ONNX."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rsl_jax.export.files import write_atomically
from rsl_jax.export.isolation import LOCK, isolated
from rsl_jax.export.metadata import Metadata, library_versions, merge, to_strings
from rsl_jax.export.policy import PolicyFunction, plain_policy
from rsl_jax.export.verify import ExportError, verify

_LIBRARIES = ("rsl-jax", "jax", "flax", "jax2onnx", "onnx")


def export_onnx(
    model: Any,
    variables: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    opset: int = 18,
    verbose: bool = False,
) -> Path:
    """Write a deterministic policy, its normaliser included, as an ONNX file.

    The file is compared with the model in onnxruntime, at several batch sizes, before it is written. Training goes on
    afterwards unaffected: nothing is compiled again and no random generator changes. The first export of
    a process takes some fifteen seconds longer than the others.

    Args:
        model: the policy's model, see :func:`rsl_jax.export.plain_policy`.
        variables: all its collections of variables, of one training run, in any float type.
        path: destination; an existing file is replaced.
        metadata: further metadata of the file: joint names, scales, gains. Flat lists are written comma-separated,
            all else that is not a string as JSON.
        opset: version of the operator set.
        verbose: whether to let jax2onnx's messages through and to print what was written.

    Returns:
        the path. Inputs are ``obs`` ``[batch, D]``, images by name, ``h_in``, ``c_in`` ``[layers, batch, hidden]``;
        outputs ``actions`` ``[batch, A]``, ``h_out``, ``c_out``; all in float32 with a dynamic batch. Discrete actions
        are int32 ``[batch]``.

    Raises:
        ValueError: if the variables or metadata are invalid.
        ExportError: if the model cannot be translated, or onnxruntime's results differ from the model's; nothing
            is written then.
    """
    with LOCK:
        policy = plain_policy(model, variables)
        description = merge({**policy.facts, **library_versions(_LIBRARIES)}, metadata)
        content = build(policy, description, opset=opset, verbose=verbose)
        difference = verify(policy, onnxruntime_session(content), runtime="onnxruntime")
    destination = write_atomically(path, content)
    if verbose:
        inputs, outputs = (", ".join(f"{t.name} {list(t.shape)}" for t in ts) for ts in (policy.inputs, policy.outputs))
        print(f"{destination}: {inputs} -> {outputs}; {len(content)} bytes, {difference:.1e} from the model")
    return destination


def build(policy: PolicyFunction, metadata: Metadata, *, opset: int = 18, verbose: bool = False) -> bytes:
    """Translate a policy to ONNX.

    Args:
        policy: the policy.
        metadata: metadata of the file.
        opset: version of the operator set.
        verbose: whether to let jax2onnx's messages through.

    Returns:
        the content of the file, which the full checker has accepted.

    Raises:
        ExportError: if jax2onnx cannot translate an operation.
    """
    with isolated(verbose=verbose):
        import jax2onnx
        import onnx

        import rsl_jax.export.recurrent  # noqa: F401  teaches jax2onnx our recurrent layers
        from rsl_jax.export.simplify import simplify

        try:
            model = jax2onnx.to_onnx(
                policy.function,
                inputs=[tensor.shape for tensor in policy.inputs],
                model_name="policy",
                opset=opset,
                input_names=[tensor.name for tensor in policy.inputs],
                output_names=[tensor.name for tensor in policy.outputs],
            )
        except Exception as error:
            raise ExportError(
                f"jax2onnx cannot translate this {policy.facts['model_class']}: {error}\nWrite that part of the model "
                "in other operations (docs/export.md lists some), try another opset, or use export_jax."
            ) from error
        simplify(model)
        # Some intermediate shapes that jax2onnx records are wrong; runtimes infer them.
        del model.graph.value_info[:]
        model.producer_name, model.producer_version = "rsl_jax", metadata.get("rsl_jax_version", "")
        onnx.helper.set_model_props(model, to_strings(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


def onnxruntime_session(content: bytes) -> Callable[..., list[np.ndarray]]:
    """Return a function that runs an ONNX file on its inputs in their order.

    Raises:
        ExportError: if onnxruntime rejects it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # no pool of threads beside the training's
    options.log_severity_level = 4  # what fails is raised
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(
            f"The export was refused and nothing was written: onnxruntime does not accept it: {error}"
        ) from error
    names = [value.name for value in session.get_inputs()]

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        return session.run(None, dict(zip(names, inputs, strict=True)))

    return run
