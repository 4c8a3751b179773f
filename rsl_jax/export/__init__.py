"""Export of trained policies to files that run on a robot; see ``docs/export.md``.

Names are imported when they are first used: loading a ``jax.export`` artefact needs neither flax nor onnx.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsl_jax.export.formats import export_compiled as export_compiled
    from rsl_jax.export.onnx import export_onnx as export_onnx
    from rsl_jax.export.policy import PolicyFunction as PolicyFunction
    from rsl_jax.export.policy import plain_policy as plain_policy
    from rsl_jax.export.stablehlo import LoadedPolicy as LoadedPolicy
    from rsl_jax.export.stablehlo import export_jax as export_jax
    from rsl_jax.export.stablehlo import load_jax as load_jax
    from rsl_jax.export.torchscript import export_torchscript as export_torchscript
    from rsl_jax.export.verify import ExportError as ExportError

_HOMES = {
    "ExportError": "verify",
    "LoadedPolicy": "stablehlo",
    "PolicyFunction": "policy",
    "export_compiled": "formats",
    "export_jax": "stablehlo",
    "export_onnx": "onnx",
    "export_torchscript": "torchscript",
    "load_jax": "stablehlo",
    "plain_policy": "policy",
}

__all__ = [
    "ExportError",
    "LoadedPolicy",
    "PolicyFunction",
    "export_compiled",
    "export_jax",
    "export_onnx",
    "export_torchscript",
    "load_jax",
    "plain_policy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
