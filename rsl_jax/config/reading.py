"""Configs that also read like the dict that RSL-RL hands around."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rsl_jax.registry import nearest


class ReadsLikeADict:
    """A frozen dataclass whose fields are keys, too: ``cfg["gamma"]``, ``cfg.get("x")``, ``"x" in cfg``, ``dict(cfg)``.

    Where it has a field ``extra``, the keys in there count as well, and may be set: they belong to whoever put them
    there. The others are frozen.
    """

    def __getitem__(self, key: str) -> Any:
        """A field, or a key of ``extra``.

        Raises:
            KeyError: if there is none; names the nearest one.
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
                f"'{key}' of {type(self).__name__} is frozen: the run was compiled from it. Change the dict before the "
                "runner is made of it."
            )
        extra[key] = value

    def __contains__(self, key: object) -> bool:
        """Whether there is such a key."""
        return key in self._names() or key in self._extra()

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter([*self._names(), *self._extra()])

    def __len__(self) -> int:
        """How many keys there are."""
        return len(list(iter(self)))

    def keys(self) -> list[str]:
        """The keys."""
        return list(self)

    def values(self) -> list[Any]:
        """The values, in the order of the keys."""
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, Any]]:
        """Keys and values."""
        return [(key, self[key]) for key in self]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default`` where there is none."""
        return dict(self.items()).get(key, default)

    def _names(self) -> tuple[str, ...]:
        names = tuple(f.name for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return tuple(name for name in names if name != "extra")

    def _extra(self) -> Any:
        extra = getattr(self, "extra", {})
        return extra if isinstance(extra, Mapping) else {}
