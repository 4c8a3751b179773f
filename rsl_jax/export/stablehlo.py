"""Export of a policy as StableHLO by ``jax.export``; loading needs jax and numpy only.

An artefact is a zip file of ``policy.bin`` (what ``jax.export`` serialises) and ``metadata.json``. JAX promises to read
it for six months after it was written: deploy it, but archive checkpoints.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from rsl_jax.export.files import write_atomically
from rsl_jax.export.metadata import Metadata, library_versions, merge

if TYPE_CHECKING:
    from rsl_jax.export.policy import PolicyFunction

BATCH_AXIS = "batch"
POLICY_MEMBER = "policy.bin"
METADATA_MEMBER = "metadata.json"
CUSTOM_CALLS = frozenset({"shape_assertion"})
"""Custom calls that every program may contain: the check of the batch size, which JAX itself carries out."""

_LIBRARIES = ("rsl-jax", "jax", "flax")
_FRAMES_NOTED = "jax_traceback_in_locations_limit"
_A_DATE = (1980, 1, 1, 0, 0, 0)  # so that equal policies are equal files


def export_jax(
    model: Any,
    variables: Mapping[str, Any],
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    platforms: Sequence[str] = ("cpu", "cuda"),
    verbose: bool = False,
) -> Path:
    """Write a deterministic policy, its normaliser included, as an artefact that runs with jax alone.

    The artefact is read back and compared with the model, at several batch sizes, before it is written.

    Args:
        model: the policy's model, see :func:`rsl_jax.export.plain_policy`.
        variables: all its collections of variables, of one training run, in any float type.
        path: destination; an existing file is replaced.
        metadata: further metadata of the file: joint names, scales, gains.
        platforms: platforms that it shall run on; no such device need be present here. The CPU is always included,
            since the artefact is verified on it.
        verbose: whether to print what was written.

    Returns:
        the path.

    Raises:
        ValueError: if the variables or metadata are invalid.
        ExportError: if the artefact's results differ from the model's; nothing is written then.
    """
    from rsl_jax.export.isolation import LOCK
    from rsl_jax.export.policy import plain_policy
    from rsl_jax.export.verify import verify

    platforms = tuple(dict.fromkeys(("cpu", *platforms)))
    with LOCK:
        policy = plain_policy(model, variables)
        shapes = {tensor.name: list(tensor.shape) for tensor in policy.inputs}
        facts = {**policy.facts, "input_shapes": shapes, "platforms": platforms, **library_versions(_LIBRARIES)}
        content = _pack(serialize(policy, platforms), merge(facts, metadata))
        difference = verify(policy, _unpack(content).function, runtime="the jax artefact")
    destination = write_atomically(path, content)
    if verbose:
        print(f"{destination}: {', '.join(platforms)}; {len(content)} bytes, {difference:.1e} from the model")
    return destination


def serialize(policy: PolicyFunction, platforms: Sequence[str]) -> bytes:
    """Serialise a policy by ``jax.export``, with a symbolic batch."""
    from rsl_jax.export.policy import BATCH, float32_mode, placeholder

    # Accelerators multiply matrices with fewer bits by default; a policy should act alike on all of them.
    with float32_mode(), jax.default_matmul_precision("highest"), _no_source_paths():
        (batch,) = jax.export.symbolic_shape(BATCH)
        placeholders = [placeholder(tensor, batch=batch) for tensor in policy.inputs]
        exported = jax.export.export(jax.jit(policy.function), platforms=tuple(platforms))(*placeholders)
        return bytes(exported.serialize())


@contextmanager
def _no_source_paths() -> Iterator[None]:
    """Keep the paths of this computer's source files, which JAX records for debugging, out of the artefact."""
    limit = getattr(jax.config, _FRAMES_NOTED)
    jax.config.update(_FRAMES_NOTED, 0)
    try:
        yield
    finally:
        jax.config.update(_FRAMES_NOTED, limit)


def load_jax(path: str | os.PathLike[str], *, custom_calls: Collection[str] = ()) -> LoadedPolicy:
    """Load what :func:`export_jax` wrote.

    Args:
        path: the file.
        custom_calls: native functions beside XLA's own operations that the policy may call, such as
            ``lapack_spotrf_ffi``; a custom model may need some.

    Returns:
        the policy.

    Raises:
        ValueError: if the file is not of that kind, is damaged (says how), or calls another native function.
    """
    content = Path(path).read_bytes()
    try:
        return _unpack(content, custom_calls=custom_calls)
    except ValueError as error:
        raise ValueError(f"{path} is not a policy that export_jax wrote, or is damaged: {error}") from error


def _bytes_from_0_to_1(image: Any) -> Any:
    """Scale bytes to floats from 0 to 1, which exported encoders expect; in training the encoder divides by 255."""
    return np.asarray(image, np.float32) / 255 if getattr(image, "dtype", None) == np.uint8 else image


@dataclass(frozen=True)
class LoadedPolicy:
    """Deterministic policy ``(observations, carry) -> (actions, carry)``.

    Attributes:
        function: ``(obs, *images, *states) -> (actions, *states)`` of float32 arrays, compiled once per batch size.
        metadata: metadata of the file.
    """

    function: Callable[..., tuple[jax.Array, ...]]
    metadata: Metadata

    def initial_carry(self, num_envs: int) -> tuple[np.ndarray, ...]:
        """Return the hidden states that an episode starts with, ``[layers, num_envs, hidden]`` each; ``()`` if none."""
        num_states = len(self.metadata["output_names"]) - 1
        names = self.metadata["input_names"]
        shapes = [self.metadata["input_shapes"][name] for name in names[len(names) - num_states :]]
        return tuple(np.zeros([num_envs if size == BATCH_AXIS else size for size in s], np.float32) for s in shapes)

    def __call__(self, observations: Any, carry: Sequence[Any] = ()) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Run one step.

        Args:
            observations: groups by name, leaves ``[N, ...]``; or, where there are no images, all 1-D groups
                concatenated, ``[N, D]``.
            carry: hidden states, from :meth:`initial_carry` and then from the previous step.

        Returns:
            actions ``[N, A]`` and the next hidden states.

        Raises:
            ValueError: if a group is missing or something has another shape.
        """
        arrays = [jnp.asarray(array, jnp.float32) for array in (*self._inputs(observations), *carry)]
        self._check(arrays)
        actions, *states = self.function(*arrays)
        return actions, tuple(states)

    def _inputs(self, observations: Any) -> list[Any]:
        if not isinstance(observations, Mapping):
            return [observations]
        vectors, images = self.metadata["observation_groups"], self.metadata.get("image_groups", [])
        missing = [group for group in (*vectors, *images) if group not in observations]
        if missing:
            raise ValueError(f"The policy observes {[*vectors, *images]}; missing {missing}, got {list(observations)}.")
        side_by_side = [jnp.concatenate([jnp.asarray(observations[group]) for group in vectors], -1)] if vectors else []
        return [*side_by_side, *(_bytes_from_0_to_1(observations[group]) for group in images)]

    def _check(self, arrays: Sequence[jax.Array]) -> None:
        shapes = self.metadata["input_shapes"]
        if len(arrays) != len(shapes):
            raise ValueError(
                f"The policy takes {list(shapes)}; got {len(arrays)} arrays. Hidden states start as "
                "initial_carry(num_envs)."
            )
        for name, array in zip(self.metadata["input_names"], arrays, strict=True):
            allowed = tuple(shapes[name])
            axes_match = len(array.shape) == len(allowed) and all(
                size in (BATCH_AXIS, given) for size, given in zip(allowed, array.shape, strict=True)
            )
            if not axes_match:
                raise ValueError(f"'{name}' has the shape {list(allowed)}; got {list(array.shape)}.")


def _pack(policy: bytes, metadata: Metadata) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(POLICY_MEMBER, _A_DATE), policy)
        archive.writestr(zipfile.ZipInfo(METADATA_MEMBER, _A_DATE), json.dumps(metadata, indent=2))
    return buffer.getvalue()


def _unpack(content: bytes, *, custom_calls: Collection[str] | None = None) -> LoadedPolicy:
    """Read an artefact.

    Args:
        content: content of the file.
        custom_calls: native functions that it may call; any if None.

    Raises:
        ValueError: if it is invalid; says what is wrong with it.
    """
    program, text = _members(content)
    try:
        metadata = json.loads(text)
    except ValueError as error:
        raise ValueError(f"its {METADATA_MEMBER} is not JSON: {error}") from error
    try:
        exported = jax.export.deserialize(bytearray(program))
        code = exported.mlir_module()
    except Exception as error:  # JAX raises errors of many kinds
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"JAX {jax.__version__} cannot read its {POLICY_MEMBER}, of JAX {_version_in(metadata)}: {first}"
        ) from error
    _check_metadata(metadata, inputs=len(exported.in_avals), outputs=len(exported.out_avals))
    if custom_calls is not None:
        _check_calls(code, custom_calls)
    return LoadedPolicy(jax.jit(exported.call), metadata)


def _members(content: bytes) -> list[bytes]:
    members = []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in (POLICY_MEMBER, METADATA_MEMBER):
                # Compressed entries could be of any size when they are unpacked.
                if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"its {name} is compressed")
                members.append(archive.read(name))
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, RuntimeError) as error:
        raise ValueError(str(error.args[0] if error.args else error)) from error
    return members


def _version_in(metadata: Any) -> Any:
    return metadata.get("jax_version", "?") if isinstance(metadata, Mapping) else "?"


def _check_metadata(metadata: Any, *, inputs: int, outputs: int) -> None:
    """Reject metadata that do not describe the program."""

    def are_names(value: Any, number: int | None = None) -> bool:
        is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return is_list and number in (None, len(value))

    def is_shape(value: Any) -> bool:
        return isinstance(value, list) and all(size == BATCH_AXIS or type(size) is int for size in value)

    if not isinstance(metadata, Mapping):
        raise ValueError(f"its {METADATA_MEMBER} does not consist of keys and values")
    names, shapes = metadata.get("input_names"), metadata.get("input_shapes")
    holds = {
        f"input_names are the {inputs} inputs of the program": are_names(names, inputs),
        f"output_names are its {outputs} outputs": are_names(metadata.get("output_names"), outputs),
        "input_shapes are lists of sizes by the inputs' names": isinstance(shapes, Mapping)
        and are_names(names)
        and set(shapes) == set(names or ())
        and all(map(is_shape, shapes.values())),
        "observation_groups are names": are_names(metadata.get("observation_groups")),
        "image_groups are names": are_names(metadata.get("image_groups", [])),
    }
    for what, is_so in holds.items():
        if not is_so:
            raise ValueError(f"in its {METADATA_MEMBER} it is not true that {what}")


def _check_calls(code: str, allowed: Collection[str]) -> None:
    """Reject a program that leaves XLA's operations: a custom call runs whatever is registered in this process."""
    calls = re.findall(r"custom_call @([\w.$]+)\(", code)
    others = sorted(set(calls) - CUSTOM_CALLS - set(allowed))
    if code.count("custom_call") != len(calls):
        others.append("one that is not written plainly")
    if others:
        raise ValueError(
            f"it calls native functions that are not operations of XLA: {', '.join(others)}. If your model needs them "
            "and you trust the author of the file, name them: load_jax(path, custom_calls=[...])"
        )
