"""Dict-like access to configs, as RSL-RL's code expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rsl_jax.registry import nearest


class ReadsLikeADict:
    """Frozen dataclass whose fields are also keys: ``cfg["gamma"]``, ``cfg.get("x")``, ``"x" in cfg``, ``dict(cfg)``.

    If it has a field ``extra``, the keys in there count as well, and can be set, since rsl_jax does not read them. The
    others are frozen.
    """

    def __getitem__(self, key: str) -> Any:
        """Return a field, or a key of ``extra``.

        Raises:
            KeyError: if it does not exist; names the nearest one.
        """
        if key in self._names():
            return getattr(self, key)
        extra = self._extra()
        if key not in extra:
            raise KeyError(f"{type(self).__name__} has no key {key!r}.{nearest(str(key), list(self))}")
        return extra[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a key of ``extra``.

        Raises:
            TypeError: for a field: configs are frozen.
        """
        extra = self._extra()
        if key in self._names() or not hasattr(extra, "__setitem__"):
            raise TypeError(
                f"'{key}' of {type(self).__name__} is frozen: the run was compiled from it. Change the dict before "
                "creating the runner."
            )
        extra[key] = value

    def __contains__(self, key: object) -> bool:
        """Return whether a key exists."""
        return key in self._names() or key in self._extra()

    def __iter__(self) -> Iterator[str]:
        """Return the keys."""
        return iter([*self._names(), *self._extra()])

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(list(iter(self)))

    def keys(self) -> list[str]:
        """Return the keys."""
        return list(self)

    def values(self) -> list[Any]:
        """Return the values, in the order of the keys."""
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, Any]]:
        """Return keys and values."""
        return [(key, self[key]) for key in self]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or ``default`` if there is none."""
        return dict(self.items()).get(key, default)

    def _names(self) -> tuple[str, ...]:
        names = tuple(f.name for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return tuple(name for name in names if name != "extra")

    def _extra(self) -> Any:
        extra = getattr(self, "extra", {})
        return extra if isinstance(extra, Mapping) else {}
