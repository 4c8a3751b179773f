"""Stand-ins for classes and functions of RSL-RL, which can be imported and derived from, but not used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

FLAX = (
    "Models are Flax modules here, which XLA compiles together with the update; a PyTorch module cannot be one. "
    "Write yours as a Flax model (the same methods, about as long) and give its import path as class_name: "
    "docs/custom_parts.md."
)


class TorchPart:
    """Base class of the stand-ins, by which components written for PyTorch are recognised.

    Attributes:
        way_out: what to do instead.
    """

    way_out: str = FLAX

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"{type(self).__name__} cannot be built: it is, or derives from, a PyTorch class of RSL-RL, which rsl_jax "
            f"replaces here. {self.way_out}"
        )


def stand_in(name: str, summary: str, *, way_out: str = FLAX, parameters: Sequence[inspect.Parameter] = ()) -> type:
    """Create a class that can be imported and derived from.

    Args:
        name: name of the class.
        summary: its docstring.
        way_out: what its error says to do instead.
        parameters: parameters of ``__init__`` that scripts inspect, beside ``self``.
    """

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (it becomes the class's)
        TorchPart.__init__(self, *args, **kwargs)

    self_parameter = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if parameters:
        __init__.__signature__ = inspect.Signature([self_parameter, *parameters])  # type: ignore[attr-defined]
    caller = inspect.stack()[1].frame.f_globals["__name__"]
    return type(
        name, (TorchPart,), {"__doc__": summary, "__init__": __init__, "__module__": caller, "way_out": way_out}
    )


def parameters_of(required: Sequence[str], defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Return parameters by name, those with a default last."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        *(inspect.Parameter(name, kind) for name in required),
        *(inspect.Parameter(name, kind, default=default) for name, default in defaults.items()),
    ]


def refused(name: str, reason: str) -> Callable[..., Any]:
    """Create a function that can be imported; calling it raises a ``NotImplementedError`` with the reason."""

    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name} of RSL-RL does not exist in rsl_jax: {reason}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Raise an error: {reason}"
    return function
